"""Log power of every channel in five bands, and a linear model.

As simple as it gets, and hard to beat where states differ in their rhythms.
"""

import numpy as np

from . import recentering, spectra
from .linear import Linear


class BandPower(Linear):
    def features(self, x: np.ndarray, subjects: np.ndarray, training: bool) -> np.ndarray:
        """Log power [window, band × channel]."""
        if training:
            self.bands = spectra.usable(x, spectra.ALL)
        power = np.diagonal(x[:, self.bands], axis1=2, axis2=3)
        features = np.log(power + 1e-12).reshape(len(x), -1)
        return recentering.log_power(features, subjects) if self.recentered else features


class BandPowerLR(BandPower):
    """Log power of every channel in five bands, logistic regression."""

    SETTINGS = tuple({"c": c} for c in (1e-2, 1e-1, 1e-3, 1.0, 1e-4, 10.0))


class BandPowerRidge(BandPower):
    """Log power of every channel in five bands, ridge regression to a number.

    Re-centered, it uses only what differs between the windows of a subject.
    """

    REGRESSION = True
    SETTINGS = tuple({"alpha": alpha} for alpha in (1e2, 1e3, 1e1, 1e4, 1.0, 1e5))
