"""Ridge regression of many regions at once, the penalty of each chosen on other volumes.

Hoerl & Kennard 1970. All penalties share one eigendecomposition, of whichever of the two Gram
matrices is smaller.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# Of features of variance 1 that may be nearly the same; a region's is chosen among them.
PENALTIES = np.logspace(-3, 4, 15)


@dataclass(frozen=True, eq=False)
class Ridge:
    """Weights of every region, and the penalty that gave them."""

    center: Float[np.ndarray, " feature"]  # center, scale: of the features in training volumes
    scale: Float[np.ndarray, " feature"]
    weight: Float[np.ndarray, "feature roi"]
    offset: Float[np.ndarray, " roi"]
    penalty: Float[np.ndarray, " roi"]  # of each region; NaN where nothing could be learned of it

    def predict(
        self, features: Float[np.ndarray, "volume feature"]
    ) -> Float[np.ndarray, "volume roi"]:
        return (features - self.center) / self.scale @ self.weight + self.offset


def fit(
    x: Float[np.ndarray, "volume feature"], y: Float[np.ndarray, "volume roi"],
    x_other: Float[np.ndarray, "other feature"], y_other: Float[np.ndarray, "other roi"],
) -> Ridge:
    """Learn on x and y; x_other and y_other choose penalties by squared error. NaN in y: not
    measured. The error's scale is that of targets, which are z-scored."""
    center, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    x, x_other = (x - center) / scale, (x_other - center) / scale
    n_rois = y.shape[1]
    weight = np.zeros((x.shape[1], n_rois))
    offset, penalty = np.full(n_rois, np.nan), np.full(n_rois, np.nan)
    # Regions that were measured in the same volumes are solved together; mostly these are all.
    patterns, group = np.unique(np.isfinite(y), axis=1, return_inverse=True)
    for number, known in enumerate(patterns.T):
        own = np.flatnonzero(group.ravel() == number)
        if known.sum() < 3:
            continue
        offset[own] = y[known][:, own].mean(axis=0)
        basis, strength, moment = _decomposed(x[known], y[known][:, own] - offset[own])
        ways = [moment / (strength[:, None] + each) for each in PENALTIES]
        error = [_error(x_other @ basis @ way + offset[own], y_other[:, own]) for way in ways]
        best = np.argmin(error, axis=0)
        penalty[own] = PENALTIES[best]
        chosen = np.stack([ways[k][:, column] for column, k in enumerate(best)], axis=1)
        weight[:, own] = basis @ chosen
    return Ridge(center, scale, weight, offset, penalty)


def _decomposed(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(basis, strength, moment): weights under a penalty are basis · moment / (strength +
    penalty), with the Gram matrix divided by the number of volumes."""
    n = len(x)
    if x.shape[1] <= n:
        strength, basis = np.linalg.eigh(x.T @ x / n)
        return basis, np.maximum(strength, 0), basis.T @ (x.T @ y) / n
    strength, axes = np.linalg.eigh(x @ x.T / n)
    return x.T @ axes, np.maximum(strength, 0), axes.T @ y / n


def _error(found: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean squared error of each region; infinite where nothing was measured."""
    known = np.isfinite(target)
    squares = np.where(known, np.square(found - np.nan_to_num(target)), 0).sum(axis=0)
    return np.where(known.any(axis=0), squares / np.maximum(known.sum(axis=0), 1), np.inf)
