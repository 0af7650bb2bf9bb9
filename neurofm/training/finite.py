"""When the loss is no longer a number: where that came from."""

import math
from dataclasses import fields
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from ..data.batch import Movable
from . import state

_AT_MOST = 12  # windows named in a message


class NotANumber(ValueError):
    """The loss, or the norm of its gradient, became NaN or infinite."""


def report(
    step: int, means: dict[str, float], losses: list[Tensor], micro_batches: list[Movable],
    states: Path, accelerator: Accelerator,
) -> NotANumber:
    """The error to raise on every process, alike: it names the windows of those processes whose
    own loss is not finite. Every process takes part.

    losses: of this process's `micro_batches`.
    """
    bad = [batch for batch, loss in zip(micro_batches, losses, strict=True)
           if not math.isfinite(loss.item())]
    here = f"Process {accelerator.process_index} had a loss that is not finite from"
    where = gather_object([f"{here} {windows_in_words(bad)}"] if bad else [])
    if not where:  # finite losses, infinite gradient: it has been summed, so it may be anyone's
        where = gather_object([f"Process {accelerator.process_index} had "
                               f"{windows_in_words(micro_batches)}"])
    good = state.finished(states)
    return NotANumber(
        f"step {step}: loss {means['loss']}, gradient norm {means['grad_norm']}. "
        f"{'. '.join(where)}. Nothing of this step is kept. "
        f"Last good state: {good[-1] if good else 'none yet'}. "
        f"Look at these recordings, or lower train.lr"
    )


def windows_in_words(batches: list[Movable]) -> str:
    """Where the windows come from; of those that are not finite themselves, only these."""
    names = [name for batch in batches for name in batch.source]
    spoilt = [name for batch in batches for name, fine in
              zip(batch.source, _finite_windows(batch), strict=True) if not fine]
    shown = spoilt or names
    rest = f" and {len(shown) - _AT_MOST} more" if len(shown) > _AT_MOST else ""
    note = " (NaN or Inf in the signal itself)" if spoilt else ""
    return f"{'; '.join(shown[:_AT_MOST])}{rest}{note}"


def _finite_windows(batch: Movable) -> list[bool]:
    """Of each window, whether all numbers that the model was given are finite."""
    fine = torch.ones(len(batch), dtype=torch.bool)
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor) and value.is_floating_point():
            fine &= value.detach().reshape(len(batch), -1).isfinite().all(dim=1).cpu()
    return fine.tolist()
