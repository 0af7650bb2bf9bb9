"""Learning rate over a run, also one whose settings were changed on the way, and which parameters
are decayed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..nn.trainable import Trainable


def learning_rate(step: int, steps: int, peak: float, warmup: float, final: float,
                  begin: float = 0.0) -> float:
    """Linear from `begin` to `peak` over the first `warmup` share of `steps`, then cosine to
    `final` × peak."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return begin + (peak - begin) * (step + 1) / rise
    progress = (step - rise) / max(1, steps - rise)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


@dataclass(frozen=True)
class Slope:
    """A warm-up and a cosine.

    Parameters
    ----------
    first
        Finished steps of the run where it begins.
    steps
        Steps of the whole run, where it ends.
    lr, warmup, final_lr
        As in `TrainConfig`; the warm-up is a share of the steps from `first` on.
    """

    first: int
    steps: int
    lr: float
    warmup: float
    final_lr: float

    def in_words(self, begin: float = 0.0) -> str:
        rise = max(1, round(self.warmup * (self.steps - self.first)))
        return (f"learning rate from {begin:.3g} to {self.lr:.3g} over {rise} steps, then cosine "
                f"to {self.lr * self.final_lr:.3g} at step {self.steps}")


class Schedule:
    """Of a run: one slope, and another for each time that steps or learning rate were changed.

    A later slope begins at the rate where the one before was left, rises (or falls) to its own peak
    and decays to the end: the rate is warmed again and decayed again (Ibrahim et al. 2024,
    arXiv:2403.08763).
    """

    def __init__(self, slopes: Sequence[Slope]):
        self.slopes = list(slopes)

    def rate(self, step: int) -> float:
        """Learning rate of the step after `step` finished ones."""
        begin = 0.0
        for slope, after in zip(self.slopes, [*self.slopes[1:], None], strict=True):
            if after is None or step < after.first:
                break
            begin = self._of(slope, after.first - 1, begin)
        return self._of(slope, step, begin)

    def _of(self, slope: Slope, step: int, begin: float) -> float:
        return learning_rate(step - slope.first, slope.steps - slope.first, slope.lr, slope.warmup,
                             slope.final_lr, begin)

    def progress(self, step: int) -> float:
        """Finished share of the run, for what anneals; a run that is made longer never falls
        back."""
        done, slope = 0.0, self.slopes[0]
        for after in self.slopes[1:]:
            if step < after.first:
                break
            done, slope = done + (1 - done) * _share(slope, after.first), after
        return done + (1 - done) * _share(slope, step)

    def in_words(self) -> list[str]:
        """A sentence a slope."""
        return [slope.in_words(self.rate(slope.first - 1) if slope.first else 0.0)
                for slope in self.slopes]


def _share(slope: Slope, step: int) -> float:
    return min(1.0, (step - slope.first) / max(1, slope.steps - slope.first))


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
