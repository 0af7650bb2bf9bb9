"""Covariances in the tangent space of their mean, and logistic regression.

Sources: Barachant et al. 2012, IEEE TBME 59:920 (tangent space); re-centring of subjects by their
own mean, without labels: Zanini et al. 2018, IEEE TBME 65:1107.
"""

import numpy as np
from pyriemann.utils.base import invsqrtm
from pyriemann.utils.mean import mean_riemann
from pyriemann.utils.tangentspace import tangent_space

from . import spectra
from .band_power import logistic

WIDE = ((0, 1, 2, 3, 4),)
FILTER_BANK = ((0,), (1,), (2,), (3,), (4,))


class TangentLR:
    SETTINGS = tuple(
        {"bank": bank, "c": c} for bank in (WIDE, FILTER_BANK) for c in (1e-4, 1e-3, 1e-2, 1e-1)
    )
    recentre = False

    def __init__(self, seed: int, bank: tuple[tuple[int, ...], ...], c: float):
        self.bank, self.model = bank, logistic(c)

    def fit(self, x: np.ndarray, target: np.ndarray, subjects: np.ndarray) -> None:
        self.bank = [bands for bands in self.bank if spectra.usable(x, bands)]
        self.channels = spectra.Channels().fit(x)
        self.means: list[np.ndarray] = []
        self.model.fit(self._features(x, subjects), target)

    def probabilities(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(self._features(x, subjects))

    def _features(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        """Tangent vectors of all bands side by side; the first call sets the reference points."""
        parts, first = [], not self.means
        for number, bands in enumerate(self.bank):
            matrices = self.channels(x[:, list(bands)].sum(axis=1))
            if self.recentre:
                matrices = recentred(matrices, subjects)
            if first:
                self.means.append(mean(matrices))
            parts.append(tangent_space(matrices, self.means[number]))
        return np.concatenate(parts, axis=1)


class RecentredTangentLR(TangentLR):
    """Each subject's mean covariance becomes the identity: uses all of a subject's windows, but no
    label."""

    recentre = True


def recentred(matrices: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Whitened by the mean of their subject, [window, channel, channel]."""
    out = np.empty_like(matrices)
    for subject in np.unique(subjects):
        rows = subjects == subject
        whitener = invsqrtm(mean(matrices[rows]))
        out[rows] = whitener @ matrices[rows] @ whitener
    return out


def mean(matrices: np.ndarray) -> np.ndarray:
    """Riemannian mean; a tolerance far below what a classifier could notice."""
    return mean_riemann(matrices, tol=1e-4, maxiter=30)
