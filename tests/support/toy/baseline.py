"""The nearest class mean of each channel's loudness."""

import numpy as np


class ToyNearest:
    SEES = "signals"
    REGRESSION = False
    DRAWS = False
    SETTINGS = ({},)
    recentered = False

    def __init__(self, seed, sfreq):
        self.sfreq = sfreq

    def _loud(self, x):
        return np.log(np.abs(np.diff(x, axis=2)).mean(axis=2))

    def fit(self, x, target, subjects, validation=None):
        loud = self._loud(x)
        self.means = np.stack([loud[target == k].mean(axis=0) for k in np.unique(target)])

    def predict(self, x, subjects):
        far = np.square(self._loud(x)[:, None] - self.means).sum(axis=2)
        weight = np.exp(far.min(axis=1, keepdims=True) - far)
        return weight / weight.sum(axis=1, keepdims=True)
