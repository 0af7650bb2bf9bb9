"""Functional connectivity and a linear model: what every model of fMRI must be held against.

Sources: correlation between regions, and its tangent space about the training scans' mean
(Varoquaux et al. 2010, MICCAI; Dadi et al. 2019, NeuroImage 192:115), both by nilearn's
`ConnectivityMeasure`, with Ledoit and Wolf's covariance.
"""

import numpy as np

from .linear import Linear


class Connectivity(Linear):
    """A subclass says which kind of connectivity, and the linear model."""

    SEES = "scans"
    KIND = "correlation"

    def features(self, x: np.ndarray, subjects: np.ndarray, training: bool) -> np.ndarray:
        """Upper triangle of the connectivity matrix, [scan, pair]."""
        from nilearn.connectome import ConnectivityMeasure

        series = [np.asarray(scan, dtype=np.float64).T for scan in x]  # nilearn: [volume, region]
        if training:
            self.measure = ConnectivityMeasure(kind=self.KIND, vectorize=True, standardize=False,
                                               discard_diagonal=self.KIND == "correlation")
            self.measure.fit(series)
        features = self.measure.transform(series)
        if self.KIND == "correlation":
            features = np.arctanh(np.clip(features, -0.999, 0.999))
        return features


class CorrelationLR(Connectivity):
    """Correlations between regions, logistic regression."""

    SETTINGS = tuple({"c": c} for c in (1e-3, 1e-4, 1e-2, 1e-5, 1e-1, 1.0))


class TangentFCLR(CorrelationLR):
    """Connectivity of regions in tangent space, logistic regression."""

    KIND = "tangent"


class CorrelationRidge(Connectivity):
    """Correlations between regions, ridge regression to a number."""

    REGRESSION = True
    SETTINGS = tuple({"alpha": alpha} for alpha in (1e4, 1e5, 1e3, 1e6, 1e2, 1e1))


class TangentFCRidge(CorrelationRidge):
    """Connectivity of regions in tangent space, ridge regression to a number."""

    KIND = "tangent"
