"""Features of a recording, in three lines at a notebook.

    model = neurofm.load("path/or/org/name")
    features = neurofm.embed(raw, model)          # [window, source, frame, dim]

The recording is brought to what the model was trained on (its InputContract) first.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from neurofm import artifacts, checkpoints
from neurofm.checkpoints.contracts import check_contract, contract_of
from neurofm.data.batch import Batch, collate
from neurofm.data.corpus import Corpus
from neurofm.data.recording import Recording
from neurofm.data.sensors import GeometryRule
from neurofm.preprocessing import quality, readers
from neurofm.preprocessing.standardize import Standardized, StandardizedScan, standardize

_log = logging.getLogger("neurofm.downstream")


def embed(recording, model, batch_windows: int = 16) -> Tensor:
    """Features of every window of a recording.

    Parameters
    ----------
    recording
        An `mne.io.Raw` or `mne.Epochs`, a path of a file or of a corpus, a Recording, or a
        Corpus. Windows are contiguous, as the contract says; a corpus has its own.
    model
        A tokenizer, pretrained model or decoder (whose backbone gives the features), or its
        path.
    batch_windows
        Windows per batch.

    Returns
    -------
    Tensor
        float32 `[window, source, frame, dim]` on the CPU; of fMRI `[window, region, segment,
        dim]`, 0 where a scan has no such region or segment.

    Raises
    ------
    ContractError, ReadError
        Both are ValueErrors: the model cannot take the recording.
    """
    if isinstance(model, str | Path):
        model = checkpoints.load(model)
    if isinstance(recording, str | Path) and _is_corpus(recording):
        recording = Corpus.open(recording)
    if isinstance(recording, Corpus):
        check_contract(model, type(model).__name__, recording)
        batches = of_corpus(recording, batch_windows, contract_of(model).geometry)
    else:
        windows = standardize(as_recording(recording), contract_of(model))
        for remark in quality.remarks(windows.quality, places=True):
            _log.warning("%s: %s", windows.source, remark)
        return embed_windows(windows, model, batch_windows)
    return _embedded(batches, model)


def embed_windows(
    windows: Standardized | StandardizedScan, model, batch_windows: int = 16
) -> Tensor:
    """As `embed`, of a recording that meets the model's contract already."""
    return _embedded(of_recording(windows, batch_windows), model)


def _embedded(batches: Iterator[Batch], model) -> Tensor:
    device, training = next(model.parameters()).device, model.training
    model.eval()
    try:
        with torch.no_grad():
            parts = [model.embed(batch.to(device)).float().cpu() for batch in batches]
    finally:
        model.train(training)
    return torch.cat(_alike(parts))


def _alike(parts: list[Tensor]) -> list[Tensor]:
    """Of one shape: scans have unlike lengths and regions, and what one lacks is 0."""
    if len({part.shape[1:] for part in parts}) == 1:
        return parts
    most = [max(part.shape[axis] for part in parts) for axis in (1, 2)]
    return [F.pad(part, (0, 0, 0, most[1] - part.shape[2], 0, most[0] - part.shape[1]))
            for part in parts]


def as_recording(recording) -> Recording:
    """A Recording of what a person has at hand: a path, an MNE object, or one already."""
    if isinstance(recording, Recording):
        return recording
    if isinstance(recording, str | Path):
        return readers.read(recording)
    import mne

    if isinstance(recording, mne.io.BaseRaw | mne.BaseEpochs):
        return readers.from_raw(recording)
    average = (" (an average holds no continuous signal)" if isinstance(recording, mne.Evoked)
               else "")
    raise ValueError(f"wanted an mne.io.Raw or mne.Epochs, a path, a neurofm.Recording or a "
                     f"neurofm.Corpus, got a {type(recording).__name__}{average}")


def of_recording(
    windows: Standardized | StandardizedScan, batch_windows: int
) -> Iterator[Batch]:
    """Windows of one standardized recording, in their order."""
    waiting: list[np.ndarray] = []
    for number, window in enumerate(windows, start=1):
        waiting.append(window)
        if len(waiting) == batch_windows or number == len(windows):
            n = len(waiting)
            yield collate(waiting, [windows.sensors] * n, windows.contract.geometry,
                          source=[windows.source] * n,
                          t_r=windows.contract.t_r([windows.sfreq] * n))
            waiting = []


def of_corpus(corpus: Corpus, batch_windows: int, geometry: GeometryRule) -> Iterator[Batch]:
    """All windows of a corpus, in their order, sensors by the model's rule."""
    for start in range(0, len(corpus), batch_windows):
        windows = np.arange(start, min(start + batch_windows, len(corpus)))
        yield corpus.batch(windows, geometry=geometry)


def _is_corpus(path: str | Path) -> bool:
    return artifacts.is_sealed(path) and artifacts.open_sealed(path).kind == "corpus"
