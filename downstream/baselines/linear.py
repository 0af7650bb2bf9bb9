"""Linear models of features, the same for every baseline: logistic regression, and ridge."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from . import inputs


def logistic(c: float):
    """Standardized features, L2 penalty of strength 1 / c, classes of equal weight."""
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=c, class_weight="balanced", max_iter=2000)
    )


def ridge(alpha: float):
    """Standardized features, least squares with L2 penalty of strength alpha."""
    return make_pipeline(StandardScaler(), Ridge(alpha))


class BalancedLDA(LinearDiscriminantAnalysis):
    """Discriminant analysis with a shrunk covariance (Ledoit & Wolf 2004), classes of equal
    weight."""

    def __init__(self):
        super().__init__(solver="lsqr", shrinkage="auto")

    def fit(self, x: np.ndarray, target: np.ndarray) -> "BalancedLDA":
        """Classes are those of the target."""
        n = len(np.unique(target))
        self.priors = np.full(n, 1 / n)
        return super().fit(x, target)


class Linear:
    """Features of covariances, and a linear model; a baseline says which features and model.

    A baseline has features(x, subjects, training) -> [window, feature]; what features need to know
    of the training windows they take where `training`. Its model is `ridge` where it predicts a
    number, else `logistic`, with a setting's strength, unless it sets another.
    """

    SEES = "covariances"
    REGRESSION = False
    DRAWS = False
    recentered = False
    features: Callable[..., np.ndarray]

    def __init__(self, seed: int, **strength: float):
        self.model: Any = (ridge if self.REGRESSION else logistic)(**strength)

    def fit(self, x: np.ndarray, target: np.ndarray, subjects: np.ndarray, validation=None) -> None:
        """Learn from the training windows; validation is not looked at."""
        inputs.check_training(self.SEES, self.REGRESSION, x, target, subjects)
        self.shape = x.shape[1:]
        self.model.fit(self.features(x, subjects, training=True), target)

    def predict(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        """Probabilities [window, class], or numbers [window, 1]."""
        inputs.check_windows(self.SEES, x, subjects, self.shape)
        features = self.features(x, subjects, training=False)
        if self.REGRESSION:
            return self.model.predict(features)[:, None]
        return self.model.predict_proba(features)
