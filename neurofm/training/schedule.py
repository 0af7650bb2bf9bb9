"""Learning rate over a run, and which parameters are decayed."""

import math

from torch import nn


def learning_rate(step: int, steps: int, peak: float, warmup: float, final: float) -> float:
    """Linear warm-up over the first `warmup` share of `steps`, then cosine to `final` × peak."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return peak * (step + 1) / rise
    progress = (step - rise) / max(1, steps - rise)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups of trainable parameters: those that are decayed, and those that are not.

    A model may say which by `no_decay(name, parameter) -> bool`; otherwise vectors (biases, gains)
    are spared and matrices decayed.
    """
    spared = getattr(model, "no_decay", lambda name, parameter: parameter.ndim < 2)
    decayed, kept = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (kept if spared(name, parameter) else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
