"""Metrics by their usual names, each from a table that adds up over subjects.

A method's predictions are first counted per subject (`count`), then a metric is read from one
subject's table, from their sum, or from the sum over subjects drawn again (`compute`, which takes
any leading axes): the same few lines serve the score, the pooled score and its interval. What is
not defined (one class only, a constant) is NaN, never 0. Balanced accuracy, the score that methods
are compared by, is in `statistics.py`.

Cohen 1960 (κ); Fawcett 2006 (ROC); Davis & Goadrich 2006 (precision and recall); Brier 1950;
Naeini et al. 2015 (expected calibration error).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

BINS = 10  # of confidence, for calibration


@dataclass(frozen=True)
class Metric:
    """A metric: how it is counted and computed, and how it is printed."""

    title: str  # as printed
    better: int  # +1 where more is better, −1 where less is
    # count(target [n], probability [n, class], who [n], n_subjects) → [subject, …], additive;
    # regression: count(numbers [n], predicted [n], who, n_subjects)
    count: Callable[..., np.ndarray]
    compute: Callable[[np.ndarray], np.ndarray]  # […, …] → […]
    unit: str = ""  # as printed
    pooled: bool = False  # never one subject at a time (too few windows in a bin)
    # a smaller table than count's for drawing subjects again, where count's has an entry a window
    rough: Callable[..., np.ndarray] | None = None


def confusion(
    target: Int[np.ndarray, " n"], probability: Float[np.ndarray, "n class"],
    who: Int[np.ndarray, " n"], n_subjects: int,
) -> Float[np.ndarray, "subject true named"]:
    """How often which class was given which name; the first of equal probabilities is the name."""
    n = probability.shape[1]
    cells = (who * n + target) * n + probability.argmax(axis=1)
    return np.bincount(cells, minlength=n_subjects * n * n).reshape(n_subjects, n, n).astype(float)


def by_rank(
    target: Int[np.ndarray, " n"], probability: Float[np.ndarray, "n class"],
    who: Int[np.ndarray, " n"], n_subjects: int, at_most: int | None = None,
) -> Float[np.ndarray, "subject class two rank"]:
    """Windows of other classes and of the class at each distinct score of it, ascending; of two
    classes only the second. at_most: beyond so many ranks neighbors are taken as one."""
    asked = [1] if probability.shape[1] == 2 else range(probability.shape[1])
    ranks = [np.unique(probability[:, k], return_inverse=True)[1] for k in asked]
    width = max((int(rank.max()) + 1 for rank in ranks if len(rank)), default=1)
    if at_most is not None and width > at_most:
        ranks, width = [rank * at_most // width for rank in ranks], at_most
    made = []
    for k, rank in zip(asked, ranks, strict=True):
        cells = (who * 2 + (target == k)) * width + rank
        made.append(np.bincount(cells, minlength=n_subjects * 2 * width)
                    .reshape(n_subjects, 2, width))
    return np.stack(made, axis=1).astype(float)


def by_few_ranks(
    target: Int[np.ndarray, " n"], probability: Float[np.ndarray, "n class"],
    who: Int[np.ndarray, " n"], n_subjects: int,
) -> Float[np.ndarray, "subject class two rank"]:
    """`by_rank` in a table small enough to be drawn a thousand times."""
    return by_rank(target, probability, who, n_subjects, 256)


def _losses(loss):
    """A counter of (windows, summed loss) from loss(target, probability) → [n]."""
    def count(target, probability, who, n_subjects):
        summed = np.bincount(who, weights=loss(target, probability), minlength=n_subjects)
        return np.stack([np.bincount(who, minlength=n_subjects), summed], axis=-1)
    return count


def _surprise(target: np.ndarray, probability: np.ndarray) -> np.ndarray:
    return -np.log(probability[np.arange(len(target)), target].clip(1e-12))


def _brier(target: np.ndarray, probability: np.ndarray) -> np.ndarray:
    return np.square(probability - np.eye(probability.shape[1])[target]).sum(axis=1)


def calibration(
    target: Int[np.ndarray, " n"], probability: Float[np.ndarray, "n class"],
    who: Int[np.ndarray, " n"], n_subjects: int,
) -> Float[np.ndarray, "subject bin 3"]:
    """(windows, summed confidence, right) in bins of the probability of the class named, equally
    wide from 1/classes, the least there can be, to 1."""
    sure, right = probability.max(axis=1), probability.argmax(axis=1) == target
    least = 1 / probability.shape[1]
    place = np.clip(((sure - least) / (1 - least) * BINS).astype(int), 0, BINS - 1)
    cells = who * BINS + place
    return np.stack([
        np.bincount(cells, weights=values, minlength=n_subjects * BINS).reshape(n_subjects, BINS)
        for values in (np.ones(len(sure)), sure, right)
    ], axis=-1)


def moments(
    target: Float[np.ndarray, " n"], predicted: Float[np.ndarray, " n"],
    who: Int[np.ndarray, " n"], n_subjects: int,
) -> Float[np.ndarray, "subject 7"]:
    """Means over each subject's windows of 1, y, ŷ, y², ŷ², yŷ and |y − ŷ|; subjects weigh alike
    however many windows they have. Numbers are taken from their middle, for precision."""
    middle = target.mean() if len(target) else 0.0
    y, x = target - middle, predicted - middle
    windows = np.bincount(who, minlength=n_subjects)
    return np.stack([
        np.bincount(who, weights=values, minlength=n_subjects) / np.maximum(windows, 1)
        for values in (np.ones(len(y)), y, x, y * y, x * x, x * y, np.abs(y - x))
    ], axis=-1)


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, NaN where b is 0 (or as good as)."""
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=np.abs(b) > 1e-12)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN; NaN where there is nothing."""
    known = np.isfinite(values)
    return _divide(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1).astype(float))


def _kappa(table: np.ndarray) -> np.ndarray:
    """Agreement beyond what the marginals give."""
    n = table.sum(axis=(-2, -1))
    agreed = _divide(np.trace(table, axis1=-2, axis2=-1), n)
    expected = _divide((table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1), n**2)
    return _divide(agreed - expected, 1 - expected)


def _macro_f1(table: np.ndarray) -> np.ndarray:
    """Mean over the classes that are there of 2 TP / (2 TP + FP + FN); NaN if there is one only."""
    true, named = table.sum(axis=-1), table.sum(axis=-2)
    each = _divide(2 * np.diagonal(table, axis1=-2, axis2=-1), true + named)
    there = true > 0
    return np.where(there.sum(axis=-1) > 1, _mean(np.where(there, each, np.nan)), np.nan)


def _auroc(table: np.ndarray) -> np.ndarray:
    """Mann and Whitney's U over the number of pairs; of several classes one against the rest."""
    rest, own = table[..., 0, :], table[..., 1, :]
    below = np.cumsum(rest, axis=-1) - rest
    won = (own * (below + rest / 2)).sum(axis=-1)
    return _mean(_divide(won, rest.sum(axis=-1) * own.sum(axis=-1)))


