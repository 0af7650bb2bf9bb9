"""Means of the signal over stretches of time, and shrinkage LDA: the classic of evoked responses.

Source: Blankertz et al. 2011, NeuroImage 56:814. Waves locked to an event are in the mean signal,
which baselines that see covariances or band power cannot read.
"""

import numpy as np

from . import recentering
from .linear import BalancedLDA, Linear


class MeansLDA(Linear):
    """Means of the signal over stretches of time, LDA with shrinkage: for evoked responses."""

    SEES = "signals"
    SETTINGS = tuple({"stretch_s": s} for s in (0.05, 0.1, 0.2, 0.025, 0.4, 0.8))

    def __init__(self, seed: int, stretch_s: float, sfreq: float = 256.0):
        self.stretch_s, self.sfreq, self.model = stretch_s, sfreq, BalancedLDA()

    def features(self, x: np.ndarray, subjects: np.ndarray, training: bool) -> np.ndarray:
        """Means [window, channel × stretch]; samples left over at the end belong to the last."""
        signal = recentering.signals(x, subjects) if self.recentered else x
        n = max(1, int(signal.shape[2] / (self.stretch_s * self.sfreq)))
        borders = np.arange(n) * (signal.shape[2] // n)
        sums = np.add.reduceat(signal.astype(np.float64), borders, axis=2)
        return (sums / np.diff(borders, append=signal.shape[2])).reshape(len(x), -1)
