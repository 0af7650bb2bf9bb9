"""The linear model of a view."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Linear(nn.Module):
    """A linear model of one view: standardized features → log-odds of classes, or a number."""

    mean: Tensor
    scale: Tensor

    def __init__(self, n: int, n_outputs: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("scale", torch.ones(n))
        self.weight = nn.Parameter(torch.zeros(n_outputs, n), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(n_outputs), requires_grad=False)

    def forward(self, x: Float[Tensor, "window feature"]) -> Float[Tensor, "window output"]:
        """Outputs, float64."""
        x = (x.double() - self.mean.double()) * self.scale.double()
        return x @ self.weight.double().T + self.bias.double()
