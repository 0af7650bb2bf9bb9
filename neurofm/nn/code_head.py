"""Scores of codes: how well each code of a codebook fits what a model predicts.

A linear layer to 512 classes a level must learn every code from its own few examples. The codes are
vectors, though, and near ones mean near signals: here the model predicts a vector, and a code's
score is their inner product. Measured on eegmat (docs/results/tokenization.md).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .quantizer import ResidualQuantizer


class LinearHead(nn.Linear):
    """The published one: a class for each code of each level. The quantizer is not looked at."""

    def __init__(self, dim: int, n_levels: int, n_codes: int):
        super().__init__(dim, n_levels * n_codes)
        self.n_levels = n_levels

    def start_from(self, quantizer: ResidualQuantizer) -> None:
        """Nothing to take."""

    def forward(
        self, x: Float[Tensor, "*batch dim"], quantizer: ResidualQuantizer
    ) -> Float[Tensor, "*batch level code"]:
        return super().forward(x).unflatten(-1, (self.n_levels, -1))


class CodebookHead(nn.Module):
    """score[level, code] = scale[level] · ⟨vector[level], code⟩ + bias[level, code].

    Codes have mean square length 1 on every level. `bias` starts as the log of how often a code is
    used, so a head that has learned nothing guesses by frequency.
    """

    def __init__(self, dim: int, n_levels: int, quantizer: ResidualQuantizer):
        super().__init__()
        _, n_codes, code_dim = quantizer.codebook.shape
        self.n_levels = n_levels
        self.vector = nn.Linear(dim, n_levels * code_dim)
        self.bias = nn.Parameter(torch.zeros(n_levels, n_codes))
        self.log_scale = nn.Parameter(torch.zeros(n_levels))

    @torch.no_grad()
    def start_from(self, quantizer: ResidualQuantizer) -> None:
        """Take the frequencies of a trained quantizer's codes."""
        uses = quantizer.uses[: self.n_levels] + 1
        self.bias.copy_((uses / uses.sum(dim=1, keepdim=True)).log())

    def forward(
        self, x: Float[Tensor, "*batch dim"], quantizer: ResidualQuantizer
    ) -> Float[Tensor, "*batch level code"]:
        codes = quantizer.codebook[: self.n_levels]
        size = codes.square().sum(dim=-1).mean(dim=-1).sqrt().clamp_min(1e-6)
        codes = codes * (self.log_scale.exp() / size)[:, None, None]
        vector = self.vector(x).unflatten(-1, (self.n_levels, -1))
        return torch.einsum("...ld,lcd->...lc", vector, codes.to(vector.dtype)) + self.bias
