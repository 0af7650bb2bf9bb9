"""ShallowConvNet: filters in time, then in space, power, its mean over 0.3 s, logarithm, a layer.

Sources: Schirrmeister et al. 2017, "Deep learning with convolutional neural networks for EEG"
(arXiv 1703.05051): 40 filters of 25 samples, means over 75 every 15, at 250 Hz. At 128 Hz these
are 13, 35 and 7, as Lawhern et al. 2018 (arXiv 1611.08024) have it. Trained on whole windows, not
on crops.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .network import Network

N_FILTERS = 40
KERNEL, POOL, STRIDE = 13, 35, 7  # samples at 128 Hz


class ShallowConvNet(nn.Module):
    def __init__(self, n_channels: int, n_times: int, n_classes: int, dropout: float = 0.5):
        super().__init__()
        if n_times < KERNEL + POOL - 1:
            raise ValueError(f"ShallowConvNet wants windows of at least {KERNEL + POOL - 1} "
                             f"samples at 128 Hz, got {n_times}: ingest with longer windows, or "
                             f"leave it out")
        n_pooled = (n_times - KERNEL + 1 - POOL) // STRIDE + 1
        self.temporal = nn.Conv2d(1, N_FILTERS, (1, KERNEL))
        self.spatial = nn.Conv2d(N_FILTERS, N_FILTERS, (n_channels, 1), bias=False)
        self.norm = nn.BatchNorm1d(N_FILTERS)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(N_FILTERS * n_pooled, n_classes)
        for layer in (self.temporal, self.spatial, self.dense):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.temporal.bias)
        nn.init.zeros_(self.dense.bias)

    def forward(self, signal: Float[Tensor, "batch channel time"]) -> Float[Tensor, "batch class"]:
        # Nothing lies between the two convolutions, so they are one, whose kernel is the product
        # of theirs: the same numbers in a quarter of the time.
        in_time, in_space = self.temporal.weight[:, 0, 0], self.spatial.weight[..., 0]
        kernel = torch.einsum("ofc,fk->ock", in_space, in_time)
        bias = torch.einsum("ofc,f->o", in_space, self.temporal.bias)
        x = self.norm(F.conv1d(signal, kernel, bias)).square()
        x = F.avg_pool1d(x, POOL, STRIDE).clamp(min=1e-6).log()
        return self.dense(self.dropout(x).flatten(1))


class ShallowConvNetBaseline(Network):
    """ShallowConvNet, trained from random weights."""

    def build(self, n_channels: int, n_times: int, n_classes: int) -> nn.Module:
        return ShallowConvNet(n_channels, n_times, n_classes, self.dropout)
