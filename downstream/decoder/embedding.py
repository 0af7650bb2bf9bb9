"""Features of a recording, in three lines at a notebook.

    model = neurofm.load("path/or/org/name")
    features = neurofm.embed(raw, model)          # Features, [window, source, frame, dim]

The recording is brought to what the model was trained on (its InputContract) first.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32

from neurofm import artifacts, checkpoints
from neurofm.checkpoints.contracts import check_contract, contract_of
from neurofm.data.batch import Batch, collate
from neurofm.data.corpus import Corpus
from neurofm.data.recording import Recording
from neurofm.data.sensors import GeometryRule
from neurofm.preprocessing import quality, readers
from neurofm.preprocessing.standardize import Standardized, StandardizedScan
from neurofm.pretrained import NeuroFMPreTrainedModel

from .feature_array import Features, joined
from .feature_files import DROPPED
from .feature_windows import Cut, cut
from .lacking import Lacking

_log = logging.getLogger("neurofm.downstream")
# Samples of all channels in a batch: more is not faster, and layers hold 100 times as much.
_LARGEST = 2**19


def embed(
    recording, model, batch_windows: int = 16, layer: str = "", *, lacking: Lacking = "known"
) -> Features:
    """Features of every window of a recording.

    Parameters
    ----------
    recording
        An `mne.io.Raw` or `mne.Epochs`, a path of a file or of a corpus, a Recording, a Corpus, or
        a list of these. Windows are contiguous, as the contract says; a corpus has its own. An
        epoch that is no longer than a window is one row, a longer one several.
    model
        A tokenizer, pretrained model or decoder (whose backbone gives the features), or its
        path.
    batch_windows
        Windows per batch, at most.
    layer
        Layer of the model that gives the features, one of `model.layer_names`; "" = the one that
        the model is used by.
    lacking
        Recordings that lack part of the model's band, by their sampling rate or a low-pass:
        "known" takes them where a decoder, given by its path, knows what that costs and stays
        better than chance; "accept" takes all, "refuse" none.

    Returns
    -------
    Features
        float32 `[window, source, frame, dim]`, with times, epochs, names of sources and what was
        left out; of fMRI `[window, region, segment, dim]`. In a list, a recording that the model
        cannot take is left out, with a warning.

    Raises
    ------
    ContractError, ReadError
        Both are ValueErrors: the model cannot take the recording, or any of the list.
    """
    place = str(model) if isinstance(model, str | Path) else ""
    if isinstance(model, str | Path):
        model = checkpoints.load(model)
    given = [*recording] if isinstance(recording, list | tuple) else [recording]
    if not given:
        raise ValueError("wanted recordings to embed, got an empty list")
    model.check_layer(layer)
    parts, problems, seen = list[Features](), dict[str, Exception](), set[str]()
    for number, one in enumerate(given):
        try:
            part = _of_one(one, model, place, batch_windows, layer, lacking)
        except (ValueError, OSError) as problem:
            if len(given) == 1:
                raise
            name = str(one) if isinstance(one, str | Path) else f"recording {number}"
            _log.warning("left out: %s: %s", name, problem)
            problems[name] = problem
            continue
        parts.append(_told_apart(part, seen, number))
        seen |= {*parts[-1].recording.tolist()}
    if not parts:
        first = next(iter(problems.values()))
        raise ValueError(f"none of {len(given)} recordings could be embedded; the first: {first}")
    lost = [(name, "recording", "", np.nan, np.nan, str(problem))
            for name, problem in problems.items()]
    return joined(parts, pd.DataFrame(lost, columns=[*DROPPED]))


def _of_one(
    one, model: NeuroFMPreTrainedModel, place: str, batch_windows: int, layer: str,
    lacking: Lacking,
) -> Features:
    if isinstance(one, str | Path) and _is_corpus(one):
        one = Corpus.open(one)
    if isinstance(one, Corpus):
        check_contract(model, type(model).__name__, one)
        return _features_of_corpus(one, model, batch_windows, layer)
    # The signal of the file is not held any longer.
    found = cut(as_recording(one), model, place, lacking)
    for remark in (*quality.remarks(found.windows.quality, places=True), *found.said):
        _log.warning("%s: %s", found.windows.source, remark)
    return features_of(found, model, batch_windows, layer)


def _told_apart(part: Features, seen: set[str], number: int) -> Features:
    """Names of recordings, told apart from those of other entries of the list."""
    if not seen & {*part.recording.tolist()}:
        return part
    own = np.array([f"{name} [{number}]" for name in part.recording], dtype=object)
    dropped = part.dropped.assign(recording=[f"{name} [{number}]"
                                             for name in part.dropped["recording"]])
    return replace(part, recording=own, dropped=dropped)


def features_of(
    found: Cut, model: NeuroFMPreTrainedModel, batch_windows: int = 16, layer: str = ""
) -> Features:
    """As `embed`, of a recording that is cut already."""
    windows = found.windows
    values = _values(of_recording(windows, batch_windows), len(windows), model, layer)
    recording = np.full(len(windows), windows.source, dtype=object)
    window_s = float(found.times[0, 1] - found.times[0, 0])
    return _named(values, found.times, found.epoch, recording, found.dropped, model,
                  windows.sensors.names, round(window_s * windows.sfreq), windows.sfreq)


def _features_of_corpus(
    corpus: Corpus, model: NeuroFMPreTrainedModel, batch_windows: int, layer: str
) -> Features:
    """Successive windows of one layout together, so that every source has one name."""
    number, start_s = (corpus.windows[name].to_numpy() for name in ("recording", "start_s"))
    layout = corpus.recordings["layout"].to_numpy()[number]
    edges = [0, *(np.flatnonzero(layout[1:] != layout[:-1]) + 1), len(corpus)]
    parts = []
    for first, last in pairwise(edges):
        rows = np.arange(first, last)
        values = _values(of_corpus(corpus, rows, batch_windows, contract_of(model).geometry),
                         len(rows), model, layer)
        n_times = np.array([corpus.signal(row).shape[1] for row in rows])
        sfreq = (np.full(len(rows), corpus.contract.sfreq) if corpus.contract.sfreq is not None else
                 corpus.recordings["sfreq_original"].to_numpy(float)[number[rows]])
        times = np.stack([start_s[rows], start_s[rows] + n_times / sfreq], axis=1).round(6)
        recording = corpus.recordings["recording"].to_numpy(object)[number[rows]]
        longest = int(np.argmax(n_times / sfreq))
        parts.append(_named(values, times, np.full(len(rows), -1), recording, None, model,
                            corpus.layout(first).names, int(n_times[longest]),
                            float(sfreq[longest])))
    return joined(parts)


def _named(values, times, epoch, recording, dropped, model, ch_names, n_times: int, sfreq: float
           ) -> Features:
    """Features with the names of sources and the times of frames."""
    frames = model.frame_times(values.shape[2], n_times, sfreq)
    found = Features(values, times, epoch, recording,
                     model.source_names(values.shape[1], ch_names), frames)
    if dropped is not None:
        found = replace(found, dropped=dropped)
    apart_s = frames[1] - frames[0] if len(frames) > 1 else 2 * frames[0]
    if (begin_s := frames[0] - apart_s / 2) > apart_s:
        reason = (f"the model gives features from {begin_s:g} s on, of windows of "
                  f"{n_times / sfreq:g} s")
        row = (recording[0], "stretch", "of each window", 0.0, begin_s, reason)
        found = replace(found, dropped=pd.concat(
            [found.dropped, pd.DataFrame([row], columns=[*DROPPED])] if len(found.dropped)
            else [pd.DataFrame([row], columns=[*DROPPED])], ignore_index=True))
    return found


def _values(
    batches: Iterator[Batch], n: int, model: NeuroFMPreTrainedModel, layer: str
) -> Float32[np.ndarray, "window source frame dim"]:
    """Features of n windows, one batch in memory at a time; 0 where a scan is shorter."""
    device, at = next(model.parameters()).device, 0
    values = np.zeros((n, 0, 0, 0), dtype=np.float32)
    with _answering(model):
        for batch in batches:
            found = model.embed_at(batch.to(device), layer).float().cpu().numpy()
            if found.shape[1:] != values.shape[1:]:
                shape = np.maximum(found.shape[1:], values.shape[1:])
                wider = np.zeros((n, *shape), dtype=np.float32)
                wider[:, : values.shape[1], : values.shape[2], : values.shape[3]] = values
                values = wider
            values[at : at + len(found), : found.shape[1], : found.shape[2]] = found
            at += len(found)
    return values


@contextmanager
def _answering(model: NeuroFMPreTrainedModel) -> Iterator[None]:
    """Without gradients and dropout; training mode is left as it was."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def as_recording(recording) -> Recording:
    """A Recording of what a person has at hand: a path, an MNE object, or one already."""
    if isinstance(recording, Recording):
        return recording
    if isinstance(recording, str | Path):
        return readers.read(recording)
    import mne

    if isinstance(recording, mne.BaseEpochs) and not recording.preload:
        # Those that it rejects are dropped from it as `get_data` would: `epochs.events` has a row
        # an epoch only from then on.
        recording = recording.drop_bad(verbose="ERROR").copy().load_data()
    if isinstance(recording, mne.io.BaseRaw | mne.BaseEpochs):
        return readers.from_raw(recording)
    average = (": an average holds no continuous signal; give the Raw or Epochs that it is of"
               if isinstance(recording, mne.Evoked) else "")
    raise ValueError(f"wanted an mne.io.Raw or mne.Epochs, a path, a neurofm.Recording, a "
                     f"neurofm.Corpus or a list of these, got a "
                     f"{type(recording).__name__}{average}")


