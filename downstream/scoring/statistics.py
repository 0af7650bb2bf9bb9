"""What scores of unseen people are worth: balanced accuracy, intervals over subjects, chance.

Windows of one person are not independent, so nothing here resamples windows: intervals come from
resampling subjects (and training seeds), differences are paired over subjects, chance is what
exchanged labels give. With one subject, folds take the subjects' place (`unit`).
Bootstrap: Efron & Tibshirani 1993, ch. 13, with quantiles widened for few subjects (Hesterberg
2015, "expanded percentile"); correction: Holm 1979; ranks: Demšar 2006.

A score array is [seed, subject, class]: recalls; or [seed, subject, 1]: an error, any one number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from neurofm.pages import words

from .exchanges import Exchanges, exchanges

LEVEL = 0.95
DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval; NaN where there is one subject only."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return words.estimate(self.mean, self.low, self.high)


@dataclass(frozen=True)
class Chance(Estimate):
    """Mean and 95 % range of the score under exchanged labels."""

    unit: str = ""  # what was exchanged
    # labelings there are; with fewer than 40 the range is that of a handful of values, and p cannot
    # fall below 1/count; with none (0) the mean is that of answers which do not know the label, and
    # there is neither range nor p
    count: int = 0
    exact: bool = False  # all of them were gone through


@dataclass(frozen=True, eq=False)
class Ranks:
    """Average ranks of methods, and whether they differ at all."""

    mean: np.ndarray  # average rank of each method over subjects, 1 = best
    p: float  # Friedman's, that all are alike; NaN for fewer than three methods
    n: int  # subjects


def recalls(
    target: np.ndarray, predicted: np.ndarray, subjects: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """(recall [subject, class], names of the subjects, ascending); NaN where a class is absent.

    target, predicted: class index of each window. subjects: whose window it is.
    """
    names, rows = np.unique(subjects, return_inverse=True)
    cells, shape = rows * n_classes + target, (len(names), n_classes)
    total = np.bincount(cells, minlength=np.prod(shape)).reshape(shape).astype(float)
    hits = np.bincount(cells, weights=target == predicted, minlength=np.prod(shape)).reshape(shape)
    return np.divide(hits, total, out=np.full(shape, np.nan), where=total > 0), names


def balanced_accuracy(recall: np.ndarray) -> float:
    """Mean over classes of the mean over subjects (who have the class) of their recall.

    recall: [..., subject, class]; further axes (seeds) are averaged. Where every subject has every
    class this is the mean over subjects of their balanced accuracy; where each subject has one
    class (a diagnosis), classes still weigh alike. An error [..., subject, 1] is averaged too.
    """
    flat = recall.reshape(-1, recall.shape[-1])
    there = np.isfinite(flat).any(axis=0)
    return float(np.nanmean(flat[:, there], axis=0).mean())


def of_subjects(recall: np.ndarray) -> np.ndarray:
    """A score for each subject: mean recall over the classes they have (and over seeds)."""
    scores = np.nanmean(recall, axis=-1)
    return scores.mean(axis=0) if scores.ndim == 2 else scores


def interval(recall: np.ndarray, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """Balanced accuracy with its interval over subjects and seeds; recall [seed, subject, class].

    Both are drawn with replacement, independently: other people, and another training.
    """
    n = recall.shape[1]
    drawn = _drawn(recall, resampled(n, draws, seed), seed + 1)
    return Estimate(balanced_accuracy(recall), *quantiles(drawn, n))


def difference(
    recall: np.ndarray, other: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> tuple[Estimate, float]:
    """Balanced accuracy minus another method's on the same subjects, and a two-sided p.

    recall, other: [seed, subject, class], the same subjects in the same order. The interval draws
    the same people for both, seeds for each; p is of exchanging the methods subject by subject
    (exact up to 12 subjects, else 10,000 random exchanges).
    """
    n = recall.shape[1]
    people = resampled(n, draws, seed)
    drawn = _drawn(recall, people, seed + 1) - _drawn(other, people, seed + 2)
    mean = balanced_accuracy(recall) - balanced_accuracy(other)
    return Estimate(mean, *quantiles(drawn, n)), _sign_flip(_parts(recall, other), seed)


def wilcoxon(recall: np.ndarray, other: np.ndarray) -> float:
    """Two-sided p of the signed ranks of the subjects' differences (Wilcoxon 1945)."""
    each = (of_subjects(recall) - of_subjects(other)).round(12)
    if not each.any():
        return 1.0
    return float(stats.wilcoxon(each).pvalue)


def least_p(n: int) -> float:
    """The lowest p that paired tests of n subjects can give, two-sided."""
    return min(1.0, 2.0 ** (1 - n))


