"""What baselines see of a window: its covariance between channels in five bands.

One Fourier transform of the tapered window gives all of them: the covariance of the band-passed
signal is the sum of X Xᴴ over the band's frequencies (Parseval). Wider bands are sums of these.
"""

import numpy as np

from neurofm.nn.views.spectra import BANDS

ALL = tuple(range(len(BANDS)))
MAX_CHANNELS = 64
SHRINKAGE = 0.02
LEAST = 1e-9  # power of a dead window, to that of the training windows: logarithms stay finite


def covariances(signal: np.ndarray, sfreq: float) -> np.ndarray:
    """Covariance in each band, float64 [band, channel, channel]; signal [channel, time].

    Bands above half the sampling rate, or without a frequency in so short a window, are zero.
    """
    n = signal.shape[1]
    centered = signal - signal.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centered * np.hanning(n), axis=1)
    frequency = np.fft.rfftfreq(n, 1 / sfreq)
    found = np.zeros((len(BANDS), len(signal), len(signal)))
    for band, (low, high) in enumerate(BANDS):
        part = spectrum[:, (frequency >= low) & (frequency < high)]
        found[band] = (part.real @ part.real.T + part.imag @ part.imag.T) * 2 / n**2
    return found


class Channels:
    """Few enough channels, and matrices of full rank, as Riemannian geometry needs.

    Average-referenced windows lack a dimension, helmets have hundreds of channels that are nearly
    copies: beyond 64 channels the signals are projected on as many principal components of the
    training windows, and each matrix is shrunk toward a multiple of the identity.
    """

    def fit(self, x: np.ndarray) -> "Channels":
        """x: [window, band, channel, channel] of the training windows."""
        total = x.sum(axis=1)
        trace = np.trace(total, axis1=1, axis2=2)[:, None, None]
        total = (total / np.maximum(trace, np.finfo(float).tiny)).mean(axis=0)
        self.basis = np.linalg.eigh(total)[1][:, ::-1][:, :MAX_CHANNELS]
        if len(total) <= MAX_CHANNELS:
            self.basis = np.eye(len(total))
        self.least = LEAST * trace.mean() / len(total)
        return self

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[window, channel, channel] of full rank; x of one band, [window, channel, channel]."""
        small = self.basis.T @ x @ self.basis
        n = small.shape[-1]
        mean = np.trace(small, axis1=-2, axis2=-1)[..., None, None] / n
        return (1 - SHRINKAGE) * small + SHRINKAGE * np.maximum(mean, self.least) * np.eye(n)


def usable(x: np.ndarray, bands: tuple[int, ...]) -> list[int]:
    """Those of `bands` that hold any power; a ValueError if none does."""
    power = np.trace(x, axis1=2, axis2=3).mean(axis=0)
    found = [band for band in bands if power[band] > 0]
    if not found:
        edges = ", ".join(f"{low:g}–{high:g} Hz" for low, high in (BANDS[band] for band in bands))
        raise ValueError(f"no window has power in {edges}: recordings of such a sampling rate, or "
                         f"windows so short, cannot be told apart by covariances in these bands; "
                         f"name methods without them")
    return found
