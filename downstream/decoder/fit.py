"""Train a decoder on tokens in memory: the head, then whatever trains along, then the temperature.

The same for `neurofm finetune`, for `neurofm evaluate decoding` and for the scikit-learn
face: they differ in where tokens, targets and validation windows come from.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from neurofm.models.decoder import Decoder
from neurofm.training.loop import TrainConfig, train, validate

from . import adapters, features
from .features import InMemory, Known
from .linear_head import solve


def fit(
    decoder: Decoder, source: Known, training: np.ndarray, validation: np.ndarray,
    how: TrainConfig, how_full: TrainConfig, out: Path, accelerator: Accelerator, *,
    pooled: InMemory | None = None, class_weight: Tensor | None = None, temperature: bool = True,
    say: Callable = print,
) -> InMemory:
    """Train as the decoder's config says; the weights are those of the lowest validation loss.

    source: tokens or signals. training, validation: numbers of its windows; without validation
    windows training goes on to its end. how, how_full: of the head, and of what trains after it
    where the mode is not "frozen"; of a linear head only how.weight_decay counts, the penalty of
    what is solved. pooled: features of the backbone as it came, where they are known already.
    class_weight: how much a window of each class counts; None = so that classes weigh alike.
    temperature: whether the validation windows choose one.
    Returns what the head sees of all windows of `source`, not re-centered.

    A decoder that re-centers trains its head on each subject's features minus their mean. What
    trains along does so with a head of its own, that sees features as they are: a mean over a
    person's windows is not to be had from a batch.
    """
    device, frozen = accelerator.device, decoder.config.mode == "frozen"
    if pooled is None:
        pooled = features.pooled(decoder, source, device=device)
    parts = [part for part in (training, validation) if len(part)]

    def fit_head(seen: InMemory, where: Path) -> None:
        rows = torch.from_numpy(seen.rows(training))
        values, target = seen.values[rows].to(device), seen.target[rows].to(device)
        weight = None if seen.weight is None else seen.weight[rows].to(device)
        decoder.to(device).head.fit(values, target, weight, class_weight)
        if decoder.config.solved:
            loss = solve(decoder.head, values, target, how.weight_decay, weight)
            say(f"the linear head is solved: loss {loss:.4g} of {len(rows)} training windows")
            return
        _train(decoder.head, seen, training, validation, how, where, accelerator, say)

    if not frozen:
        fit_head(pooled, out / "head")
        _fit_all(decoder, source, training, validation, how, how_full, out, accelerator, say)
        pooled = features.pooled(decoder, source, device=device)
    seen = pooled
    if decoder.config.recentered:
        decoder.head.centre.copy_(features.center_of_all(pooled, training))
        seen = features.recentered(pooled, parts)
    if frozen or decoder.config.recentered:
        fit_head(seen, out if frozen else out / "again")
    if temperature and len(validation) and not decoder.config.regression:
        rows = torch.from_numpy(seen.rows(validation))
        decoder.config.calibration_windows = len(rows)
        weight = None if seen.weight is None else seen.weight[rows].to(device)
        decoder.head.eval().calibrate(seen.values[rows].to(device), seen.target[rows].to(device),
                                      weight)
    decoder.to(device).eval()
    return pooled


def _train(model, source, training, validation, how, out, accelerator, say) -> None:
    watched = (source, validation) if len(validation) else None
    train(model, source, training, how, out, accelerator, validation=watched,
          choose="val/loss" if watched else None, say=say)


def _fit_all(
    decoder, source, training, validation, how, how_full, out, accelerator, say
) -> None:
    """Train the transformer, or adapters of it, with the head; taken back where it does harm."""

    def loss() -> float:
        if not len(validation):
            return float("nan")  # neither more nor less
        return validate(decoder, source, validation, how_full, accelerator)["val/loss"]

    before = loss()
    kept = {name: value.clone() for name, value in decoder.state_dict().items()}
    say(f"the head is trained (val/loss {before:.4g}); now the transformer with it")
    adapted = decoder.config.mode in ("lora", "dora")
    if adapted:
        adapters.attach(decoder)
        decoder.to(accelerator.device)
        n = sum(p.numel() for p in decoder.parameters() if p.requires_grad)
        say(f"{n:,} parameters train: adapters of rank {decoder.config.rank}, and the head")
    _train(decoder, source, training, validation, dataclasses.replace(how_full, seed=how.seed),
           out, accelerator, say)
    if adapted:
        adapters.merge(decoder)
    if before <= loss():
        decoder.load_state_dict(kept)
        say("training the transformer did not help the validation subjects: the head alone "
            "is kept as it was trained")
