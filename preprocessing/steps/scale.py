"""Scaling of one window [channel, time], as the contract says.

"kind_std" divides by the standard deviation over all sensors and samples of a kind, so that
relative amplitudes survive (BrainOmni, arXiv 2505.18185, app. B); "channel_std" z-scores channels.
"""

import numpy as np
from jaxtyping import Float32, Int8

from neurofm.data.contract import InputContract


def scale(
    window: Float32[np.ndarray, "channel time"],
    kind: Int8[np.ndarray, " channel"],
    contract: InputContract,
) -> Float32[np.ndarray, "channel time"]:
    """A scaled copy, float32. A channel (or kind) without any variance comes out as zeros."""
    if contract.scale == "none":
        return window.copy()
    # MEG is of the order of 1e-13: bring it near one before squares are taken in float32.
    peak = np.abs(window).max(1, initial=0.0)
    if contract.scale == "channel_std":
        centred = window / _nonzero(peak)[:, None]
        centred -= centred.mean(1, keepdims=True)
        return centred / _nonzero(centred.std(1))[:, None]
    out = np.empty_like(window)
    for each in np.unique(kind):
        rows = kind == each
        part = window[rows] / _nonzero(peak[rows].max())
        out[rows] = part / _nonzero(part.std())
    return out


def _nonzero(value):
    return np.where(value > 0, value, 1.0).astype(np.float32)
