"""Linear models of a view for several penalties at once: logistic regression, or ridge.

Features may be far more than windows. The penalty of a linear model is blind to rotations, so it is
solved in the principal components of the windows, of which there are no more than windows.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression

ABSENT = -10.0  # log-odds of a class that no training window has
CS = tuple(10.0**k for k in range(-6, 2))  # strength of each model: 1 / penalty


@dataclass(frozen=True, eq=False)
class Solved:
    """Standardization, and weights for each penalty."""

    mean: Float[np.ndarray, " feature"]
    scale: Float[np.ndarray, " feature"]
    weight: Float[np.ndarray, "penalty output feature"]
    bias: Float[np.ndarray, "penalty output"]

    def outputs(self, x: Float[np.ndarray, "window feature"]
                ) -> Float[np.ndarray, "penalty window output"]:
        """Log-odds of classes, or numbers."""
        return np.einsum("wf,pof->pwo", (x - self.mean) * self.scale, self.weight,
                         optimize=True) + self.bias[:, None]


def solve(
    x: Float[np.ndarray, "window feature"], target: np.ndarray, weight: np.ndarray,
    n_classes: int, cs: tuple[float, ...] = CS,
) -> Solved:
    """Fit to windows. weight: of each in the loss. n_classes: 0 = the target is a number."""
    mean, std = x.mean(axis=0), x.std(axis=0)
    scale = 1 / np.where(std > 1e-9, std, np.inf)  # what never changes says nothing
    z = (x - mean) * scale
    back = np.eye(min(z.shape))
    if z.shape[1] > len(z):
        value, left = np.linalg.eigh(z @ z.T)
        kept = value > 1e-9 * max(value[-1], 1e-300)
        back = z.T @ (left[:, kept] / np.sqrt(value[kept]))
        z = z @ back
    fits = [_logistic(z, target, weight, c, n_classes) if n_classes else _ridge(z, target, c)
            for c in cs]
    return Solved(mean, scale, np.stack([w @ back.T for w, _ in fits]),
                  np.stack([b for _, b in fits]))


def balanced(target: np.ndarray, n_classes: int) -> Float[np.ndarray, " window"]:
    """Weights by which classes count alike, however many windows they have; 1 on average."""
    if not n_classes:
        return np.ones(len(target))
    count = np.bincount(target, minlength=n_classes)
    return (len(target) / (np.count_nonzero(count) * np.maximum(count, 1)))[target]


def _logistic(z, target, weight, c: float, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(weights [class, feature], biases [class]). A class without a window is never the answer."""
    here = np.unique(target)
    if len(here) < n_classes:
        weights, biases = np.zeros((n_classes, z.shape[1])), np.full(n_classes, ABSENT)
        weights[here], biases[here] = (
            _logistic(z, np.searchsorted(here, target), weight, c, len(here))
            if len(here) > 1 else (0.0, 0.0))
        return weights, biases
    model = LogisticRegression(C=c, max_iter=300, tol=1e-4).fit(z, target, sample_weight=weight)
    if len(model.classes_) > 2:
        return model.coef_, model.intercept_
    half = model.coef_ / 2, model.intercept_ / 2
    return np.concatenate([-half[0], half[0]]), np.concatenate([-half[1], half[1]])


def _ridge(z, target, c: float) -> tuple[np.ndarray, np.ndarray]:
    """The same of one number: the penalty is 1 / c on deviations of the number."""
    middle, spread = target.mean(), max(float(target.std()), 1e-12)
    found = np.linalg.solve(z.T @ z + np.eye(z.shape[1]) / c, z.T @ ((target - middle) / spread))
    return spread * found[None], np.array([middle])
