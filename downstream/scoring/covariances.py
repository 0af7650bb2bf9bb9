"""Lagged covariances of a recording, which fingerprints and linear models are made of.

Products within stretches, over the number of all samples: a longer lag weighs a little less, and
the sequence is positive semi-definite whatever the data (Brockwell & Davis 1991, §7.2).
"""

import numpy as np
from jaxtyping import Float

from .stretches import Stretches


def lagged(stretches: Stretches, n_lags: int) -> Float[np.ndarray, "lag channel channel"]:
    """Covariance of channel i later by the lag with channel j, [lag, i, j]; lags 0 … n_lags − 1."""
    width = len(stretches[0])
    total = np.zeros((n_lags, width, width))
    for stretch in stretches:
        x = stretch.astype(np.float64)
        for lag in range(min(n_lags, x.shape[1])):
            total[lag] += x[:, lag:] @ x[:, : x.shape[1] - lag].T
    return total / sum(stretch.shape[1] for stretch in stretches)


def lagged_single(stretches: Stretches, n_lags: int) -> Float[np.ndarray, "channel lag"]:
    """Covariance of each channel with itself."""
    total = np.zeros((len(stretches[0]), n_lags))
    for stretch in stretches:
        x = stretch.astype(np.float64)
        for lag in range(min(n_lags, x.shape[1])):
            total[:, lag] += np.einsum("ct,ct->c", x[:, lag:], x[:, : x.shape[1] - lag])
    return total / sum(stretch.shape[1] for stretch in stretches)
