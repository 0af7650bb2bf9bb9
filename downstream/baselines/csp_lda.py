"""Common spatial patterns and linear discriminant analysis, the classic of motor imagery.

Sources: Blankertz et al. 2008, IEEE Signal Processing Magazine 25(1):41 (CSP); shrinkage of the LDA
after Ledoit & Wolf 2004.
"""

import numpy as np
from pyriemann.spatialfilters import CSP

from . import inputs, recentering, spectra
from .linear import BalancedLDA

ALPHA_BETA, THETA_TO_BETA = (2, 3), (1, 2, 3)


class CSPLDA:
    """Common spatial patterns and LDA with shrinkage, the classic of motor imagery."""

    SEES = "covariances"
    REGRESSION = False
    DRAWS = False
    SETTINGS = tuple(
        {"bands": bands, "n_filters": n}
        for bands in (ALPHA_BETA, spectra.ALL, THETA_TO_BETA) for n in (4, 8)
    )
    recentered = False

    def __init__(self, seed: int, bands: tuple[int, ...], n_filters: int):
        self.bands, self.n_filters = bands, n_filters

    def fit(self, x: np.ndarray, target: np.ndarray, subjects: np.ndarray, validation=None) -> None:
        """Learn from the training windows; validation is not looked at."""
        inputs.check_training(self.SEES, self.REGRESSION, x, target, subjects)
        spectra.usable(x, self.bands)  # says so if there are none
        self.shape = x.shape[1:]
        self.channels = spectra.Channels().fit(x)
        matrices = self._matrices(x, subjects)
        self.csp = CSP(nfilter=min(self.n_filters, matrices.shape[-1]), log=True)
        features = self.csp.fit(matrices, target).transform(matrices)
        self.lda = BalancedLDA().fit(features, target)

    def predict(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        """Probabilities [window, class]."""
        inputs.check_windows(self.SEES, x, subjects, self.shape)
        return self.lda.predict_proba(self.csp.transform(self._matrices(x, subjects)))

    def _matrices(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        matrices = self.channels(x[:, list(self.bands)].sum(axis=1))
        return recentering.covariances(matrices, subjects) if self.recentered else matrices
