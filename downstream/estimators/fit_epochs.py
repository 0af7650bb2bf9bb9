"""Training a decoder on epochs in memory: the loop of `neurofm finetune` without a corpus.

A tokenizer is frozen, so epochs are encoded once, and only their tokens are kept; a model without
one reads the signals.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from neurofm.data.batch import Batch
from neurofm.models.decoder import Decoder
from neurofm.training.loop import TrainConfig, accelerator_for

from ..decoder.features import Known, encoded
from ..decoder.fit import fit
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

    def __init__(self, windows: Windows, target: np.ndarray, groups: np.ndarray):
        super().__init__(np.arange(len(windows)), target, groups, "epoch {}".format)
        self.made = windows

    def widths(self, windows: np.ndarray) -> np.ndarray:
        """Number of channels of each of the windows."""
        return np.array([len(self.made.sensors[k]) for k in windows.tolist()], dtype=np.int64)

    def batch(self, windows: np.ndarray, seeds: np.ndarray | None = None,
              target: object = None) -> Batch:
        """Signals of the windows, with their targets."""
        return replace(self.made.batch(windows.tolist()), **self.about(windows, seeds))


def fit_epochs(
    decoder: Decoder, windows: Windows, target: np.ndarray, groups: np.ndarray | None,
    validation: np.ndarray, head: TrainConfig, full: TrainConfig, *, calibrate: bool,
    say: Callable[..., None],
) -> Decoder:
    """Train the decoder as its mode says → it, on the CPU, in evaluation mode.

    target: class index or number of each window. groups: whose each is; None = one person's.
    validation: bool [window], those that choose the step and, with `calibrate`, the temperature;
    none = train to the end. head, full: of the head, and of everything after it where the mode is
    not "frozen".
    """
    numbers = np.asarray(target, "float32" if decoder.config.regression else "int64")
    whose = np.zeros(len(numbers), dtype=int) if groups is None else groups
    with tempfile.TemporaryDirectory(prefix="neurofm-fit-") as folder:
        accelerator = accelerator_for(head, Path(folder))
        source = encoded(decoder.to(accelerator.device), OfEpochs(windows, numbers, whose),
                         head.batch_windows)
        fit(decoder, source, np.flatnonzero(~validation), np.flatnonzero(validation), head, full,
            Path(folder), accelerator, temperature=calibrate, say=say)
    return decoder.to("cpu").eval()
