"""Where on the head, and at which frequencies, what a decoder says goes with the signal.

Source: Haufe et al. 2014, NeuroImage 87:96. The weights of a decoder are no map of the brain: they
are large, too, where they cancel what disturbs. Its *pattern* is: how band power at a channel
changes when the output does,

    pattern[c, b] = cov(power of channel c in band b, output) / std(output)

in dB for one standard deviation of the output (log-odds of a class, or the number), over windows
of people the decoder was not trained on. Only outputs are asked of it, so patterns of a network
with a quantizer inside, of a baseline and of a cascade can be compared.

What it shows: where power goes up and down with the decoder's opinion, in the unit of the signal,
so a source has its own scalp projection. What it does not show: that the decoder reads that channel
or band (neighbors carry copies, and rhythms of one source go together: where the demo's decoder
read mu, its beta was on the map too, though exchanging beta between windows changed nothing); that
the opinion is right; or anything without power in it (phase, waves locked to an event). Where the
contract scales windows, power is relative to the window's.

Two tests stand beside a map. Are held-out labels told apart at all (labels exchanged as in
`exchanges`)? If not, nothing is marked: a decoder that knows nothing also follows something in the
signal. And which entries are larger than any would be if outputs were shifted along their
recording (and recordings, or people, exchanged where that is what labels differ between)? Both
speak of these people: with a handful of them nothing can be said of all people.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int

from neurofm.data.corpus import Corpus
from neurofm.data.sensors import KINDS, Sensors
from neurofm.models.protocol import WindowDecoder

from ..baselines.spectra import BANDS
from ..decoder import features
from .exchanges import exchanges
from .predictions import predict

NAMES = ("delta", "theta", "alpha", "beta", "low gamma")
LEVEL = 0.05
FAR_M = 0.03  # channels of one name further apart than this are not one channel


@dataclass(frozen=True, eq=False)
class Attribution:
    """Patterns at the sensors of one kind."""

    kind: str  # of the sensors
    sensors: Sensors  # their places, mean over recordings, sorted by name
    # what the decoder says: names of classes (of two the second alone; the first has the opposite
    # sign), or "number"
    outputs: tuple[str, ...]
    bands: dict[str, tuple[float, float]]  # name → edges in Hz
    pattern: Float[np.ndarray, "output channel band"]  # dB for one deviation of the output
    # dB; in 1 of 20 draws any entry is larger than its own
    threshold: Float[np.ndarray, "output channel band"]
    # of the bins of `spectrum`: root mean square over channels of the pattern, dB;
    # spectrum_threshold: as threshold, for the bins
    edges_hz: Float[np.ndarray, " edge"]
    spectrum: Float[np.ndarray, "output bin"]
    spectrum_threshold: Float[np.ndarray, "output bin"]
    # p of the labels being told apart no better when exchanged; least_p: the least that these
    # exchanges allow; both NaN where none can be had
    p_labels: Float[np.ndarray, " output"]
    least_p: Float[np.ndarray, " output"]
    exchanged: str  # what was
    subjects: int
    windows: int

    @property
    def above(self) -> Bool[np.ndarray, "output channel band"]:
        """Entries above chance, of outputs that tell held-out labels apart."""
        told = (self.p_labels < LEVEL)[:, None, None]
        return told & (np.abs(self.pattern) > self.threshold)

    def why_none(self, k: int) -> str:
        """Why nothing is marked for the k-th output; "" where something may be."""
        p, least = self.p_labels[k], self.least_p[k]
        if p < LEVEL:
            return ""
        if p != p:
            return (f"no p can be given: labels could only be exchanged between {self.exchanged}, "
                    f"and these were trained on as well as judged")
        if least >= LEVEL:
            return (f"no p can fall below {least:.2g}, as labels can be exchanged between "
                    f"{self.exchanged} in so few ways: whether the decoder tells them apart is not "
                    f"known (p = {p:.2g})")
        return f"held-out labels are not told apart (p = {p:.2g})"

    def table(self) -> pd.DataFrame:
        """A row an output, channel and band."""
        rows = []
        for k, output in enumerate(self.outputs):
            for c, name in enumerate(self.sensors.names):
                for b, (band, (low, high)) in enumerate(self.bands.items()):
                    rows.append({
                        "output": output, "kind": self.kind, "channel": name, "band": band,
                        "low_hz": low, "high_hz": high, "pattern_db": self.pattern[k, c, b],
                        "threshold_db": self.threshold[k, c, b],
                        "above_chance": self.above[k, c, b], "p_labels": self.p_labels[k],
                        "least_p": self.least_p[k],
                        "subjects": self.subjects, "windows": self.windows,
                    })
        return pd.DataFrame(rows)


@torch.no_grad()
def maps(
    decoder: WindowDecoder, corpus: Corpus, windows: Int[np.ndarray, " window"],
    target: np.ndarray, *, batch_windows: int = 16, draws: int = 500, seed: int = 0,
) -> list[Attribution]:
    """Patterns of a decoder over windows (indices) it was not trained on, one for each kind of
    sensor. target: class index, or number, of each of the windows. Where the decoder re-centers,
    each person's average is that of these windows."""
    _check_enough(corpus, windows)
    device, order = next(decoder.parameters()).device, np.argsort(windows)
    windows, target = np.asarray(windows)[order], np.asarray(target)[order]
    every = np.zeros(len(corpus.windows), dtype=target.dtype)
    every[windows] = target
    tokens = features.prepared(decoder, corpus, windows, every, batch_windows=batch_windows,
                               device=device)
    pooled = features.pooled(decoder, tokens, batch_windows=batch_windows, device=device)
    return of_answers(predict(decoder, pooled, windows, device), decoder.classes, corpus, windows,
                      target, draws=draws, seed=seed)


