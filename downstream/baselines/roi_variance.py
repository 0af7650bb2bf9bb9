"""How much every region varies over a window, and a linear model: no connectivity in it at all.

Where connectivity does no better than this, what it tells people apart by may be amplitude, which
movement and the scanner change (fractional amplitude of slow fluctuations is this in one band).
"""

import numpy as np

from .linear import Linear


class ROIVarianceLR(Linear):
    """Log variance of every region over a window, logistic regression."""

    SEES = "unscaled_scans"
    SETTINGS = tuple({"c": c} for c in (1e-2, 1e-3, 1e-1, 1e-4, 1.0, 10.0))

    def features(self, x: np.ndarray, subjects: np.ndarray, training: bool) -> np.ndarray:
        """Log variance over the volumes that were measured, [window, region]."""
        power = np.stack([np.asarray(scan, dtype=np.float64).var(axis=1) for scan in x])
        return np.log(np.maximum(power, 1e-12))


class ROIVarianceRidge(ROIVarianceLR):
    """Log variance of every region over a window, ridge regression to a number."""

    REGRESSION = True
    SETTINGS = tuple({"alpha": alpha} for alpha in (1e2, 1e3, 1e1, 1e4, 1.0, 1e5))
