"""EEGNet-8,2: filters in time, for each of them filters in space, then a separable convolution.

Source: Lawhern et al. 2018, "EEGNet" (arXiv 1611.08024), table 2, at 128 Hz: F1 = 8 temporal
filters of half a second, D = 2 spatial filters each, F2 = 16; norms at most 1 (spatial) and 0.25
(dense). Two deviations. The paper's batch norm between time and space is left out: the next one,
after space, takes every scale and offset of a temporal filter away again, so outputs and gradients
are the same (a test compares them), and space can come first, at a twentieth of the cost. And batch
norms follow the data faster than Keras' default (momentum .99), which would not have settled in a
training as short as ours.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from neurofm.nn.max_norm import max_norm_

from .network import Network

F1, D, F2 = 8, 2, 16
TEMPORAL, SEPARABLE = 64, 16  # samples at 128 Hz, and at 32 Hz: half a second
POOLS = (4, 8)


class EEGNet(nn.Module):
    def __init__(self, n_channels: int, n_times: int, n_classes: int, dropout: float = 0.5):
        super().__init__()
        n_pooled = n_times // POOLS[0] // POOLS[1]
        if n_pooled == 0:
            raise ValueError(f"EEGNet wants windows of at least {POOLS[0] * POOLS[1]} samples at "
                             f"128 Hz, got {n_times}: ingest with longer windows, or leave it out")
        self.temporal = nn.Conv1d(1, F1, TEMPORAL, bias=False)
        self.spatial = nn.Conv1d(n_channels, D * F1, 1, bias=False)
        self.spatial_norm = nn.BatchNorm1d(D * F1)
        self.in_time = nn.Conv1d(D * F1, D * F1, SEPARABLE, groups=D * F1, bias=False)
        self.across = nn.Conv1d(D * F1, F2, 1, bias=False)
        self.norm = nn.BatchNorm1d(F2)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(F2 * n_pooled, n_classes)
        for layer in (self.temporal, self.spatial, self.in_time, self.across, self.dense):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.dense.bias)

    def forward(self, signal: Float[Tensor, "batch channel time"]) -> Float[Tensor, "batch class"]:
        max_norm_(self.spatial.weight, 1.0)
        max_norm_(self.dense.weight, 0.25)
        in_time = self.temporal.weight.repeat_interleave(D, dim=0)  # the filter of each output
        x = F.conv1d(_padded(self.spatial(signal), TEMPORAL), in_time, groups=D * F1)
        x = F.elu(self.spatial_norm(x))
        x = self.dropout(F.avg_pool1d(x, POOLS[0]))
        x = F.elu(self.norm(self.across(self.in_time(_padded(x, SEPARABLE)))))
        x = self.dropout(F.avg_pool1d(x, POOLS[1]))
        return self.dense(x.flatten(1))


def _padded(x: Tensor, kernel: int) -> Tensor:
    """Zeros on both sides, so that a convolution keeps the length ("same")."""
    return F.pad(x, ((kernel - 1) // 2, kernel // 2))


class EEGNetBaseline(Network):
    """EEGNet-8,2, trained from random weights."""

    def build(self, n_channels: int, n_times: int, n_classes: int) -> nn.Module:
        return EEGNet(n_channels, n_times, n_classes, self.dropout)
