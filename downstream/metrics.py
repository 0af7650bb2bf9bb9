"""Metrics of predictions, by their usual names, each from true values and what a method said.

Classification takes class indices [n] and probabilities [n, class]; regression takes values [n] and
predictions [n]. Each returns NaN where it is not defined (one class only, a constant), never 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata


@dataclass(frozen=True)
class Metric:
    """title: as printed. better: +1 where more is better, −1 where less is. chance: what guessing
    gets, given the number of classes; None where it depends on the labels. compute: see above."""

    title: str
    better: int
    chance: Callable[[int], float] | None
    compute: Callable[[np.ndarray, np.ndarray], float]


def balanced_accuracy(
    target: Int[np.ndarray, " n"], probability: Float[np.ndarray, "n class"]
) -> float:
    """Mean recall over the classes that are there; NaN if there is one only."""
    recall = _recalls(target, probability.argmax(axis=1))
    return float(np.mean(recall)) if len(recall) > 1 else np.nan


def macro_f1(target: Int[np.ndarray, " n"], probability: Float[np.ndarray, "n class"]) -> float:
    """Mean over the classes that are there of 2 TP / (2 TP + FP + FN)."""
    named, scores = probability.argmax(axis=1), []
    for k in np.unique(target):
        hits = ((named == k) & (target == k)).sum()
        scores.append(2 * hits / ((named == k).sum() + (target == k).sum()))
    return float(np.mean(scores)) if len(scores) > 1 else np.nan


def kappa(target: Int[np.ndarray, " n"], probability: Float[np.ndarray, "n class"]) -> float:
    """Cohen's κ: agreement beyond what the marginals give (Cohen 1960)."""
    named, n = probability.argmax(axis=1), len(target)
    classes = np.arange(probability.shape[1])
    expected = sum((named == k).sum() * (target == k).sum() for k in classes) / n**2
    agreed = (named == target).mean()
    return float((agreed - expected) / (1 - expected)) if expected < 1 else np.nan


def auroc(target: Int[np.ndarray, " n"], probability: Float[np.ndarray, "n class"]) -> float:
    """Area under the ROC curve; of several classes the mean of one against the rest."""
    return _one_against_rest(_area_roc, target, probability)


def auprc(target: Int[np.ndarray, " n"], probability: Float[np.ndarray, "n class"]) -> float:
    """Average precision (of two classes: of the second); of several the mean of one against the
    rest."""
    return _one_against_rest(_average_precision, target, probability)


def log_loss(target: Int[np.ndarray, " n"], probability: Float[np.ndarray, "n class"]) -> float:
    """Mean −ln of the probability given to the true class, nats."""
    return float(-np.log(probability[np.arange(len(target)), target].clip(1e-12)).mean())


def pearson(target: Float[np.ndarray, " n"], predicted: Float[np.ndarray, " n"]) -> float:
    """Pearson's r; NaN where either is constant."""
    a, b = target - target.mean(), predicted - predicted.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else np.nan


def r_squared(target: Float[np.ndarray, " n"], predicted: Float[np.ndarray, " n"]) -> float:
    """1 − error / variance; negative where the mean would do better."""
    spread = np.square(target - target.mean()).sum()
    return float(1 - np.square(target - predicted).sum() / spread) if spread > 0 else np.nan


def mean_absolute_error(
    target: Float[np.ndarray, " n"], predicted: Float[np.ndarray, " n"]
) -> float:
    return float(np.abs(target - predicted).mean())


CLASSIFICATION = {
    "balanced_accuracy": Metric("balanced accuracy", 1, lambda n: 1 / n, balanced_accuracy),
    "auroc": Metric("AUROC", 1, lambda n: 0.5, auroc),
    "auprc": Metric("AUPRC", 1, None, auprc),
    "kappa": Metric("Cohen's κ", 1, lambda n: 0.0, kappa),
    "macro_f1": Metric("macro F1", 1, None, macro_f1),
    "log_loss": Metric("log loss", -1, None, log_loss),
}
REGRESSION = {
    "pearson": Metric("Pearson r", 1, lambda n: 0.0, pearson),
    "r2": Metric("R²", 1, lambda n: 0.0, r_squared),
    "mae": Metric("mean absolute error", -1, None, mean_absolute_error),
}
ALL = {**CLASSIFICATION, **REGRESSION}


def find(name: str, kind: str) -> Metric:
    """A metric by name; ValueError if there is none for this kind of task."""
    known = {"classification": CLASSIFICATION, "regression": REGRESSION}[kind]
    if name not in known:
        raise ValueError(f"metric {name!r} is not one for {kind}; there are {', '.join(known)}")
    return known[name]


def _recalls(target: np.ndarray, named: np.ndarray) -> list[float]:
    return [float((named[target == k] == k).mean()) for k in np.unique(target)]


def _one_against_rest(area, target: np.ndarray, probability: np.ndarray) -> float:
    if probability.shape[1] == 2:
        return area(target == 1, probability[:, 1])
    areas = [area(target == k, probability[:, k]) for k in np.unique(target)]
    return float(np.mean(areas)) if len(areas) > 1 else np.nan


def _area_roc(positive: np.ndarray, score: np.ndarray) -> float:
    """Mann and Whitney's U over the number of pairs."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not (n and m):
        return np.nan
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def _average_precision(positive: np.ndarray, score: np.ndarray) -> float:
    """Σ (recall step × precision) down the ranking; tied scores count as one step."""
    if not positive.any() or positive.all():
        return np.nan
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.r_[np.diff(score[order]) != 0, True]
    hits = np.cumsum(positive[order])[last_of_tie]
    named = np.flatnonzero(last_of_tie) + 1
    return float(np.sum(np.diff(np.r_[0, hits]) * hits / named) / positive.sum())
