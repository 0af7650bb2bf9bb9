"""Log power of every channel in five bands, and logistic regression.

As simple as it gets, and hard to beat where states differ in their rhythms.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from . import spectra


def logistic(c: float):
    """Standardised features, L2 penalty of strength 1 / c, classes of equal weight."""
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=c, class_weight="balanced", max_iter=2000)
    )


class BandPower:
    SETTINGS = tuple({"c": c} for c in (1e-3, 1e-2, 1e-1, 1.0))
    recentre = False

    def __init__(self, seed: int, c: float):
        self.model = logistic(c)

    def fit(self, x: np.ndarray, target: np.ndarray, subjects: np.ndarray) -> None:
        self.bands = spectra.usable(x, tuple(range(len(spectra.BANDS))))
        self.model.fit(self._features(x, subjects), target)

    def probabilities(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(self._features(x, subjects))

    def _features(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        power = np.diagonal(x[:, self.bands], axis1=2, axis2=3)
        features = np.log(power + 1e-12).reshape(len(x), -1)
        if self.recentre:
            for subject in np.unique(subjects):
                rows = subjects == subject
                features[rows] -= features[rows].mean(axis=0)
        return features


class RecentredBandPower(BandPower):
    """Each subject's mean removed: uses all of a subject's windows, but no label."""

    recentre = True