def of_answers(
    answers: Float[np.ndarray, "window answer"], classes: tuple[str, ...], corpus: Corpus,
    windows: Int[np.ndarray, " window"], target: np.ndarray, *, draws: int = 500, seed: int = 0,
    folds: np.ndarray | None = None,
) -> list[Attribution]:
    """The same for answers known already, of any method: probabilities of the classes, or (without
    classes) numbers. folds: the fold that each window was the test of, as in `exchanges`."""
    _check(answers, classes, corpus, windows, target)
    order = np.lexsort([corpus.windows[name].to_numpy()[windows] for name in ("start_s",
                                                                              "recording")])
    answers, windows, target = answers[order], np.asarray(windows)[order], target[order]
    fold = np.zeros(len(order), dtype=int) if folds is None else folds[order]
    outputs, names = outputs_of(answers, classes)
    layouts = [corpus.layout(window) for window in windows.tolist()]
    found = []
    for index, kind in enumerate(KINDS):
        rows = np.array([index in layout.kind for layout in layouts])
        if rows.any():
            found.append(_of_kind(kind, outputs[:, rows], names, classes, corpus, windows[rows],
                                  target[rows], fold[rows], draws, seed))
    return found


def outputs_of(
    answers: Float[np.ndarray, "window answer"], classes: tuple[str, ...]
) -> tuple[Float[np.ndarray, "output window"], tuple[str, ...]]:
    """Log-odds of each class against the others (of two, of the second alone), or the number."""
    if not classes:
        return answers.T, ("number",)
    p = np.clip(answers, 1e-6, 1 - 1e-6)  # float32 probabilities end there
    odds = np.log(p / (1 - p)).T
    return (odds[1:], classes[1:]) if len(classes) == 2 else (odds, classes)


def _of_kind(
    kind, outputs, names, classes, corpus, windows, target, fold, draws, seed
) -> Attribution:
    bands, edges = _intervals(corpus)
    intervals = [*bands.values(), *itertools.pairwise(edges)]
    sensors, power = _power(corpus, windows, kind, intervals)
    _, subject = np.unique(corpus.subjects(windows), return_inverse=True)
    recording = np.unique(corpus.windows["recording"].to_numpy()[windows], return_inverse=True)[1]
    values, codes = np.unique(target, return_inverse=True)
    swap = exchanges(codes, subject, recording, fold)
    # Centered where labels differ, so that what sets recordings or people apart is left out unless
    # it is the question.
    group = {"recordings of a subject": subject, "subjects": np.zeros_like(subject)}.get(
        swap.unit, recording)
    person = np.zeros_like(subject) if swap.unit == "subjects" else subject
    weighted = _weighted(power, group, subject).reshape(len(windows), -1)
    rng = np.random.default_rng(seed)
    labelings = np.concatenate([codes[None], swap.labelings(draws, seed)])
    kept: dict[str, list] = {"pattern": [], "threshold": [], "spectrum": [],
                             "spectrum_threshold": [], "p": [], "least": []}
    n_channels, n_bands = len(sensors), len(bands)
    for k, output in enumerate(outputs):
        many = np.stack([output, *(_shifted(output, recording, subject, swap.unit, rng)
                                   for _ in range(draws))])
        many = _standardized(many, group, person)
        flat = (many @ weighted).reshape(1 + draws, n_channels, -1)
        each, bins = flat[..., :n_bands], np.sqrt(np.square(flat[..., n_bands:]).mean(axis=1))
        kept["pattern"].append(each[0])
        kept["threshold"].append(_threshold(each))
        kept["spectrum"].append(bins[0])
        middle = bins.mean(axis=0)
        kept["spectrum_threshold"].append(middle + _threshold(bins, middle))
        wanted = values if not classes else values == classes.index(names[k])
        labels = wanted.astype(float)[labelings]
        told = (labels * many[0] * _weights(subject)).sum(axis=1)
        same = (labels[1:] == labels[0]).all(axis=1)  # whatever is said, these are as good
        for name, as_good in (("p", told[1:] >= told[0] - 1e-12), ("least", same)):
            kept[name].append(np.nan if not swap.count else as_good.mean() if swap.exact
                              else (1 + as_good.sum()) / (1 + draws))
    made = {name: np.array(value) for name, value in kept.items()}
    return Attribution(
        kind, sensors, names, bands, made["pattern"], made["threshold"], edges, made["spectrum"],
        made["spectrum_threshold"], made["p"], made["least"], swap.unit, len(np.unique(subject)),
        len(windows),
    )


