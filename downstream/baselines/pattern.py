"""Mean of every region over a window, and a linear model: which pattern of activity a task gives
(Haxby et al. 2001, Science 293:2425)."""

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from . import recentering
from .linear import Linear


class PatternLR(Linear):
    """Mean of every region over a window, logistic regression."""

    SEES = "scans"
    SETTINGS: tuple[dict, ...] = tuple({"c": c} for c in (1e-2, 1e-3, 1e-1, 1e-4, 1.0, 10.0))

    def features(self, x: np.ndarray, subjects: np.ndarray, training: bool) -> np.ndarray:
        """Means over the volumes that were measured, [window, region]."""
        features = np.stack([np.asarray(scan, dtype=np.float64).mean(axis=1) for scan in x])
        return recentering.log_power(features, subjects) if self.recentered else features


class PatternLDA(PatternLR):
    """Mean of every region over a window, LDA with shrinkage.

    Regions that go together count once.
    """

    SETTINGS: tuple[dict, ...] = (
        {"shrinkage": "auto"}, *({"shrinkage": share} for share in (0.9, 0.5, 0.99, 0.1, 0.01)))

    def __init__(self, seed: int, shrinkage):
        self.model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
