"""How the score of a decoder falls on worse recordings, measured on its validation people.

Their windows are made worse (`neurofm.data.worse`) and decoded as a recording would be: a decoder
that re-centers takes the mean of the worse windows. A person's channels are the same in all of
their windows. The interval is made for few people (`interval`): a bootstrap of them is too narrow.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from scipy.special import expit, logit

from neurofm import progress
from neurofm.checkpoints.robustness import Condition, Robustness
from neurofm.data import worse
from neurofm.data.contract import InputContract
from neurofm.data.corpus import Corpus
from neurofm.data.lacks import Lacks
from neurofm.data.sensors import Sensors
from neurofm.models.protocol import WindowDecoder

from ..decoder import features
from . import statistics
from .predictions import predict

LOWPASS_HZ = (30.0, 45.0, 70.0)
CHANNELS = (0.5, 0.25)
ARTIFACTS = 0.01
WINDOWS, AT_MOST = 32, 256  # windows of a subject, of all


def measure(
    decoder: WindowDecoder, corpus: Corpus, windows: np.ndarray, target: np.ndarray, *,
    batch_windows: int = 16, device: torch.device | str = "cpu", seed: int = 0,
    say: Callable = print,
) -> Robustness | None:
    """The score under every condition; None for signals that are not EEG or MEG.

    windows: of validation people. target: of every window of the corpus.
    """
    if not isinstance(corpus.contract, InputContract) or not len(windows):
        return None
    began = time.perf_counter()
    chosen = choose(windows, corpus.subjects(windows), target[windows])
    n_channels = int(np.median(corpus.widths(chosen)))
    found = []
    worse_ones = conditions(corpus.contract, n_channels, bound=decoder.n_channels > 0)
    for lacks in progress.each(worse_ones, len(worse_ones), "robustness"):
        change = None if lacks.nothing else changed_by(lacks, corpus, seed)
        source = features.prepared(decoder, corpus, chosen, target, batch_windows=batch_windows,
                                   device=device, change=change)
        pooled = features.pooled(decoder, source, device=device)
        answers = predict(decoder, pooled, chosen, device)
        found.append(_condition(lacks, answers, target[chosen], corpus.subjects(chosen)))
    metric = "balanced_accuracy" if decoder.classes else "mae"
    chance = _chance(decoder, target[chosen], corpus.subjects(chosen))
    per_subject = np.unique(corpus.subjects(chosen), return_counts=True)[1].max()
    say(f"robustness: {len(found)} conditions, {len(chosen)} validation windows in "
        f"{time.perf_counter() - began:.1f} s")
    return Robustness(metric, chance, n_channels, int(per_subject), seed, tuple(found))


def conditions(contract: InputContract, n_channels: int, bound: bool = False) -> list[Lacks]:
    """What is measured, the first lacking nothing: low-passes below the contract's edge by shares
    of channels, artifacts with each low-pass, and the worst of all three.

    n_channels: of the windows; at least 4 stay. bound: whether the model takes its own channels
    alone.
    """
    edge_hz = contract.lowpass_hz or contract.sfreq / 2
    bands = [None, *(hz for hz in LOWPASS_HZ[::-1]
                     if (contract.highpass_hz or 0) < hz < edge_hz)]
    least = worse.LEAST_CHANNELS / n_channels
    shares = list(dict.fromkeys(max(share, least) for share in CHANNELS))
    parts = [None, *(share for share in shares
                     if share < 1 and not bound and contract.space == "sensors")]
    found = [Lacks(hz, share) for share in parts for hz in bands]
    return [*found, *(Lacks(hz, None, ARTIFACTS) for hz in bands),
            *([Lacks(bands[-1], parts[-1], ARTIFACTS)] if len(parts) > 1 else [])]


def changed_by(lacks: Lacks, corpus: Corpus, seed: int) -> worse.Change:
    """What makes a window of the corpus lack this. The channels that stay are a function of (seed,
    person, layout), artifacts of (seed, window)."""
    contract = corpus.contract
    assert isinstance(contract, InputContract), "see measure"
    people = {name: k for k, name in enumerate(sorted(set(
        corpus.subjects(np.arange(len(corpus))))))}

    def change(window: int, signal: np.ndarray, sensors: Sensors) -> tuple[np.ndarray, Sensors]:
        person = people[corpus.subjects(np.array([window]))[0]]
        if lacks.channels is not None:
            rng = np.random.default_rng([seed, person, len(sensors)])
            rows = worse.fewer(sensors.kind, round(lacks.channels * len(sensors)), rng)
            signal, sensors = signal[rows], sensors[rows]
        before = signal
        if lacks.artifacts:
            signal = worse.with_artifacts(signal, contract.sfreq, lacks.artifacts,
                                          np.random.default_rng([seed, window]))
        if lacks.lowpass_hz is not None:
            signal = worse.lowpassed(signal, contract.sfreq, lacks.lowpass_hz)
        return worse.restored(signal, sensors, contract, before), sensors

    return change


def choose(windows: np.ndarray, subjects: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Windows that are measured, ascending: of each subject at most 32, of all at most 256 but two
    of each subject; spread evenly over its labels and over time."""
    names = np.unique(subjects)
    at_most = min(WINDOWS, max(2, AT_MOST // len(names)))
    chosen = []
    for name in names:
        own = np.flatnonzero(subjects == name)
        own = own[np.argsort(target[own], kind="stable")]
        places = np.linspace(0, len(own) - 1, min(at_most, len(own))).round().astype(int)
        chosen.append(windows[own[places]])
    return np.sort(np.concatenate(chosen))


def _condition(
    lacks: Lacks, answers: np.ndarray, target: np.ndarray, subjects: np.ndarray
) -> Condition:
    """The score of answers [window, class] or [window, 1], its interval, and that of each subject.
    """
    names = np.unique(subjects)
    if answers.shape[1] == 1:
        error = np.abs(answers[:, 0] - target)
        each = np.array([error[subjects == name].mean() for name in names])
        score = float(each.mean())
        low, high = interval(each[:, None])
    else:
        recall, names = statistics.recalls(target, answers.argmax(axis=1), subjects,
                                           answers.shape[1])
        score, each = statistics.balanced_accuracy(recall), statistics.of_subjects(recall)
        count = np.array([(target == k).sum() for k in range(answers.shape[1])])
        low, high = interval(recall, count)
    return Condition(lacks, score, low, high,
                     {str(name): float(value) for name, value in zip(names, each, strict=True)})


def interval(scores: np.ndarray, count: np.ndarray | None = None) -> tuple[float, float]:
    """95 % interval of the mean over classes of the means over people.

    scores: recalls [subject, class], NaN where a subject has no window of the class; or errors
    [subject, 1]. count: windows of each class, None = errors. (NaN, NaN) where a class has one
    subject only.

    Student's t, made wider where few people mislead it, so that it holds the mean of all people in
    9 of 10 groups of any size and shape that was tried (tests/benchmarks/bench_robustness.py):
    people who all score alike (all 1.0) say little about others, so the spread is at least what as
    many windows by one coin have; and where nearly all score high, one who does not is missed
    easily, so the interval on a logit scale (of errors a log scale) is joined to it.
    """
    there = np.isfinite(scores)
    known = there.any(axis=0)
    scores, there, n = scores[:, known], there[:, known], there.sum(axis=0)[known]
    if n.min() < 2:
        return np.nan, np.nan
    middle = np.nanmean(scores, axis=0)
    far = np.where(there, scores - middle, 0) * np.sqrt(n / (n - 1)) / n
    variance, score = np.square(far.mean(axis=1)).sum(), middle.mean()
    if count is not None:
        total = count[known]
        share = (middle * total + 2) / (total + 4)  # Agresti & Coull 1998, Am Stat 52:119
        variance = max(variance, (share * (1 - share) / total).sum() / len(total) ** 2)
    reach = stats.t.ppf((1 + statistics.LEVEL) / 2, n.min() - 1) * np.sqrt(variance)
    if count is None:
        factor = np.exp(reach / max(score, 1e-12))
        return float(max(0.0, min(score - reach, score / factor))), float(
            max(score + reach, score * factor))
    near = share.mean()
    ends = expit(logit(near) + np.array([-1, 1]) * reach / (near * (1 - near)))
    return float(max(0.0, min(score - reach, ends[0]))), float(
        min(1.0, max(score + reach, ends[1])))


def _chance(decoder: WindowDecoder, target: np.ndarray, subjects: np.ndarray) -> float:
    """The score of answers that know nothing of the window: one class, or the training mean."""
    if decoder.classes:
        return 1 / len(np.unique(target))
    error = np.abs(target - decoder.mean_number)
    return float(np.mean([error[subjects == name].mean() for name in np.unique(subjects)]))
