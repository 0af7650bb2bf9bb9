"""What a run says of itself: averages since the last line → console, `log.jsonl`, trackers."""

import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from ..extras import installed, missing
from ..nn.trainable import Trainable
from ..progress import Progress
from . import machine, tracking
from .columns import Columns
from .pace import Pace


def read_lines(path: Path) -> list[dict]:
    """The lines of a `log.jsonl`; one that is cut or damaged ends them."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
        if not isinstance(found[-1], dict) or not isinstance(found[-1].get("step"), int):
            return found[:-1]
    return found


def flat(metrics: dict[str, Tensor]) -> Tensor:
    """All numbers of the metrics one after another, float32, for one exchange between processes."""
    return torch.cat([value.detach().float().reshape(-1) for value in metrics.values()])


def named(numbers: Tensor, like: dict[str, Tensor], model: Trainable) -> dict[str, float]:
    """`flat` undone, each metric as it is logged.

    A metric may be a vector, such as how often each code was used. What is said of it (perplexity)
    is no mean over batches, or it would depend on their size: `model.logged(vectors)` makes single
    numbers out of the vectors' means.
    """
    parts = numbers.cpu().split([value.numel() for value in like.values()])
    means = {name: part.reshape(like[name].shape) for name, part in zip(like, parts, strict=True)}
    found = {name: value for name, value in means.items() if value.ndim == 0}
    found |= model.logged({name: value for name, value in means.items() if value.ndim})
    return {name: float(value.numpy()) for name, value in found.items()}


class Log:
    """Numbers come in once a step, the same on all processes; the main one writes them.

    gathered: name → [sum, count] since the last line. It is saved with the state, so that the first
        line of a resumed run is the one that an uninterrupted run would have written.
    """

    waited_s: float
    took_s: float
    windows: int
    first: int

    def __init__(self, out: Path, accelerator: Accelerator, say=print, steps: int = 0,
                 pace: Pace | None = None):
        self.columns, self.steps, self.pace = Columns(steps), steps, pace
        self.energy = machine.Energy() if pace else None
        self.progress: Progress | None = None
        self.path, self.accelerator, self.say = out / "log.jsonl", accelerator, say
        self.gathered: dict[str, list[float]] = {}
        self._clock()

    def begin(self, first: int, gathered: dict, hyperparameters: dict,
              track: Sequence[tracking.Tracker] = ("auto",)) -> None:
        """Go on after `first` finished steps: later lines are of steps that will be done again.

        hyperparameters: settings of the run for trackers, {"train.lr": 0.001, …}. track: their
        names.
        """
        self.first = first
        self.go_back(first, gathered)
        if self.accelerator.is_main_process and "auto" in track and not installed("tensorboard"):
            self.say(f"no TensorBoard files, log.jsonl alone: writing them "
                     f"{missing('tensorboard')}")
        tracking.start(tracking.check(list(track)), self.accelerator, self.path.parent, first,
                       hyperparameters)
        if self.accelerator.is_main_process and self.steps > first:
            # The lines of the log tell how far it is where there is no terminal.
            self.progress = Progress(self.steps - first, "train", lines=False).__enter__()

    def go_back(self, first: int, gathered: dict) -> None:
        """Cut the lines after `first` finished steps, and gather as it was there."""
        self.gathered = {name: list(pair) for name, pair in gathered.items()}
        if self.accelerator.is_main_process:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            kept = [json.dumps(line) + "\n" for line in read_lines(self.path)
                    if line["step"] <= first]
            # Killed while this is written, the old log stays.
            temporary = self.path.with_name(f".{self.path.name}.part")
            temporary.write_text("".join(kept))
            os.replace(temporary, self.path)
            if self.progress is not None:
                self.progress.done = max(0, first - self.first)

    def lowest(self, name: str | None) -> float:
        """Lowest value of a metric so far; infinity if there is none. Every process takes part: the
        main one reads, since another may look before the log has been cut, and decide otherwise."""
        lines = read_lines(self.path) if self.accelerator.is_main_process else []
        values = [line[name] for line in lines if not math.isnan(line.get(name, math.nan))]
        return broadcast_object_list([min(values, default=math.inf)])[0]

    def count(self, means: dict[str, float]) -> None:
        """Take the numbers of a step."""
        for name, value in means.items():
            pair = self.gathered.setdefault(name, [0.0, 0])
            if not math.isnan(value):  # such as a correlation of hidden channels where none were
                pair[0], pair[1] = pair[0] + value, pair[1] + 1

    def add(self, *, waited_s: float, took_s: float, windows: int) -> None:
        """Take how long a step waited for data and took altogether."""
        self.waited_s, self.took_s = self.waited_s + waited_s, self.took_s + took_s
        self.windows += windows
        if self.progress is not None:
            self.progress.advance()

    def flush(self, step: int, **extra: float) -> None:
        """Write a line of averages, and forget them."""
        means = {name: total / count if count else math.nan
                 for name, (total, count) in self.gathered.items()}
        took_s = max(self.took_s, 1e-9)
        self.write(step, {
            **means, **extra,
            "windows_per_s": self.windows / took_s, "data_wait": self.waited_s / took_s,
            **self._of_machine(self.windows / took_s),
        })
        self.gathered = {}
        self._clock()

    def _of_machine(self, windows_per_s: float) -> dict[str, float]:
        if self.pace is None or self.energy is None:
            return {}
        used = self.energy.since_wh()
        return {**self.pace.rates(windows_per_s), **machine.memory(self.accelerator.device),
                **({} if used is None else {"energy_wh": used})}

    def write(self, step: int, values: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            with self.path.open("a") as file:
                file.write(json.dumps({"step": step, "time": time.time(), **values}) + "\n")
            for line in self.columns.lines(
                    step, values, self.progress.left_s() if self.progress else None):
                self.say(line)
        self.accelerator.log(values, step=step)

    def close(self) -> None:
        if self.progress is not None:
            self.progress.__exit__()
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def _clock(self) -> None:
        self.waited_s, self.took_s, self.windows = 0.0, 0.0, 0
