"""Whether a generated recording is recognized as its person's: lagged covariances, nearest one.

The feature of a recording: the covariances of every ordered pair of channels at lags of 0 … 20
samples, which are the distinct entries of the covariance of the signal embedded with 21 lags;
beside it, those of each channel with itself alone (lags 1 … 20), which a model of single channels
can have. Distance: 1 − Pearson correlation of two features. A generated person is recognized where
the real second half with the least distance is their own: chance is 1 in the number of people.

p: who a generated recording is said to be of is exchanged; all exchanges up to 7 people, else
random ones, of which the true one counts as one (Phipson & Smyth 2010).
"""

from itertools import permutations

import numpy as np
from jaxtyping import Float

N_LAGS = 21
_ALL = 7  # people of whom all exchanges are gone through


def feature(covariance: Float[np.ndarray, "lag channel channel"], single: bool) -> np.ndarray:
    """The numbers a recording is recognized by. single: of each channel with itself alone."""
    lags = covariance[:N_LAGS]
    if single or lags.shape[1] == 1:
        return np.diagonal(lags[1:], axis1=1, axis2=2).ravel().astype(np.float32)
    above = np.triu_indices(lags.shape[1], 1)
    return np.concatenate([lags[0][above], lags[1:].ravel()]).astype(np.float32)


def distances(
    generated: Float[np.ndarray, "person feature"], real: Float[np.ndarray, "person feature"]
) -> Float[np.ndarray, "generated real"]:
    """1 − correlation of each generated person's feature with each real one's."""
    return 1 - (_standard(generated) @ _standard(real).T).astype(np.float64)


def _standard(features: np.ndarray) -> np.ndarray:
    centered = features - features.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    return np.divide(centered, length, out=np.zeros_like(centered), where=length > 0)


def others(distance: Float[np.ndarray, "generated real"]) -> Float[np.ndarray, " generated"]:
    """Mean distance of each generated person to the other real ones."""
    return (distance.sum(axis=1) - np.diagonal(distance)) / (len(distance) - 1)


def hits(distance: Float[np.ndarray, "generated real"]) -> Float[np.ndarray, "generated real"]:
    """1 at each generated person's nearest real one, else 0; the diagonal are those recognized."""
    return (distance.argmin(axis=1)[:, None] == np.arange(len(distance))).astype(float)


def p_of_exchange(
    score: Float[np.ndarray, "generated real"], n_permutations: int, seed: int
) -> float:
    """p that the mean of the score (more is better) over people and their own real recordings is
    as high when people are exchanged."""
    n = len(score)
    if n <= _ALL:
        orders = np.array(list(permutations(range(n))))
    else:
        rng = np.random.default_rng(seed)
        orders = np.stack([np.arange(n), *(rng.permutation(n) for _ in range(n_permutations))])
    drawn = score[np.arange(n), orders].mean(axis=1)  # the first is as it is
    return float((drawn >= drawn[0] - 1e-9).mean())
