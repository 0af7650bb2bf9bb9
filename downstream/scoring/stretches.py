"""Stretches of a recording without a gap: one array [channel, time] each."""

import numpy as np
from jaxtyping import Float

Stretches = list[Float[np.ndarray, "channel time"]]


def cut(stretches: Stretches, n: int) -> tuple[Stretches, Stretches]:
    """The first n samples of some stretches, and the others."""
    before, after = [], []
    for stretch in stretches:
        k = min(n, stretch.shape[1])
        before += [stretch[:, :k]] if k else []
        after += [stretch[:, k:]] if k < stretch.shape[1] else []
        n -= k
    return before, after


def shorten(stretches: Stretches, n: int) -> Stretches:
    """About n samples in all: the same share of each stretch, from its beginning."""
    share = n / sum(stretch.shape[1] for stretch in stretches)
    if share >= 1:
        return stretches
    return standard([stretch[:, : max(2, round(share * stretch.shape[1]))]
                     for stretch in stretches])


def standard(stretches: Stretches) -> Stretches:
    """Every channel to mean 0 and deviation 1 over all the stretches; a flat one becomes 0."""
    whole = np.concatenate(stretches, axis=1)
    mean = whole.mean(axis=1, keepdims=True, dtype=np.float64)
    deviation = whole.std(axis=1, keepdims=True, dtype=np.float64)
    flat = deviation <= 1e-9 * np.abs(whole).max(axis=1, keepdims=True)
    scale = np.where(flat, 0.0, 1 / np.where(flat, 1.0, deviation))
    return [((stretch - mean) * scale).astype(np.float32) for stretch in stretches]


def seconds(stretches: Stretches, sfreq: float) -> float:
    return sum(stretch.shape[1] for stretch in stretches) / sfreq