def chance(
    target: np.ndarray, predicted: np.ndarray, subjects: np.ndarray, recordings: np.ndarray,
    n_classes: int, draws: int = 1000, seed: int = 0,
) -> tuple[Chance, float]:
    """What these predictions would score if labels were exchanged, and p of the true score.

    target, subjects, recordings: [window], windows of a recording in the order of time. predicted:
    class indices, [seed, window]; the score is the mean over seeds. For what is exchanged see
    `exchanges`. p: share of the labelings, or (1 + draws at or above the true score) /
    (1 + draws) where there are too many to go through.
    """
    named = np.stack([(predicted == k).mean(axis=0) for k in range(n_classes)], axis=1)
    return chances(target, named[..., None], subjects, recordings, draws, seed)[0]


def chances(
    target: np.ndarray, named: np.ndarray, subjects: np.ndarray, recordings: np.ndarray,
    draws: int = 1000, seed: int = 0, units: np.ndarray | None = None,
    folds: np.ndarray | None = None,
) -> list[tuple[Chance, float]]:
    """`chance` of several methods on the same windows.

    named: [window, class, method], the share of seeds that named the window so. units: whose
    scores are averaged (None: subjects). folds: the fold that each window was the test of.
    """
    units = _numbered(subjects if units is None else units)
    ways = exchanges(target, _numbered(subjects), _numbered(recordings), folds)
    if not ways.count:
        return [_no_chance(1 / len(np.unique(target)), ways)] * named.shape[2]
    observed = _of_labelings(target[None], named, units)[0]
    drawn = _of_labelings(ways.labelings(draws, seed), named, units)
    return [_chance(one, true, ways) for one, true in zip(drawn.T, observed, strict=True)]


def chances_of_numbers(
    numbers: np.ndarray, predicted: list[np.ndarray], subjects: np.ndarray,
    recordings: np.ndarray, draws: int = 1000, seed: int = 0, units: np.ndarray | None = None,
    folds: np.ndarray | None = None,
) -> list[tuple[Chance, float]]:
    """The same for mean absolute errors, of which low ones are good.

    numbers: [window]. predicted: [seed, window] of each method.
    """
    people = _numbered(subjects)
    unit = people if units is None else _numbered(units)
    values, codes = np.unique(numbers, return_inverse=True)
    ways = exchanges(codes, people, _numbered(recordings), folds)
    if not ways.count:
        return [_no_chance(np.nan, ways)] * len(predicted)
    labels = ways.labelings(draws, seed)
    weight = 1 / np.bincount(unit)[unit] / (unit.max() + 1)  # units weigh alike
    one_of = np.unique(people, return_index=True)[1]
    found = []
    for each in predicted:
        observed = float(np.abs(each - numbers).mean(axis=0) @ weight)
        if ways.unit == "subjects":  # then a table of subject × number says it all
            table = np.stack([
                np.bincount(people, np.abs(each - value).mean(axis=0) * weight) for value in values
            ], axis=1)
            drawn = table[np.arange(len(one_of)), labels[:, one_of]].sum(axis=1)
        else:
            drawn = np.array([np.abs(each - values[one]).mean(axis=0) @ weight for one in labels])
        found.append(_chance(drawn, observed, ways, better=-1))
    return found


def _numbered(names: np.ndarray) -> np.ndarray:
    return np.unique(names, return_inverse=True)[1]


def _no_chance(mean: float, ways: Exchanges) -> tuple[Chance, float]:
    return Chance(mean, np.nan, np.nan, ways.unit, 0, True), np.nan


def _chance(
    drawn: np.ndarray, observed: float, ways: Exchanges, better: int = 1
) -> tuple[Chance, float]:
    reached = int((better * drawn >= better * observed - 1e-9).sum())
    p = reached / len(drawn) if ways.exact else (1 + reached) / (1 + len(drawn))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Chance(float(drawn.mean()), float(low), float(high), ways.unit, ways.count,
                  ways.exact), p


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected for their number (Holm 1979); NaN stays NaN and does not count."""
    return _of_known(p, lambda rising, n: np.maximum.accumulate(rising * (n - np.arange(n))))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """q: the false discovery rate at which each test would be called a discovery (Benjamini and
    Hochberg 1995); NaN stays NaN and does not count."""
    return _of_known(p, lambda rising, n: np.minimum.accumulate(
        (rising * n / (1 + np.arange(n)))[::-1])[::-1])


def _of_known(p: np.ndarray, corrected: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """corrected(p values that are known, ascending; their number), each at its place."""
    out = np.array(p, dtype=float)
    order = np.argsort(out)[: np.isfinite(out).sum()]  # NaN comes last
    out[order] = np.minimum(1.0, corrected(out[order], len(order)))
    return out


def mean(values: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Over the first axis, of what is known; NaN where nothing is."""
    whole = np.asarray(values)
    known = np.isfinite(whole)
    count, total = known.sum(axis=0), np.where(known, whole, 0).sum(axis=0)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def ranks(scores: np.ndarray) -> Ranks:
    """scores: [method, subject], more is better. Equal scores share a rank."""
    each = stats.rankdata(-scores.round(12), axis=0)
    p = np.nan
    if len(scores) > 2 and scores.shape[1] > 1:
        with np.errstate(invalid="ignore"):
            p = float(stats.friedmanchisquare(*each).pvalue)
        p = 1.0 if p != p else p  # everything equal for everybody
    return Ranks(each.mean(axis=1), p, scores.shape[1])


