"""Means of the signal over stretches of time, and shrinkage LDA: the classic of evoked responses.

Source: Blankertz et al. 2011, NeuroImage 56:814. Waves locked to an event are in the mean signal,
which baselines that see covariances or band power cannot read.
"""

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from . import inputs, recentering


class MeansLDA:
    """Means of the signal over stretches of time, LDA with shrinkage: for evoked responses."""

    SEES = "signals"
    REGRESSION = False
    DRAWS = False
    SETTINGS = tuple({"stretch_s": s} for s in (0.05, 0.1, 0.2, 0.025, 0.4, 0.8))
    recentered = False

    def __init__(self, seed: int, stretch_s: float, sfreq: float = 256.0):
        self.stretch_s, self.sfreq = stretch_s, sfreq

    def fit(self, x: np.ndarray, target: np.ndarray, subjects: np.ndarray, validation=None) -> None:
        """Learn from the training windows; validation is not looked at."""
        inputs.check_training(self.SEES, self.REGRESSION, x, target, subjects)
        self.shape, n_classes = x.shape[1:], len(np.unique(target))
        self.lda = LinearDiscriminantAnalysis(
            solver="lsqr", shrinkage="auto", priors=np.full(n_classes, 1 / n_classes)
        )
        self.lda.fit(self._means(x, subjects), target)

    def predict(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        """Probabilities [window, class]."""
        inputs.check_windows(self.SEES, x, subjects, self.shape)
        return self.lda.predict_proba(self._means(x, subjects))

    def _means(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        """[window, channel × stretch]; samples left over at the end belong to the last stretch."""
        signal = recentering.signals(x, subjects) if self.recentered else x
        n = max(1, int(signal.shape[2] / (self.stretch_s * self.sfreq)))
        borders = np.arange(n) * (signal.shape[2] // n)
        sums = np.add.reduceat(signal.astype(np.float64), borders, axis=2)
        return (sums / np.diff(borders, append=signal.shape[2])).reshape(len(x), -1)