def _auprc(table: np.ndarray) -> np.ndarray:
    """Average precision: Σ recall step × precision down the ranking; ties are one step."""
    rest, own = table[..., 0, ::-1], table[..., 1, ::-1]
    hits = np.cumsum(own, axis=-1)
    named = hits + np.cumsum(rest, axis=-1)
    precision = np.divide(hits, named, out=np.zeros_like(hits), where=named > 0)
    both = (rest.sum(axis=-1) > 0) & (own.sum(axis=-1) > 0)
    each = _divide((own * precision).sum(axis=-1), own.sum(axis=-1))
    return _mean(np.where(both, each, np.nan))


def _mean_loss(table: np.ndarray) -> np.ndarray:
    return _divide(table[..., 1], table[..., 0])


def _expected_calibration_error(table: np.ndarray) -> np.ndarray:
    """Mean over windows of |confidence − share right| of their bin."""
    windows, sure, right = (table[..., k] for k in range(3))
    return _divide(np.abs(sure - right).sum(axis=-1), windows.sum(axis=-1))


def _pearson(table: np.ndarray) -> np.ndarray:
    n, y, x, yy, xx, xy, _ = (table[..., k] for k in range(7))
    spread_y, spread_x = n * yy - y * y, n * xx - x * x
    defined = (spread_y > 1e-9 * n * yy) & (spread_x > 1e-9 * n * xx)  # a constant has none
    scale = np.sqrt(np.where(defined, spread_y * spread_x, 0))
    return _divide(np.where(defined, n * xy - y * x, 0), np.where(defined, scale, 0))


def _r_squared(table: np.ndarray) -> np.ndarray:
    """1 − squared error / variance; negative where the mean of these numbers would do better."""
    n, y, _, yy, xx, xy, _ = (table[..., k] for k in range(7))
    spread = yy - _divide(y * y, n)
    return 1 - _divide(yy - 2 * xy + xx, np.where(spread > 1e-9 * yy, spread, 0))


def _mean_absolute_error(table: np.ndarray) -> np.ndarray:
    return _divide(table[..., 6], table[..., 0])


CLASSIFICATION = {
    "auroc": Metric("AUROC", 1, by_rank, _auroc, rough=by_few_ranks),
    "auprc": Metric("AUPRC", 1, by_rank, _auprc, rough=by_few_ranks),
    "kappa": Metric("Cohen's κ", 1, confusion, _kappa),
    "macro_f1": Metric("macro F1", 1, confusion, _macro_f1),
    "log_loss": Metric("log loss", -1, _losses(_surprise), _mean_loss, "nats"),
    "brier": Metric("Brier score", -1, _losses(_brier), _mean_loss),
    "calibration_error": Metric("calibration error", -1, calibration, _expected_calibration_error,
                                pooled=True),
}
REGRESSION = {
    "pearson": Metric("Pearson r", 1, moments, _pearson, pooled=True),
    "r2": Metric("R²", 1, moments, _r_squared, pooled=True),
    "mae": Metric("mean absolute error", -1, moments, _mean_absolute_error, pooled=True),
}


def score(name: str, target: np.ndarray, probability: np.ndarray) -> float:
    """A metric of windows that are all of one subject, or as if they were.

    target: class indices [n] and probability [n, class]; or numbers [n] and predictions [n].
    """
    known = {**CLASSIFICATION, **REGRESSION}
    if name not in known:
        raise ValueError(f"unknown metric {name!r}; there are {', '.join(known)}")
    nobody = np.zeros(len(target), dtype=int)
    return float(known[name].compute(known[name].count(target, probability, nobody, 1)[0]))