def _threshold(many: Float[np.ndarray, "draw ..."], middle: float | np.ndarray = 0.0):
    """How far from `middle` an entry must be: so many times what is usual for it that, in 1 of 20
    draws (the true outputs are one of them), any entry is (maximum statistic, Westfall & Young
    1993). In dB narrow bands vary more than wide ones, and would otherwise set it for all."""
    away = np.abs(many - middle)
    usual = np.sqrt(np.square(away).mean(axis=0))
    share = away / np.where(usual > 0, usual, np.inf)
    most = share.reshape(len(share), -1).max(axis=1)
    return np.quantile(most, 1 - LEVEL, method="higher") * usual


def _intervals(corpus: Corpus) -> tuple[dict[str, tuple[float, float]], np.ndarray]:
    """The usual bands as far as the contract lets them through, and edges of bins of 1 Hz (wider
    where windows are shorter than 1 s)."""
    contract = corpus.contract
    assert contract.window_s is not None  # its windows have one rate, and so one length
    finest = 1 / contract.window_s
    lowest = max(contract.highpass_hz or 0.0, finest)
    highest = min(contract.lowpass_hz or np.inf, contract.one_rate / 2)
    bands = {name: (max(low, lowest), min(high, highest))
             for name, (low, high) in zip(NAMES, BANDS, strict=True)}
    bands = {name: edges for name, edges in bands.items() if edges[1] - edges[0] >= finest}
    if not bands:
        raise ValueError(
            f"{corpus.folder}: windows of {contract.window_s} s with {lowest:g} to {highest:g} Hz "
            f"hold none of the bands from {BANDS[0][0]:g} to {BANDS[-1][1]:g} Hz that maps are of"
        )
    low, high = min(edges[0] for edges in bands.values()), max(e[1] for e in bands.values())
    width = max(1.0, finest)
    return bands, low + width * np.arange(int((high - low) / width + 1e-6) + 1)


def _power(
    corpus: Corpus, windows: np.ndarray, kind: str, intervals: list[tuple[float, float]]
) -> tuple[Sensors, Float[np.ndarray, "window channel interval"]]:
    """Sensors of a kind that any window has, and their power in dB; NaN where a window has not."""
    place: dict[str, list[np.ndarray]] = {}
    orientation: dict[str, np.ndarray] = {}
    index = KINDS.index(kind)
    keys = corpus.recordings["layout"].to_numpy()[corpus.windows["recording"].to_numpy()[windows]]
    for key in dict.fromkeys(keys.tolist()):
        layout = corpus.layouts[key]
        for row in np.flatnonzero(layout.kind == index):
            place.setdefault(layout.names[row], []).append(layout.position[row])
            orientation[layout.names[row]] = layout.orientation[row]
    names = sorted(place)
    for name in names:
        if np.ptp(np.array(place[name]), axis=0).max() > FAR_M:
            raise ValueError(
                f"{corpus.folder}: {kind} channel {name!r} is at different places in different "
                f"recordings ({np.array(place[name]).round(3).tolist()[:2]} … m), so there is no "
                f"one map of them: choose one device with only, e.g. --only.sensors=…"
            )
    sensors = Sensors(
        tuple(names), np.full(len(names), index),
        np.array([np.mean(place[name], axis=0) for name in names]),
        np.array([orientation[name] for name in names]),
    )
    row_of = {name: row for row, name in enumerate(names)}
    power = np.full((len(windows), len(names), len(intervals)), np.nan, dtype=np.float32)
    for out, window, key in zip(power, windows.tolist(), keys, strict=True):
        layout, signal = corpus.layouts[key], corpus.signal(window)
        rows = np.flatnonzero(layout.kind == index)
        out[[row_of[layout.names[row]] for row in rows]] = _db(
            signal[rows], corpus.contract.one_rate, intervals)
    return sensors, power


