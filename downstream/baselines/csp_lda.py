"""Common spatial patterns and linear discriminant analysis, the classic of motor imagery.

Sources: Blankertz et al. 2008, IEEE Signal Processing Magazine 25(1):41 (CSP); shrinkage of the LDA
after Ledoit & Wolf 2004.
"""

import numpy as np
from pyriemann.spatialfilters import CSP
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from . import spectra

ALPHA_BETA, THETA_TO_BETA, ALL = (2, 3), (1, 2, 3), (0, 1, 2, 3, 4)


class CSPLDA:
    SETTINGS = tuple(
        {"bands": bands, "n_filters": n}
        for bands in (ALPHA_BETA, THETA_TO_BETA, ALL) for n in (4, 8)
    )

    def __init__(self, seed: int, bands: tuple[int, ...], n_filters: int):
        self.bands, self.n_filters = bands, n_filters

    def fit(self, x: np.ndarray, target: np.ndarray, subjects: np.ndarray) -> None:
        self.channels = spectra.Channels().fit(x)
        matrices = self._matrices(x)
        self.csp = CSP(nfilter=min(self.n_filters, matrices.shape[-1]), log=True)
        features = self.csp.fit(matrices, target).transform(matrices)
        n_classes = len(np.unique(target))
        self.lda = LinearDiscriminantAnalysis(
            solver="lsqr", shrinkage="auto", priors=np.full(n_classes, 1 / n_classes)
        )
        self.lda.fit(features, target)

    def probabilities(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        return self.lda.predict_proba(self.csp.transform(self._matrices(x)))

    def _matrices(self, x: np.ndarray) -> np.ndarray:
        return self.channels(x[:, list(self.bands)].sum(axis=1))
