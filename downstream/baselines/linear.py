"""Linear models of features, the same for every baseline: logistic regression, and ridge."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage
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
        """Classes are those of the target; x [window, feature]."""
        classes, index = np.unique(target, return_inverse=True)
        self.priors = np.full(len(classes), 1 / len(classes))
        if x.shape[1] <= len(x) or not self._fit_wide(x, classes, index):
            super().fit(x, target)
        return self

    def _fit_wide(self, x: np.ndarray, classes: np.ndarray, index: np.ndarray) -> bool:
        """The same from more features than windows, without a matrix [feature, feature].

        The shrunk covariance is diagonal + rows.T @ rows, with a row a window (Woodbury 1950).
        False where the diagonal has zeros, so that there is no inverse.
        """
        parts = [x[index == k] for k in range(len(classes))]
        means = np.stack([part.mean(axis=0) for part in parts])
        diagonal, rows = np.zeros(x.shape[1]), []
        for part, center, prior in zip(parts, means, self.priors, strict=True):
            scaler = StandardScaler()
            scaled = scaler.fit_transform(part)
            share = ledoit_wolf_shrinkage(scaled, assume_centered=True) if len(part) > 1 else 0.0
            diagonal += prior * share * (scaled**2).mean() * scaler.scale_**2
            rows.append(np.sqrt(prior * (1 - share) / len(part)) * (part - center))
        if not diagonal.all():
            return False
        row = np.concatenate(rows)
        inner = np.eye(len(row)) + row / diagonal @ row.T
        right = np.linalg.solve(inner, row / diagonal @ means.T)
        weights = (means / diagonal).T - (row / diagonal).T @ right  # [feature, class]
        offsets = -0.5 * np.einsum("kf,fk->k", means, weights) + np.log(self.priors)
        if len(classes) == 2:
            weights, offsets = weights[:, 1:] - weights[:, :1], offsets[1:] - offsets[:1]
        self.classes_, self.priors_, self.means_ = classes, self.priors, means
        self.coef_, self.intercept_, self.n_features_in_ = weights.T, offsets, x.shape[1]
        return True


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
