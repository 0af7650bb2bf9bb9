"""Training a decoder on epochs in memory: the loop of `neurofm finetune` without a corpus.

The tokenizer is frozen, so epochs are encoded once, and only their tokens are kept.
"""

import math
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neurofm.data.batch import Batch, Tokens
from neurofm.models.decoder import Decoder, Pooled
from neurofm.training.loop import TrainConfig, accelerator_for, train, validate

from .. import adapters


class Kept:
    """Tokens [epoch, source, frame, level] or features [epoch, …] in memory, with their targets."""

    def __init__(self, values: Tensor, target: Tensor):
        self.values, self.target = values, target

    def widths(self, windows: np.ndarray) -> np.ndarray:
        """All alike: nothing is padded."""
        return np.ones(len(windows), dtype=np.int64)

    def batch(self, windows: np.ndarray, seeds: np.ndarray | None = None, target=None):
        """Tokens or Pooled of the epochs, with their targets."""
        rows = torch.from_numpy(windows)
        about = {
            "target": self.target[rows],
            "seed": None if seeds is None else torch.as_tensor(seeds, dtype=torch.int64),
            "source": [f"epoch {window}" for window in windows.tolist()],
        }
        if self.values.is_floating_point():
            return Pooled(self.values[rows], **about)
        return Tokens(self.values[rows].long(), **about)


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


def fit(
    decoder: Decoder, batches: Iterable[Batch], target: np.ndarray, validation: np.ndarray,
    head: TrainConfig, full: TrainConfig, *, calibrate: bool, say=print,
) -> Decoder:
    """Train the decoder as its mode says → it, on the CPU, in evaluation mode.

    batches: all epochs in order. target: class index or number of each. validation: bool [epoch],
    those that choose the step and, with `calibrate`, the temperature; none = train to the end.
    head, full: of the head, and of everything after it where the mode is not "frozen".
    """
    numbers = torch.tensor(target, dtype=torch.float32 if decoder.config.regression
                           else torch.int64)
    training, chosen_by = np.flatnonzero(~validation), np.flatnonzero(validation)
    with tempfile.TemporaryDirectory(prefix="neurofm-fit-") as folder:
        out = Path(folder)
        accelerator = accelerator_for(head, out)
        decoder.to(accelerator.device)
        tokens = Kept(_encode(decoder, batches), numbers)
        pooled = Kept(_pool(decoder, tokens.values, head.batch_windows), numbers)

        def run(model, source, how: TrainConfig, where: Path) -> None:
            watched = (source, chosen_by) if len(chosen_by) else None
            train(model, source, training, how, where, accelerator, validation=watched,
                  choose="val/loss" if watched else None, say=say)

        rows = torch.from_numpy(training)
        decoder.head.fit(pooled.values[rows].to(accelerator.device),
                         numbers[rows].to(accelerator.device))
        run(decoder.head, pooled, head, out / "head")
        if decoder.config.mode != "frozen":
            kept = {name: value.clone() for name, value in decoder.state_dict().items()}
            before = _loss(decoder, tokens, chosen_by, full, accelerator)
            adapted = decoder.config.mode in ("lora", "dora")
            if adapted:
                adapters.attach(decoder)
                decoder.to(accelerator.device)
            run(decoder, tokens, full, out / "full")
            if adapted:
                adapters.merge(decoder)
            if before <= _loss(decoder, tokens, chosen_by, full, accelerator):
                decoder.load_state_dict(kept)  # training the transformer did not help
            pooled = Kept(_pool(decoder, tokens.values, head.batch_windows), numbers)
        decoder.eval()
        if calibrate and len(chosen_by):
            rows = torch.from_numpy(chosen_by)
            decoder.head.calibrate(pooled.values[rows].to(accelerator.device),
                                   numbers[rows].to(accelerator.device))
    return decoder.to("cpu").eval()


@torch.no_grad()
def _encode(decoder: Decoder, batches: Iterable[Batch]) -> Tensor:
    """Tokens of all epochs, int16, on the CPU."""
    tokenizer, device = decoder.backbone.tokenizer.eval(), decoder.device
    return torch.cat([tokenizer.encode(batch.to(device)).ids.to("cpu", torch.int16)
                      for batch in batches])


@torch.no_grad()
def _pool(decoder: Decoder, tokens: Tensor, at_once: int) -> Tensor:
    """What the head sees of all epochs, on the CPU."""
    decoder.eval()
    return torch.cat([decoder.pool(Tokens(part.long().to(decoder.device))).float().cpu()
                      for part in tokens.split(at_once)])


def _loss(
    decoder: Decoder, source: Kept, windows: np.ndarray, how: TrainConfig, accelerator
) -> float:
    """Loss of the validation epochs; NaN, which is neither more nor less, where there are none."""
    if len(windows) == 0:
        return math.nan
    return validate(decoder, source, windows, how, accelerator)["val/loss"]