def _db(
    signal: Float[np.ndarray, "channel time"], sfreq: float, intervals: list[tuple[float, float]]
) -> Float[np.ndarray, "channel interval"]:
    """Power of a window in each interval, dB."""
    n = signal.shape[1]
    centered = signal - signal.mean(axis=1, keepdims=True)
    density = np.square(np.abs(np.fft.rfft(centered * np.hanning(n), axis=1))) / n**2
    hz = np.fft.rfftfreq(n, 1 / sfreq)
    power = np.stack([density[:, (hz >= low - 1e-9) & (hz < high - 1e-9)].sum(axis=1)
                      for low, high in intervals], axis=1)
    floor = 1e-10 * density.sum(axis=1).mean()  # a dead channel is 100 dB below the others
    return 10 * np.log10(power + max(floor, np.finfo(float).tiny))


def _weights(subject: np.ndarray) -> Float[np.ndarray, " window"]:
    """Windows of a subject weigh alike, and so do subjects; together 1."""
    count = np.bincount(subject)
    return 1 / (count[subject] * len(count))


def _weighted(
    power: Float[np.ndarray, "window channel interval"], group: np.ndarray, subject: np.ndarray
) -> Float[np.ndarray, "window channel interval"]:
    """Power centered over the windows of its group, times what each window weighs: windows of a
    subject that have the channel weigh alike, and so do the subjects that have it."""
    there = np.isfinite(power[:, :, 0])
    out = np.where(there[:, :, None], power, 0.0).astype(np.float64)
    for each in np.unique(group):
        rows = group == each
        n = np.maximum(there[rows].sum(axis=0), 1)[:, None]
        out[rows] -= out[rows].sum(axis=0) / n
    count = np.zeros((subject.max() + 1, power.shape[1]))
    np.add.at(count, subject, there)
    weight = there / np.maximum(count[subject] * (count > 0).sum(axis=0), 1)
    return out * weight[:, :, None]


def _standardized(
    outputs: Float[np.ndarray, "draw window"], group: np.ndarray, person: np.ndarray
) -> Float[np.ndarray, "draw window"]:
    """Mean 0 in each group, deviation 1 in each person; 0 where a person's outputs are all one."""
    out = outputs.astype(np.float64)
    for each in np.unique(group):
        out[:, group == each] -= out[:, group == each].mean(axis=1, keepdims=True)
    for each in np.unique(person):
        std = out[:, person == each].std(axis=1, keepdims=True)
        out[:, person == each] /= np.where(std > 1e-9, std, np.inf)
    return out


def _shifted(
    output: Float[np.ndarray, " window"], recording: np.ndarray, subject: np.ndarray, unit: str,
    rng: np.random.Generator,
) -> Float[np.ndarray, " window"]:
    """Outputs as they could have been if they had nothing to do with power: shifted round their
    recording, which keeps how neighboring windows resemble each other; and the means of
    recordings, or people, exchanged where labels differ between these."""
    out = np.empty_like(output)
    mean = np.zeros(recording.max() + 1)
    of = np.zeros(len(mean), dtype=int)
    for each in range(len(mean)):
        rows = np.flatnonzero(recording == each)
        mean[each], of[each] = output[rows].mean(), subject[rows[0]]
        out[rows] = np.roll(output[rows], rng.integers(len(rows))) - mean[each]
    own = np.array([mean[of == each].mean() for each in range(of.max() + 1)])
    apart = mean - own[of]
    for each in range(len(own)):
        apart[of == each] = rng.permutation(apart[of == each])
    if unit == "subjects":
        own = rng.permutation(own)
    return out + (own[of] + apart)[recording]


def _check_enough(corpus: Corpus, windows: np.ndarray) -> None:
    if len(windows) < 3:
        raise ValueError(f"{corpus.folder}: a map needs at least 3 windows, got {len(windows)}")


def _check(answers, classes, corpus: Corpus, windows: np.ndarray, target: np.ndarray) -> None:
    where = corpus.folder
    _check_enough(corpus, windows)
    if answers.shape != (len(windows), len(classes) or 1) or len(target) != len(windows):
        raise ValueError(
            f"{where}: wanted answers [{len(windows)}, {len(classes) or 1}] and a target of each "
            f"of the windows, got {answers.shape} and {len(target)}"
        )
    known = np.isfinite(answers).all(axis=1) & np.isfinite(np.asarray(target, dtype=float))
    if classes:
        known &= (np.asarray(target) >= 0) & (np.asarray(target) < len(classes))
    if not known.all():
        raise ValueError(f"{where}: {(~known).sum()} of {len(windows)} windows have no label, or "
                         f"an answer that is NaN or Inf, the first is window "
                         f"{int(np.asarray(windows)[~known][0])}: leave them out")
