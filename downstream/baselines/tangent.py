"""Covariances in the tangent space of their mean, and a linear model.

Sources: Barachant et al. 2012, IEEE TBME 59:920 (tangent space); Sabbagh et al. 2020, NeuroImage
222:116893 (side by side in several bands, with ridge regression, for age).
"""

import numpy as np
from pyriemann.utils.tangentspace import tangent_space

from . import recentering, spectra
from .linear import Linear

WIDE = (spectra.ALL,)
FILTER_BANK = tuple((band,) for band in spectra.ALL)


class Tangent(Linear):
    """bank: groups of bands; each gives one covariance of a window, and one tangent vector."""

    bank: tuple[tuple[int, ...], ...] = WIDE

    def features(self, x: np.ndarray, subjects: np.ndarray, training: bool) -> np.ndarray:
        """Tangent vectors of all groups of bands side by side, [window, feature]."""
        if training:
            usable = spectra.usable(x, spectra.ALL)
            self.used = [bands for bands in self.bank if set(bands) & set(usable)]
            self.channels, self.means = spectra.Channels().fit(x), []
        parts = []
        for number, bands in enumerate(self.used):
            matrices = self.channels(x[:, list(bands)].sum(axis=1))
            if self.recentered:
                matrices = recentering.covariances(matrices, subjects)
            if training:
                self.means.append(recentering.mean(matrices))
            parts.append(tangent_space(matrices, self.means[number]))
        return np.concatenate(parts, axis=1)


class TangentLR(Tangent):
    """One covariance over all bands in tangent space, logistic regression."""

    SETTINGS = tuple({"c": c} for c in (1e-3, 1e-2, 1e-4, 1e-1, 1e-5, 1.0))


class FilterBankTangentLR(TangentLR):
    """A covariance in each of five bands in tangent space, logistic regression."""

    bank = FILTER_BANK


class TangentRidge(Tangent):
    """One covariance over all bands in tangent space, ridge regression to a number.

    Re-centered, it uses only what differs between the windows of a subject.
    """

    bank = FILTER_BANK
    REGRESSION = True
    SETTINGS = tuple({"alpha": alpha} for alpha in (1e3, 1e2, 1e4, 1e1, 1e5, 1.0))
