"""Power spectra and how far they lie apart: Welch 1967, 1–45 Hz, each channel by itself.

Two distances between the spectra of a channel, in dB of z-scored signal per Hz: the root mean
square of their difference over frequencies (an L2 norm that does not grow with their number), and
1 − cosine of the angle between them after each one's mean over frequencies is taken out (their
shape alone). Both are averaged over channels. The highest frequency is 45 Hz, or less where the
contract's filter ends before.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.signal import welch

from .stretches import Stretches

SEGMENT_S = 2.0
LOW_HZ, HIGH_HZ = 1.0, 45.0
_FLOOR = 1e-12  # power of a silent channel, SD²/Hz


def top_hz(sfreq: float, lowpass_hz: float | None) -> float:
    """The highest frequency that says something: below Nyquist and the low-pass."""
    return min(0.95 * sfreq / 2, lowpass_hz or np.inf)


def segment(longest: list[int], sfreq: float) -> int:
    """Samples of a Welch segment: 2 s, or less, so that everybody's longest stretch has one."""
    return min(round(SEGMENT_S * sfreq), *longest)


def spectrum(
    stretches: Stretches, sfreq: float, n: int, high_hz: float
) -> tuple[Float[np.ndarray, " frequency"], Float[np.ndarray, "channel frequency"]]:
    """(frequencies, power in dB) from Hann segments of n samples, half overlapping; stretches
    shorter than that are left out, the others weigh by their segments."""
    total: Any = 0.0
    count = 0
    for stretch in stretches:
        if stretch.shape[1] >= n:
            n_segments = (stretch.shape[1] - n) // (n - n // 2) + 1
            frequency, power = welch(stretch.astype(np.float64), sfreq, nperseg=n, axis=1)
            total, count = total + n_segments * power, count + n_segments
    keep = (frequency >= LOW_HZ) & (frequency <= high_hz)
    return frequency[keep], 10 * np.log10(np.maximum(total[:, keep] / count, _FLOOR))


def distances(
    generated: Float[np.ndarray, "person channel frequency"],
    real: Float[np.ndarray, "person channel frequency"],
) -> tuple[Float[np.ndarray, "generated real"], Float[np.ndarray, "generated real"]]:
    """(L2 in dB, cosine) of each generated person to each real one."""
    far, turned = np.zeros((2, len(generated), len(real)))
    own, other = _directions(generated), _directions(real)
    for row in range(len(generated)):
        apart = generated[row] - real  # [real, channel, frequency]
        far[row] = np.sqrt(np.square(apart).mean(axis=-1)).mean(axis=-1)
        turned[row] = 1 - (own[row] * other).sum(axis=-1).mean(axis=-1)
    return far, turned


def _directions(power: np.ndarray) -> np.ndarray:
    centered = power - power.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centered, axis=-1, keepdims=True)
    return np.divide(centered, length, out=np.zeros_like(centered), where=length > 0)
