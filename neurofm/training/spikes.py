"""The guard against spikes of the loss.

A step whose loss or gradient norm lies more than `train.spikes` robust deviations above the median
of the last accepted steps is skipped: neither weights nor buffers (codebooks) change. After more
than `train.spikes_limit` skipped steps one after another the weights themselves have gone wrong.
The run then goes back to a saved state from before, and the batches from there to the last skipped
one are passed over, as in the training of PaLM (Chowdhery et al. 2022, arXiv:2204.02311, 5.1).

Every decision follows from numbers that all processes have alike, and from what a saved state
holds: a run that was killed and continued decides as the run that never stopped. The state to go
back to is always one of a multiple of `train.save_every`, which every run has.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from .. import artifacts
from ..data.batch import Movable
from . import state
from .feed import Feed, Passed
from .finite import NotANumber, windows_in_words

if TYPE_CHECKING:
    from .log import Log
    from .loop import TrainConfig

LAST = 64  # accepted steps that the next is compared with
AT_LEAST = 16  # of them, before any step is skipped
EARLIER = 16  # steps: a state must be so much older than the first skipped step
TIMES = 3  # that a run goes back
FILE = "passed.json"  # beside the states: what is passed over, which a state from before cannot say
_NORMAL = 1.4826  # median absolute deviation → standard deviation of a normal distribution
_LEAST = 0.01  # of the median: a smaller deviation is none
_WATCHED = ("loss", "grad_norm")


class Diverged(NotANumber):
    """The loss spikes again and again."""


def deviations(value: float, last: Sequence[float]) -> float:
    """How many robust deviations a value lies above the median of the last ones; infinite where it
    is not finite."""
    if not math.isfinite(value):
        return math.inf
    middle = statistics.median(last)
    spread = _NORMAL * statistics.median(abs(each - middle) for each in last)
    return (value - middle) / max(spread, _LEAST * abs(middle), 1e-12)


class Guard:
    """Of one run. `on` is False where `train.spikes` is 0: then nothing here does anything.

    choose: validation metric whose lowest value is told by lines that are cut. last: loss and
    gradient norm of the last accepted steps. skipped: an entry a skipped step.
    """

    def __init__(self, config: "TrainConfig", states: Path, accelerator: Accelerator,
                 say: Callable, choose: str | None = None):
        self.config, self.states, self.accelerator, self.say = config, states, accelerator, say
        self.choose = choose
        self.on = config.spikes > 0
        self.last: dict[str, list[float]] = {name: [] for name in _WATCHED}
        self.skipped: list[dict[str, Any]] = []
        self.passed: Passed = read_passed(states)
        self.lowest = read_lowest(states)
        self._buffers: list[tuple[Tensor, Tensor]] = []

    def begin(self) -> None:
        """Remove states of steps that are passed over: killed while it went back, the run would
        take one of them. Every process takes part."""
        if self.passed and self.accelerator.is_main_process:
            for found in state.finished(self.states):
                if any(a <= state.step_of(found) <= b for a, b in self.passed):
                    state.remove(found)
        self.accelerator.wait_for_everyone()

    def load(self, saved: dict) -> None:
        """Go on from what a state holds (`saved`)."""
        self.last = {name: list(saved.get(name, [])) for name in _WATCHED}
        self.skipped = list(saved.get("skipped", []))

    def saved(self) -> dict:
        """For the state."""
        return {**self.last, "skipped": self.skipped} if self.on else {}

    def keeps(self, step: int) -> set[int]:
        """Steps of states that must stay after `step`, for a later step may go back to them."""
        if not self.on:
            return set()
        every = self.config.save_every
        first = self.target(step - self.config.spikes_limit)
        return {0, first, *range(first // every * every, step + 1, every)}

    def target(self, first: int) -> int:
        """Step of the state to go back to, where `first` is the first skipped step."""
        every = self.config.save_every
        at = max(0, first - EARLIER) // every * every
        while at > 0 and any(a <= at <= b for a, b in self.passed):
            at -= every
        return at

    def remember(self, model: nn.Module) -> None:
        """Before a step: buffers, which change when the loss is computed."""
        if self.on:
            self._buffers = [(each, each.detach().clone()) for each in model.buffers()]

    def spiked(self, done: int, means: dict[str, float], batches: list[Movable]) -> bool:
        """Whether step `done` must be skipped; then the buffers are as they were. Every process
        takes part."""
        if not self.on:
            return False
        far: dict[str, float] = {}
        if len(self.last["loss"]) >= AT_LEAST:
            far = {name: deviations(means[name], self.last[name]) for name in _WATCHED}
        if all(each <= self.config.spikes for each in far.values()):
            if all(math.isfinite(means[name]) for name in _WATCHED):
                for name in _WATCHED:
                    self.last[name] = [*self.last[name], means[name]][-LAST:]
            return False
        with torch.no_grad():
            for buffer, before in self._buffers:
                buffer.copy_(before)
        name = next(each for each in _WATCHED if far[each] > self.config.spikes)
        where = "; ".join(gather_object([windows_in_words(batches)]))
        self.skipped = [*self.skipped, {
            "step": done, "metric": name, "windows": where,
            "value": means[name] if math.isfinite(means[name]) else None,
            "deviations": round(far[name], 1) if math.isfinite(far[name]) else None}]
        self.say(f"step {done} skipped: {name} {means[name]:.4g} is {far[name]:.3g} robust "
                 f"deviations above the median {statistics.median(self.last[name]):.4g} of the "
                 f"last {len(self.last[name])} steps. Its windows: {where}")
        return True

    def run_of_skipped(self, done: int) -> int:
        """How many steps were skipped one after another, `done` the last."""
        found = {entry["step"] for entry in self.skipped}
        at = done
        while at in found:
            at -= 1
        return done - at

    def goes_back(self, done: int, model: nn.Module, optimizer: torch.optim.Optimizer, log: "Log",
                  feed: Feed) -> bool:
        """Whether the run has gone back to a saved state, since too many steps up to `done` were
        skipped; model, optimizer, log and feed are then as they were there. Every process takes
        part."""
        n = self.run_of_skipped(done) if self.on else 0
        if n <= self.config.spikes_limit or done == self.config.steps:
            return False
        first = done - n + 1
        if (times := _read(self.states).get("times", 0)) >= TIMES:
            raise Diverged(f"step {first}: the loss spikes, after the run went back {TIMES} times. "
                           f"Lower train.lr, or look at these recordings: "
                           f"{self.skipped[-n]['windows']}")
        to = self.target(first)
        found = state.newest(self.states, self.accelerator, self.say, to)
        if found is None:
            raise Diverged(f"step {first}: the loss spikes, and no state of step {to} or before is "
                           f"left to go back to. Lower train.lr")
        to = state.step_of(found)
        spikes = [entry for entry in self.skipped if entry["step"] >= first]
        self.passed = [*((a, b) for a, b in self.passed if b <= to), (to + 1, done)]
        self.lowest = min(self.lowest, log.lowest(self.choose))
        if self.accelerator.is_main_process:
            write_passed(self.states, self.passed, spikes, self.lowest, times + 1)
        self.accelerator.wait_for_everyone()
        self.begin()
        _, gathered, saved = state.load(found, model, optimizer, self.accelerator)
        self.load(saved)
        log.go_back(to, gathered)
        feed.go_to(to, self.passed)
        self.say(f"{n} steps in a row were skipped: back to step {to} ({found}); the batches of "
                 f"steps {to + 1} to {done} are passed over")
        return True


def read_passed(states: Path) -> Passed:
    """Stretches of steps that are passed over."""
    return [(a, b) for a, b in _read(states).get("passed", [])]


def read_lowest(states: Path) -> float:
    """Lowest value of the validation metric among steps whose lines of the log were cut."""
    found = _read(states).get("lowest")
    return math.inf if found is None else found


def read_spikes(states: Path) -> list[dict]:
    """Entries of the skipped steps that made the run go back."""
    return _read(states).get("spikes", [])


def write_passed(states: Path, passed: Passed, spikes: list[dict], lowest: float, times: int
                 ) -> None:
    """Add `spikes` to those that made the run go back before. times: that it has gone back."""
    artifacts.write_json(states / FILE, {
        "passed": passed, "times": times, "spikes": [*read_spikes(states), *spikes],
        "lowest": lowest if math.isfinite(lowest) else None}, checked=True)


def _read(states: Path) -> dict:
    return artifacts.read_json(states / FILE) if (states / FILE).is_file() else {}
