"""Brain regions: what they are called by, and attention between them.

Source: "BrainMAE" (arXiv 2406.17086): a learned embedding of each region; region-aware graph
attention, whose adjacency is softmax(W_q e_i · W_k e_j) without self-loops, the same whatever was
measured; adaptive attention, which depends on it.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .attention import FeedForward, attend
from .dropout import Dropout

_WAVES_M = (0.4, 0.2, 0.1, 0.05, 0.025)  # wavelengths; regions of 200 lie about 0.02 m apart
_HEAD_M = 0.1  # unit of geometry


class PlacedRegions(nn.Module):
    """Embedding of a region from where it lies, so that any atlas can be read: sines and cosines of
    its center along each axis, and two layers."""

    def __init__(self, dim: int):
        super().__init__()
        self.up = nn.Linear(6 * len(_WAVES_M), 2 * dim)
        self.down = nn.Linear(2 * dim, dim)

    def forward(self, geometry: Float[Tensor, "batch region 6"]
                ) -> Float[Tensor, "batch region dim"]:
        wave = 2 * math.pi * _HEAD_M / torch.tensor(_WAVES_M, device=geometry.device)
        angle = (geometry[..., :3, None] * wave).flatten(-2)
        return self.down(F.gelu(self.up(torch.cat([angle.sin(), angle.cos()], dim=-1))))


class NumberedRegions(nn.Module):
    """Embedding of a region from its number in one atlas, as published."""

    def __init__(self, dim: int, n_regions: int):
        super().__init__()
        self.table = nn.Parameter(torch.randn(n_regions, dim) / dim**0.5)

    def forward(self, geometry: Float[Tensor, "batch region 6"]
                ) -> Float[Tensor, "batch region dim"]:
        n = len(self.table)
        if geometry.shape[1] != n:
            raise ValueError(f"this model knows the {n} regions of one atlas by their numbers, got "
                             f"{geometry.shape[1]}: give that atlas, or a model with regions: "
                             f"placed, which reads their centers")
        return self.table.expand(len(geometry), -1, -1)


class StaticGraphBlock(nn.Module):
    """Regions take from each other what a graph says that is the same in every segment."""

    def __init__(self, dim: int, n_heads: int, dropout: float = 0.0, self_loops: bool = False):
        super().__init__()
        self.n_heads, self.self_loops = n_heads, self_loops
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.norm_graph = nn.RMSNorm(dim, eps=1e-6)
        self.value, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.norm_feedforward = nn.RMSNorm(dim, eps=1e-6)
        self.feedforward = FeedForward(dim, dropout)

    def graph(
        self, regions: Float[Tensor, "batch region dim"], seen: Bool[Tensor, "batch segment region"]
    ) -> Float[Tensor, "batch segment head region region"]:
        """Adjacency: how much each region (last but one axis) takes from each other (last axis).
        Regions that are not `seen` give nothing."""
        q, k = (layer(regions).unflatten(-1, (self.n_heads, -1))
                for layer in (self.query, self.key))
        score = torch.einsum("bihd,bjhd->bhij", q, k) / q.shape[-1] ** 0.5
        if not self.self_loops:
            same = torch.eye(score.shape[-1], dtype=torch.bool, device=score.device)
            score = score.masked_fill(same, -torch.inf)
        score = score[:, None].masked_fill(~seen[:, :, None, None, :], -torch.inf)
        return score.softmax(dim=-1).nan_to_num(0.0)  # nothing is seen: nothing is taken

    def forward(
        self, x: Float[Tensor, "batch segment region dim"],
        regions: Float[Tensor, "batch region dim"], seen: Bool[Tensor, "batch segment region"],
    ) -> Float[Tensor, "batch segment region dim"]:
        value = self.value(self.norm_graph(x)).unflatten(-1, (self.n_heads, -1))
        graph = self.graph(regions, _once(seen))
        equation = "bhij,bsjhd->bsihd" if graph.shape[1] == 1 else "bshij,bsjhd->bsihd"
        taken = torch.einsum(equation, graph[:, 0] if graph.shape[1] == 1 else graph, value)
        x = x + self.out(taken.flatten(-2))
        return x + self.feedforward(self.norm_feedforward(x))


class AdaptiveBlock(nn.Module):
    """Regions take from each other what depends on what they hold in this segment."""

    def __init__(self, dim: int, n_heads: int, dropout: float = 0.0):
        super().__init__()
        self.n_heads, self.dropout = n_heads, Dropout(dropout)
        self.norm_attention = nn.RMSNorm(dim, eps=1e-6)
        self.norm_feedforward = nn.RMSNorm(dim, eps=1e-6)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feedforward = FeedForward(dim, dropout)

    def forward(
        self, x: Float[Tensor, "batch segment region dim"],
        regions: Float[Tensor, "batch region dim"], seen: Bool[Tensor, "batch segment region"],
    ) -> Float[Tensor, "batch segment region dim"]:
        """regions: not needed, what a region is stands in x already."""
        q, k, v = self.qkv(self.norm_attention(x)).flatten(0, 1).chunk(3, dim=-1)
        # A window of padding alone would have nothing to look at: it looks at all of it.
        mask = seen | ~seen.any(dim=-1, keepdim=True)
        taken = attend(q, k, v, self.n_heads, mask.flatten(0, 1), layer=self.dropout)
        x = x + self.out(taken).view_as(x)
        return x + self.feedforward(self.norm_feedforward(x))


def _once(seen: Bool[Tensor, "batch segment region"]) -> Bool[Tensor, "batch some region"]:
    """One row where all segments see the same regions: the graph is then worked out once."""
    return seen[:, :1] if bool((seen == seen[:, :1]).all()) else seen