def of_recording(
    windows: Standardized | StandardizedScan, batch_windows: int
) -> Iterator[Batch]:
    """Windows of one standardized recording, in their order: `batch_windows` at a time, fewer
    where they are large."""
    waiting: list[np.ndarray] = []
    for number, window in enumerate(windows, start=1):
        waiting.append(window)
        full = min(batch_windows, max(1, _LARGEST // window.size))
        if len(waiting) == full or number == len(windows):
            n = len(waiting)
            yield collate(waiting, [windows.sensors] * n, windows.contract.geometry,
                          source=[windows.source] * n,
                          t_r=windows.contract.t_r([windows.sfreq] * n))
            waiting = []


def of_corpus(
    corpus: Corpus, windows: np.ndarray, batch_windows: int, geometry: GeometryRule
) -> Iterator[Batch]:
    """Windows of a corpus, in the order given, sensors by the model's rule: `batch_windows` at a
    time, fewer where they are large."""
    start = 0
    while start < len(windows):
        full = min(batch_windows, max(1, _LARGEST // corpus.signal(windows[start]).size))
        yield corpus.batch(windows[start : start + full], geometry=geometry)
        start += full


def _is_corpus(path: str | Path) -> bool:
    return artifacts.is_sealed(path) and artifacts.open_sealed(path).kind == "corpus"
