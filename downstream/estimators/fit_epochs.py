"""Training a decoder on epochs in memory: the loop of `neurofm finetune` without a corpus.

The tokenizer is frozen, so epochs are encoded once, and only their tokens are kept.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neurofm.data.batch import Batch
from neurofm.models.decoder import Decoder
from neurofm.training.loop import TrainConfig, accelerator_for

from ..decoder.features import InMemory
from ..decoder.fit import fit


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


def fit_epochs(
    decoder: Decoder, batches: Iterable[Batch], target: np.ndarray, groups: np.ndarray | None,
    validation: np.ndarray, head: TrainConfig, full: TrainConfig, *, calibrate: bool, say=print,
) -> Decoder:
    """Train the decoder as its mode says → it, on the CPU, in evaluation mode.

    batches: all epochs in order. target: class index or number of each. groups: whose each is;
    None = one person's. validation: bool [epoch], those that choose the step and, with `calibrate`,
    the temperature; none = train to the end. head, full: of the head, and of everything after it
    where the mode is not "frozen".
    """
    numbers = np.asarray(target, "float32" if decoder.config.regression else "int64")
    whose = np.zeros(len(numbers), dtype=int) if groups is None else groups
    with tempfile.TemporaryDirectory(prefix="neurofm-fit-") as folder:
        accelerator = accelerator_for(head, Path(folder))
        tokens = InMemory(np.arange(len(numbers)), _encode(decoder.to(accelerator.device), batches),
                          numbers, whose, "epoch {}".format)
        fit(decoder, tokens, np.flatnonzero(~validation), np.flatnonzero(validation), head, full,
            Path(folder), accelerator, temperature=calibrate, say=say)
    return decoder.to("cpu").eval()


@torch.no_grad()
def _encode(decoder: Decoder, batches: Iterable[Batch]) -> Tensor:
    """Tokens of all epochs, int16, on the CPU."""
    backbone, device = decoder.backbone.eval(), decoder.device
    return torch.cat([backbone.prepare(batch.to(device)).ids.to("cpu", torch.int16)
                      for batch in batches])
