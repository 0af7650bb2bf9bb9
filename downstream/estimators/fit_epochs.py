"""Training a decoder on epochs in memory: the loop of `neurofm finetune` without a corpus.

A frozen model's features are all that a head sees, so that epochs are encoded once. Where the model
trains along, a tokenizer is frozen and only its tokens are kept; a model without one reads signals.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import torch
from torch import Tensor

from neurofm.checkpoints.contracts import contract_of
from neurofm.data.batch import Batch
from neurofm.data.recording import Recording
from neurofm.models.decoder import Decoder
from neurofm.training.loop import TrainConfig, accelerator_for

from ..decoder.features import Known, encoded
from ..decoder.fit import fit
from . import epochs, feature_cache
from .epochs import Windows


def held_out(
    classes: np.ndarray | None, groups: np.ndarray | None, n_epochs: int, fraction: float,
    random: np.random.RandomState,
) -> np.ndarray:
    """bool [epoch]: kept for validation. Every class stays in training.

    classes: index of each epoch, None for numbers. Without groups the share is drawn from each
    class; with them whole groups are drawn (subjects, runs), so that none is on both sides.
    """
    kept = np.zeros(n_epochs, dtype=bool)
    if fraction == 0:
        return kept
    strata = np.zeros(n_epochs, dtype=int) if classes is None else classes
    if groups is None:
        for each in np.unique(strata):
            rows = random.permutation(np.flatnonzero(strata == each))
            kept[rows[: min(max(1, round(fraction * len(rows))), len(rows) - 1)]] = True
        return kept
    names = random.permutation(np.unique(groups))
    for name in names:
        wanted = kept | (groups == name)
        closer = abs(wanted.mean() - fraction) < abs(kept.mean() - fraction)
        if (closer or not kept.any()) and set(strata[~wanted]) == set(strata):
            kept = wanted
    if not kept.any():
        raise ValueError(
            f"wanted groups of which one can be kept for validation, but {len(names)} group(s) "
            f"hold the epochs and without any one of them a class is lost to training; leave "
            f"groups out (epochs are then drawn at random), or set validation_fraction=0"
        )
    return kept


class OfEpochs(Known):
    """Epochs whose signals the model reads; the rest as in `Known`."""

    def __init__(self, windows: Windows, about: Known):
        super().__init__(about.windows, about.target.numpy(), about.subjects, about.source,
                         weight=about.weight)
        self.made = windows

    def widths(self, windows: np.ndarray) -> np.ndarray:
        """Number of channels of each of the windows."""
        return np.array([len(self.made.sensors[k]) for k in windows.tolist()], dtype=np.int64)

    def batch(self, windows: np.ndarray, seeds: np.ndarray | None = None,
              target: object = None) -> Batch:
        """Signals of the windows, with their targets."""
        return replace(self.made.batch(windows.tolist()), **self.about(windows, seeds))


def weights_of(
    sample_weight: np.ndarray | None, target: np.ndarray, classes: np.ndarray | None,
    training: np.ndarray,
) -> Tensor | None:
    """How much each epoch counts, float32 [epoch], 1 on average over the training epochs; None =
    alike. target: index of each epoch's class, or its number. classes: None for numbers. training:
    bool [epoch]."""
    if sample_weight is None:
        return None
    counted = training & (sample_weight > 0)
    if not counted.any():
        raise ValueError("sample_weight: wanted weights of which some are above zero among the "
                         "training epochs, got zero for all of them")
    if classes is not None and len(set(target[counted])) < 2:
        raise ValueError(f"sample_weight: wanted epochs of at least two classes that count in "
                         f"training, got one class: {classes[target[counted][:1]].tolist()}")
    weight = sample_weight / sample_weight[training].mean()
    return torch.from_numpy(weight.astype(np.float32))


def fit_epochs(
    decoder: Decoder, recordings: Sequence[Recording], target: np.ndarray,
    groups: np.ndarray | None, validation: np.ndarray, head: TrainConfig, full: TrainConfig, *,
    weight: Tensor | None, class_weight: Tensor | None, calibrate: bool, device: torch.device,
    memory: joblib.Memory | None, say: Callable[..., None],
) -> Decoder:
    """Train the decoder as its mode says → it, on the CPU, in evaluation mode.

    target: class index or number of each epoch. groups: whose each is; None = one person's.
    validation: bool [epoch], those that choose the step and, with `calibrate`, the temperature;
    none = train to the end. head, full: of the head, and of everything after it where the mode is
    not "frozen". weight: see `weights_of`. class_weight: see `Head.fit`. memory: of the features,
    where the mode is "frozen".
    """
    numbers = np.asarray(target, "float32" if decoder.config.regression else "int64")
    whose = np.zeros(len(numbers), dtype=int) if groups is None else groups
    contract, source = contract_of(decoder), None
    about = Known(np.arange(len(numbers)), numbers, whose, "epoch {}".format, weight=weight)
    if decoder.config.mode == "frozen":
        source = about.with_(feature_cache.pooled(decoder, recordings, contract,
                                                  head.batch_windows, device, memory))
    with tempfile.TemporaryDirectory(prefix="neurofm-fit-") as folder:
        accelerator = accelerator_for(head, Path(folder))
        usual, accelerator.state.device = accelerator.device, device
        try:
            signals = source or encoded(
                decoder.to(device), OfEpochs(epochs.standardized(recordings, contract), about),
                head.batch_windows)
            fit(decoder, signals, np.flatnonzero(~validation), np.flatnonzero(validation), head,
                full, Path(folder), accelerator, pooled=source, class_weight=class_weight,
                temperature=calibrate, say=say)
        finally:
            accelerator.state.device = usual  # which all Accelerators of a process share
    return decoder.to("cpu").eval()
