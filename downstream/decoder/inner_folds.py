"""Folds inside the training windows, by which a stack chooses: by people where there are some.

Of fewer than four people each recording is cut into blocks of time, as in protocol.kind=within.
"""

import numpy as np
from jaxtyping import Int

LEAST_PEOPLE, FOLDS = 4, 5


def inner_folds(
    subjects: np.ndarray, target: np.ndarray, recording: np.ndarray, start_s: np.ndarray,
    seed: int = 0, by_class: bool = True,
) -> Int[np.ndarray, " window"]:
    """Number of the fold that each window is judged in.

    Parameters
    ----------
    subjects, target, recording, start_s
        Of each window.
    seed
        Of the order in which people are dealt out.
    by_class
        Whether people of one class each are dealt out class by class.

    Returns
    -------
    ndarray
        0 … n − 1, of at most 5 folds.
    """
    people, of = np.unique(subjects, return_inverse=True)
    if len(people) < LEAST_PEOPLE:
        return _blocks(recording, start_s)
    order = np.random.default_rng(seed).permutation(len(people))
    first = np.array([target[of == k][0] for k in range(len(people))])
    alike = all((target[of == k] == first[k]).all() for k in range(len(people)))
    if alike and by_class:
        order = order[np.argsort(first[order], kind="stable")]
    fold = np.empty(len(people), dtype=int)
    fold[order] = np.arange(len(people)) % min(FOLDS, len(people))
    return fold[of]


def _blocks(recording: np.ndarray, start_s: np.ndarray) -> Int[np.ndarray, " window"]:
    fold = np.zeros(len(recording), dtype=int)
    for each in np.unique(recording):
        own = np.flatnonzero(recording == each)
        own = own[np.argsort(start_s[own], kind="stable")]
        fold[own] = np.arange(len(own)) * FOLDS // len(own)
    return fold
