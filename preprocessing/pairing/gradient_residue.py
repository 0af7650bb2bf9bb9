"""What is left of the scanner's gradients in an EEG: lines at multiples of the volume frequency.

Switching gradients repeat with every volume, so what is left of them has a line spectrum at
k / t_r, which the brain has not. Spectra of stretches eight volumes long have a harmonic in every
eighth bin; each is compared, in dB, with the bins between. (Ritter et al. 2007, Magn Reson Imaging
25:923, judge corrections by power at such lines.)

Thresholds are from simulated EEG (1/f sources, alpha, pulse artifact, 26 channels of some 30 µV; 1
to 20 min; t_r 0.8 to 2.1 s): without gradients the median was at most 0.2 dB and the highest line
7 dB (alpha, where harmonics are few). Residues at all harmonics raised the median to 0.4 dB at 2 µV
rms and 1.1 dB at 5 µV; those at harmonics of the slices alone, which leave the median as it is,
gave a line of 11 dB at 3 µV and 16 dB at 5 µV. So limits are 0.5 and 10 dB: residues of 5 µV are
always found, smaller ones mostly.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from scipy.fft import rfft

_VOLUMES = 8  # of a stretch: the resolution is an eighth of the volume frequency
_BESIDE = np.array([-4, -3, 3, 4])  # bins that a Hann window keeps free of the line
_LOWEST_HZ, _HIGHEST_HZ = 2.0, 45.0  # below lie the pulse and drifts, above the power line
_FEWEST = 3  # stretches
LIMIT_DB, PEAK_LIMIT_DB = 0.5, 10.0


@dataclass(frozen=True)
class Residue:
    """What is left of the gradient artifact in an EEG."""

    median_db: float  # of all harmonics and channels, how far lines stand out
    # peak_db, peak_hz: of the harmonic that stands out furthest in most channels (slices leave few
    # and high lines)
    peak_db: float
    peak_hz: float

    @property
    def suspicious(self) -> bool:
        return self.median_db > LIMIT_DB or self.peak_db > PEAK_LIMIT_DB


def measure(
    signal: Float32[np.ndarray, "channel time"], sfreq: float, t_r: float, first_s: float,
    stop_s: float, lowpass_hz: float | None = None,
) -> Residue | None:
    """Of the EEG from `first_s` to `stop_s`, while volumes were measured; None where it is too
    short to tell. Units do not matter."""
    n = round(_VOLUMES * t_r * sfreq)
    highest_hz = min(_HIGHEST_HZ, lowpass_hz or np.inf, 0.45 * sfreq)
    harmonic = np.arange(int(np.ceil(_LOWEST_HZ * t_r)), int(highest_hz * t_r) + 1)
    begin, stop = max(0, round(first_s * sfreq)), min(signal.shape[1], round(stop_s * sfreq))
    starts = range(begin, stop - n + 1, n // 2)
    if len(starts) < _FEWEST or len(harmonic) == 0:
        return None
    window = np.hanning(n).astype(np.float32)
    power = np.zeros((len(signal), n // 2 + 1))
    for at in starts:
        part = signal[:, at : at + n]
        part = part / np.maximum(part.std(axis=1, keepdims=True), 1e-30)
        power += np.abs(rfft((part - part.mean(axis=1, keepdims=True)) * window, axis=1)) ** 2
    db = 10 * np.log10(power / len(starts) + 1e-12)
    line = _VOLUMES * harmonic
    above = db[:, line] - db[:, line[:, None] + _BESIDE].mean(axis=2)
    height = np.median(above, axis=0)
    top = int(height.argmax())
    return Residue(round(float(np.median(above)), 2), round(float(height[top]), 2),
                   round(float(harmonic[top] / t_r), 2))
