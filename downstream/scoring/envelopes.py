"""How channels' amplitudes rise and fall together: correlation of band-limited envelopes.

Band-pass (Butterworth, 4th order, forwards and backwards), Hilbert amplitude, means over 0.2 s
(which low-passes and downsamples to 5 Hz), correlation of every pair of channels within stretches.
Half a second at the ends of each stretch is left out. Nothing is orthogonalized: what channels
share by volume conduction or a common reference is in the real matrices, and belongs in generated
ones.
A model of single channels cannot have more than the noise of a finite recording here.
"""

import numpy as np
from jaxtyping import Float
from scipy.signal import butter, hilbert, sosfiltfilt

from .stretches import Stretches

BIN_S = 0.2
_EDGE_S = 0.5
_LEAST_BINS = 5  # of a stretch that counts


def bands_within(
    bands: dict[str, list[float]], top_hz: float
) -> tuple[dict[str, list[float]], list[str]]:
    """(bands, remarks): bands end where signals do; those above are left out."""
    kept, remarks = {}, []
    for name, (low, high) in bands.items():
        if low >= 0.9 * top_hz:
            remarks.append(f"band {name} ({low:g}–{high:g} Hz) is left out: signals end at "
                           f"{top_hz:g} Hz")
            continue
        kept[name] = [low, min(high, top_hz)]
        if high > top_hz:
            remarks.append(f"band {name} ends at {top_hz:g} Hz, where signals do")
    return kept, remarks


def matrix(
    stretches: Stretches, sfreq: float, band: list[float]
) -> Float[np.ndarray, "channel channel"]:
    """Correlations of envelopes; NaN where no stretch is long enough."""
    filters = butter(4, band, btype="bandpass", fs=sfreq, output="sos")
    size, edge = max(1, round(BIN_S * sfreq)), round(_EDGE_S * sfreq)
    width = stretches[0].shape[0]
    total = np.zeros((width, width))
    for stretch in stretches:
        n_bins = (stretch.shape[1] - 2 * edge) // size
        if n_bins < _LEAST_BINS:
            continue
        narrow = sosfiltfilt(filters, stretch.astype(np.float64), axis=1)
        envelope = np.abs(hilbert(narrow, axis=1))[:, edge : edge + n_bins * size]
        means = envelope.reshape(width, n_bins, size).mean(axis=2)
        means -= means.mean(axis=1, keepdims=True)
        total += means @ means.T
    length = np.sqrt(np.diagonal(total))
    if not length.any():
        return np.full((width, width), np.nan)
    return np.divide(total, np.outer(length, length), out=np.zeros_like(total),
                     where=np.outer(length, length) > 0)


def pairs(matrix: Float[np.ndarray, "channel channel"]) -> Float[np.ndarray, " pair"]:
    """Each pair of channels once."""
    return matrix[np.triu_indices(len(matrix), 1)]


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation over pairs of channels of two matrices; 0 where one does not vary, NaN where one
    is not known."""
    a, b = pairs(one), pairs(other)
    a, b = a - a.mean(), b - b.mean()
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / length) if length != 0 else 0.0
