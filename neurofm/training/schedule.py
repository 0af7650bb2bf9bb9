"""Learning rate over a run, and which parameters are decayed."""

import math

from ..nn.trainable import Trainable


def learning_rate(step: int, steps: int, peak: float, warmup: float, final: float) -> float:
    """Linear warm-up over the first `warmup` share of `steps`, then cosine to `final` × peak."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return peak * (step + 1) / rise
    progress = (step - rise) / max(1, steps - rise)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def parameter_groups(model: Trainable, weight_decay: float) -> list[dict]:
    """Groups of trainable parameters that are decayed alike and learn at the same rate, as the
    model's `no_decay` and `lr_scale` say."""
    groups: dict[tuple[bool, float], list] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (not model.no_decay(name, parameter), model.lr_scale(name))
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": groups[decayed, factor], "weight_decay": weight_decay if decayed else 0.0,
         "lr_scale": factor}
        for decayed, factor in sorted(groups, reverse=True)
    ]
