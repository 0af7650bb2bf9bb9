"""What near frames and other sources say of a position, linearly: a first layer for transformers
over tokens.

Attention starts out uniform over frames and sources, where waves of any phase average to nothing,
so the transformer alone sits on the plateau of guessing by frequency until it has found out who its
neighbors are. A convolution over frames (as wav2vec 2.0 and HuBERT place before theirs,
arXiv 2006.11477) and a matrix between sources know that from the first step. Measured on eegmat:
see docs/results/tokenization.md, "Masked tokens".
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Neighbors(nn.Module):
    """x + convolution over the frames of each source + mixture of the sources of each frame.

    n_frames: width of the convolution, odd. n_heads: groups of features, each with its own matrix
    between sources; those start at 0.
    """

    def __init__(self, dim: int, n_sources: int, n_frames: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.over_frames = nn.Conv1d(dim, dim, n_frames, padding=n_frames // 2)
        self.between = nn.Parameter(torch.zeros(n_heads, n_sources, n_sources))
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, "batch source frame dim"]
    ) -> Float[Tensor, "batch source frame dim"]:
        near = self.over_frames(x.flatten(0, 1).mT).mT.unflatten(0, x.shape[:2])
        value = self.value(x).unflatten(-1, (self.n_heads, -1))
        mixed = torch.einsum("hij,bjthd->bithd", self.between.to(value.dtype), value)
        return x + near + self.out(mixed.flatten(-2))