def alike(order: np.ndarray, p: np.ndarray, level: float = 1 - LEVEL) -> list[tuple[int, int]]:
    """Longest stretches (first, last place) of methods in their order, best first, of which no two
    are told apart: p [method, method] at or above the level."""
    found: list[tuple[int, int]] = []
    for first in range(len(order)):
        last = first
        while last + 1 < len(order) and all(
            p[order[last + 1], order[k]] >= level for k in range(first, last + 1)
        ):
            last += 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


@lru_cache(maxsize=32)  # every pair of methods draws the same people
def resampled(n: int, draws: int, seed: int) -> np.ndarray:
    """How often each of n is drawn, [draw, n]: with replacement."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(float)
    drawn.setflags(write=False)
    return drawn


def quantiles(drawn: np.ndarray, n: int) -> tuple[float, float]:
    """Ends of the 95 % interval from scores of n subjects drawn again.

    The plain quantiles are too narrow for few subjects: a resample's spread is that of n, not
    n − 1, and tails are a normal's, not Student's. Both are made good by going further out.
    """
    if n < 2:
        return np.nan, np.nan
    further = np.sqrt(n / (n - 1)) * stats.t.ppf((1 + LEVEL) / 2, n - 1)
    tail = stats.norm.cdf(-further)
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return np.nan, np.nan
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def _drawn(recall: np.ndarray, people: np.ndarray, seed: int) -> np.ndarray:
    """Balanced accuracy of each draw, [draw]; people [draw, subject]."""
    n_seeds = recall.shape[0]
    known = np.isfinite(recall[0]).astype(float)  # which classes a subject has
    values = np.nan_to_num(recall)
    sums = np.stack([people @ one for one in values])  # [seed, draw, class]
    seeds = resampled(n_seeds, len(people), seed) / n_seeds
    counts = people @ known
    by_class = np.divide(np.einsum("ds,sdc->dc", seeds, sums), counts,
                         out=np.full_like(counts, np.nan), where=counts > 0)
    there = np.isfinite(by_class)  # a draw without anybody of a class is of the others
    return np.where(there, by_class, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def _parts(recall: np.ndarray, other: np.ndarray) -> np.ndarray:
    """What each subject adds to the difference of the two balanced accuracies, [subject]."""
    each = recall.mean(axis=0) - other.mean(axis=0)  # [subject, class], NaN where absent
    there = np.isfinite(each)
    n = there.sum(axis=0)
    return (np.where(there, each, 0) / np.maximum(n, 1)).sum(axis=1) / (n > 0).sum()


def _sign_flip(parts: np.ndarray, seed: int) -> float:
    """Two-sided p that the methods could have been exchanged in any subject."""
    n = len(parts)
    if n <= 12:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1, 1], size=(10_000, n))
    above = int((np.abs(signs @ parts) >= abs(parts.sum()) - 1e-12).sum())
    return above / len(signs) if n <= 12 else (1 + above) / (1 + len(signs))


def _of_labelings(labels: np.ndarray, named: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Scores [labeling, method] of labels [labeling, window]."""
    n_classes, n_subjects = named.shape[1], people.max() + 1
    rows = [np.flatnonzero(people == s) for s in range(n_subjects)]
    by_class = []
    for k in range(n_classes):
        sums = np.zeros((len(labels), named.shape[2]))
        subjects = np.zeros(len(labels))
        for own in rows:
            has = (labels[:, own] == k).astype(float)
            windows = has.sum(axis=1)
            sums += has @ named[own, k] / np.maximum(windows, 1)[:, None]
            subjects += windows > 0
        by_class.append(np.divide(sums, subjects[:, None], out=np.full_like(sums, np.nan),
                                  where=subjects[:, None] > 0))
    return np.nanmean(by_class, axis=0)
