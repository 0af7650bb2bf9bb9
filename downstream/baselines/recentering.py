"""Re-centering: every subject's windows are moved so that their mean is the same for all subjects.

No label is used, but all windows of a subject are, so it cannot be done for a single new window.
Where the mean lies, and what moving is, depends on what a method sees: covariances (Zanini et al.
2018, IEEE TBME 65:1107), signals (Euclidean alignment: He & Wu 2020, IEEE TBME 67:399), log power.

It helps where people differ in what does not matter. Where the target is the same for all windows
of a subject, such as age, the mean IS what is asked for, and little is left to be predicted from.
"""

from functools import cache

import numpy as np
from pyriemann.utils.base import invsqrtm
from pyriemann.utils.mean import mean_riemann

LEAST = 1e-3  # eigenvalue of a subject's covariance, to the mean one, that is still blown up to 1


@cache
def recentered(baseline: type) -> type:
    """The same baseline, which re-centers the windows of every subject that it is given."""
    about = f"{baseline.__name__} with every subject re-centered: no labels, but all their windows."
    fields = {"recentered": True, "__doc__": about}
    return type(f"Recentered{baseline.__name__}", (baseline,), fields)


def covariances(matrices: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Whitened by their subject's Riemannian mean, which becomes the identity; positive definite
    [window, channel, channel]."""
    out = np.empty_like(matrices)
    for rows in _each(subjects):
        whitener = invsqrtm(mean(matrices[rows]))
        out[rows] = whitener @ matrices[rows] @ whitener
    return out


def log_power(features: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Minus their subject's mean, which takes gains away; [window, feature]."""
    out = np.empty_like(features)
    for rows in _each(subjects):
        out[rows] = features[rows] - features[rows].mean(axis=0)
    return out


def signals(signal: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Whitened by their subject's mean covariance, arithmetic; float32 [window, channel, time].

    Deviation from the paper: directions without power (average reference, interpolated channels)
    are not blown up to that of the others.
    """
    out = np.empty(signal.shape, dtype=np.float32)
    for rows in _each(subjects):
        own = signal[rows].astype(np.float64)
        values, vectors = np.linalg.eigh(np.einsum("wct,wdt->cd", own, own, optimize=True)
                                         / (len(own) * own.shape[2]))
        floor = max(LEAST * values.mean(), np.finfo(np.float64).tiny)
        whitener = vectors / np.sqrt(np.maximum(values, floor)) @ vectors.T
        out[rows] = whitener @ own
    return out


def mean(matrices: np.ndarray) -> np.ndarray:
    """Riemannian mean; a tolerance far below what a classifier could notice."""
    return mean_riemann(matrices, tol=1e-4, maxiter=30)


def _each(subjects: np.ndarray):
    """Rows of one subject after the other."""
    for subject in np.unique(subjects):
        yield np.flatnonzero(subjects == subject)
