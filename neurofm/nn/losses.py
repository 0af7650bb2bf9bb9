"""How far a reconstruction is from its target, one number a window of the batch.

Everything is averaged over a window's real channels first and over windows last, so a loss does
not depend on padding or on how a batch is cut over processes.
Source of the terms: BrainOmni (arXiv 2505.18185, sec. 3.2).
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .spectral import magnitude_and_phase


def masked_mean(
    x: Float[Tensor, "batch channel *rest"], mask: Bool[Tensor, "batch channel"]
) -> Float[Tensor, " batch"]:
    """Mean over the channels where `mask` is True and over all that follows; NaN if none is."""
    if x.ndim > 2:
        x = x.flatten(2).mean(dim=2)
    return torch.where(mask, x, 0).sum(dim=1) / mask.sum(dim=1)


def window_shares(valid: Bool[Tensor, "batch channel"]) -> Float[Tensor, " row"]:
    """How much each real channel, in the order of `x[valid]`, counts in a mean over the channels of
    a window, then over windows."""
    share = valid.float() / valid.sum(dim=1, keepdim=True).clamp(min=1) / len(valid)
    return share[valid]


def zscore(x: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch time"]:
    """Mean 0 and standard deviation 1 over time; a flat signal becomes 0."""
    x = x - x.mean(dim=-1, keepdim=True)
    return x / (x.std(dim=-1, keepdim=True) + 1e-6)


def pearson(
    x: Float[Tensor, "*batch time"], y: Float[Tensor, "*batch time"]
) -> Float[Tensor, "*batch"]:
    """Correlation over time; 0 where a signal is flat."""
    x = x - x.mean(dim=-1, keepdim=True)
    y = y - y.mean(dim=-1, keepdim=True)
    return (x * y).sum(dim=-1) / (x.norm(dim=-1) * y.norm(dim=-1) + 1e-8)


class Distance(NamedTuple):
    """Means over the real channels of each window."""

    l1: Float[Tensor, " batch"]
    pearson: Float[Tensor, " batch"]
    magnitude: Float[Tensor, " batch"]
    phase: Float[Tensor, " batch"]


def distance(
    signal: Float[Tensor, "batch channel window time"],
    target: Float[Tensor, "batch channel window time"],
    valid: Bool[Tensor, "batch channel"],
) -> Distance:
    """L1 in time, Pearson r, and L1 of spectral magnitude and phase.

    Phases are compared as published, without wrapping: 0.1 and 2π − 0.1 count as far apart.
    """
    magnitude, phase = magnitude_and_phase(signal)
    target_magnitude, target_phase = magnitude_and_phase(target)
    return Distance(
        masked_mean((signal - target).abs(), valid),
        masked_mean(pearson(signal, target), valid),
        masked_mean((magnitude - target_magnitude).abs(), valid),
        masked_mean((phase - target_phase).abs(), valid),
    )
