"""What scores of unseen people are worth: balanced accuracy, intervals over subjects, chance.

Windows of one person are not independent, so nothing here resamples windows: intervals come from
resampling subjects (and training seeds), and chance from exchanging labels in the largest units
that the recordings allow. Bootstrap: Efron & Tibshirani 1993, ch. 13; correction: Holm 1979.
"""

from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


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
    class (a diagnosis), classes still weigh alike.
    """
    by_class = np.nanmean(recall.reshape(-1, recall.shape[-1]), axis=0)
    return float(by_class[np.isfinite(by_class)].mean())


def of_subjects(recall: np.ndarray) -> np.ndarray:
    """A score for each subject: mean recall over the classes they have (and over seeds)."""
    scores = np.nanmean(recall, axis=-1)
    return scores.mean(axis=0) if scores.ndim == 2 else scores


def interval(recall: np.ndarray, draws: int = 2000, seed: int = 0) -> Estimate:
    """Balanced accuracy with its interval over subjects and seeds; recall [seed, subject, class].

    Both are drawn with replacement, independently: other people, and another training.
    """
    low, high = _quantiles(_drawn(recall, _draws(recall.shape[1], draws, seed), seed + 1))
    return Estimate(balanced_accuracy(recall), low, high)


def difference(
    recall: np.ndarray, other: np.ndarray, draws: int = 2000, seed: int = 0
) -> tuple[Estimate, float]:
    """Balanced accuracy minus another method's on the same subjects, and a two-sided p.

    recall, other: [seed, subject, class], the same subjects in the same order. The interval draws
    the same people for both, seeds for each; p is of exchanging the methods subject by subject
    (exact up to 12 subjects, else 10,000 random exchanges).
    """
    people = _draws(recall.shape[1], draws, seed)
    drawn = _drawn(recall, people, seed + 1) - _drawn(other, people, seed + 2)
    mean = balanced_accuracy(recall) - balanced_accuracy(other)
    each = of_subjects(recall) - of_subjects(other)
    return Estimate(mean, *_quantiles(drawn)), _sign_flip(each, seed)


def chance(
    target: np.ndarray, predicted: np.ndarray, subjects: np.ndarray, recordings: np.ndarray,
    n_classes: int, draws: int = 1000, seed: int = 0,
) -> tuple[Estimate, float]:
    """What these predictions would score if labels were exchanged, and p of the true score.

    target, subjects, recordings: [window]. predicted: class indices, [seed, window]; the score is
    the mean over seeds. Exchanged is what could have been otherwise: windows within a recording
    where its windows have different labels (events); whole recordings of a subject where each has
    one label (tasks); whole subjects where each has one label (diagnoses).
    p = (1 + draws at or above the true score) / (1 + draws).
    """
    rng = np.random.default_rng(seed)
    people = np.unique(subjects, return_inverse=True)[1]
    exchange = _exchanger(target, people, np.unique(recordings, return_inverse=True)[1])

    def score(labels: np.ndarray) -> float:
        return float(np.mean([
            balanced_accuracy(recalls(labels, one, people, n_classes)[0]) for one in predicted
        ]))

    observed = score(target)
    drawn = np.array([score(exchange(rng)) for _ in range(draws)])
    p = (1 + int((drawn >= observed - 1e-12).sum())) / (1 + draws)
    return Estimate(float(drawn.mean()), *_quantiles(drawn)), p


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected for their number (Holm 1979)."""
    order = np.argsort(p)
    factors = len(p) - np.arange(len(p))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p)[order] * factors))
    return corrected


def _draws(n: int, draws: int, seed: int) -> np.ndarray:
    """How often each of n is drawn, [draw, n]: with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=draws)


def _drawn(recall: np.ndarray, people: np.ndarray, seed: int) -> np.ndarray:
    """Balanced accuracy of each draw, [draw]; people [draw, subject]."""
    seeds = _draws(recall.shape[0], len(people), seed) / recall.shape[0]
    known = np.isfinite(recall[0]).astype(float)  # which classes a subject has
    values = np.nan_to_num(recall)
    over_seeds = np.einsum("ds,sic->dic", seeds, values)
    sums = np.einsum("di,dic->dc", people, over_seeds)
    counts = people @ known
    by_class = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return np.nanmean(by_class, axis=1)  # a draw without anybody of a class is of the others


def _quantiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _sign_flip(each: np.ndarray, seed: int) -> float:
    n = len(each)
    if n <= 12:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ each) >= abs(each.sum()) - 1e-12).mean())
    signs = np.random.default_rng(seed).choice([-1, 1], size=(10_000, n))
    return float((1 + (np.abs(signs @ each) >= abs(each.sum()) - 1e-12).sum()) / 10_001)


def _exchanger(target: np.ndarray, subjects: np.ndarray, recordings: np.ndarray):
    """A function of a random generator that returns the labels exchanged; all are [window] ints."""
    of_recording = [np.flatnonzero(recordings == r) for r in range(recordings.max() + 1)]
    if any(len(set(target[rows])) > 1 for rows in of_recording):
        return lambda rng: _shuffled(target, of_recording, rng)
    label = np.array([target[rows[0]] for rows in of_recording])
    subject = np.array([subjects[rows[0]] for rows in of_recording])
    of_subject = [np.flatnonzero(subject == s) for s in range(subjects.max() + 1)]
    if any(len(set(label[rows])) > 1 for rows in of_subject):
        return lambda rng: _shuffled(label, of_subject, rng)[recordings]
    label_of_subject = np.array([label[rows[0]] for rows in of_subject])
    return lambda rng: rng.permutation(label_of_subject)[subjects]


def _shuffled(values: np.ndarray, groups: list[np.ndarray], rng) -> np.ndarray:
    """A copy with the values of each group in another order."""
    out = values.copy()
    for rows in groups:
        out[rows] = rng.permutation(values[rows])
    return out
