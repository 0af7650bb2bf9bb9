"""The order of the data: a pure function of (seed, step, windows a step).

Neither the number of processes nor of loader workers enters it, so a run resumed at step k, on
another number of GPUs if need be, sees exactly the windows and random numbers it would have seen.

A step takes one window out of each of `batch_windows` equal parts of all windows, ordered by their
width (number of channels). So every step holds narrow and wide windows alike, and all steps are the
same amount of work but for one window. Nothing is stored of the order (`permutation`): its memory
does not grow with the number of windows.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from torch.utils.data import DataLoader, Dataset

from ..data.batch import Movable
from . import signals
from .by_width import ByWidth
from .dealing import dealt
from .permutation import keyed, permuted

KIND = "strata"  # of the order: a state that was saved by another one is not continued
_WITHIN, _STRATUM, _AGAIN = 1, 2, 3  # what a permutation is of
_AT_ONCE = 4096  # windows whose place is computed at a time, of steps that follow each other


@runtime_checkable
class WindowSource(Protocol):
    """What can be trained on: a Corpus or a TokenSet."""

    def widths(self, windows: np.ndarray) -> np.ndarray: ...

    def batch(self, windows: np.ndarray, seeds: np.ndarray | None = None,
              target: np.ndarray | None = None) -> Movable: ...


class Step(NamedTuple):
    """Windows of a step, in the order of their widths."""

    positions: Int64[np.ndarray, " window"]  # among those that are trained on
    seeds: Int64[np.ndarray, " window"]
    windows: Int64[np.ndarray, " window"]  # indices in their source
    widths: Int64[np.ndarray, " window"]

    def take(self, part: slice) -> "Step":
        """Some of them."""
        return Step(*(values[part] for values in self))


class Order:
    """Which windows, and which random seeds, make up the global batch of a step.

    Every window stands in a pass once; what is lacking to a whole number of batches is filled up
    with windows of the same pass. Windows of one width come in random order.

    windows: those to draw from.
    """

    def __init__(self, windows: ByWidth, batch_windows: int, seed: int):
        self.windows, self.batch_windows, self.seed = windows, batch_windows, seed
        self.steps_per_pass = -(-len(windows) // batch_windows)
        self.widths, self._stop = windows.classes()
        self._at_once = max(1, _AT_ONCE // batch_windows)
        self._block: tuple[int, np.ndarray] | None = None

    def step(self, step: int) -> Step:
        """Windows of global step `step`."""
        number, place = divmod(step, self._at_once)
        if self._block is None or self._block[0] != number:
            first = number * self._at_once
            self._block = (number, self._ranks(np.arange(first, first + self._at_once)))
        rank = self._block[1][place]
        state = np.random.SeedSequence([self.seed, step, 1]).generate_state(len(rank), np.uint64)
        found = self.windows.at(rank)
        return Step(found.position, (state >> np.uint64(1)).astype(np.int64), found.window,
                    self.widths[np.searchsorted(self._stop, rank, side="right")])

    def _ranks(self, steps: Int64[np.ndarray, " step"]) -> Int64[np.ndarray, "step window"]:
        """Places in `windows` of the windows of some steps."""
        n, size = len(self.windows), self.batch_windows
        pass_, place = (part[:, None] for part in np.divmod(steps, self.steps_per_pass))
        strata = np.arange(size)
        first = strata * n // size
        count = (strata + 1) * n // size - first
        inside = permuted(place, np.array(self.steps_per_pass),
                          keyed(self.seed, pass_, _STRATUM, strata))
        # A stratum may have one window less than there are steps: another of its windows twice.
        again = keyed(self.seed, pass_, _AGAIN, strata) % np.maximum(count, 1).astype(np.uint64)
        inside = np.where(inside < count, inside, again.astype(np.int64))
        rank = np.minimum(first + inside, n - 1)  # n - 1: where there are fewer than batch_windows
        # Strata are of the order of widths; within a width that is shuffled.
        width = np.searchsorted(self._stop, rank, side="right")
        begin = np.where(width > 0, self._stop[width - 1], 0)
        return begin + permuted(rank - begin, self._stop[width] - begin,
                                keyed(self.seed, pass_, _WITHIN, width))


def check_batch(name: str, batch_windows: int, n_windows: int, usual: int = 0) -> None:
    """Raise ValueError where a step is to take more windows than there are: it would see them
    several times.

    name: of the option. usual: its default, with which few windows can be trained on too.
    """
    if batch_windows > max(n_windows, usual):
        more = f" (up to {usual} may be more)" if usual else ""
        raise ValueError(f"{name} ({batch_windows}) is more than the {n_windows} windows to train "
                         f"on, so every step would see windows several times: lower it{more}")


class StepData(Dataset):
    """Item `step` = this process's share of the global batch, as a list of micro-batches: as many
    on every process, none of them empty."""

    def __init__(self, source: WindowSource, order: Order, *, target: np.ndarray | None = None,
                 work: Callable[[np.ndarray], np.ndarray] | None = None,
                 rank: int = 0, world: int = 1, accumulate: int = 1):
        if order.batch_windows % (world * accumulate):
            raise ValueError(
                f"batch_windows ({order.batch_windows}) must be a multiple of processes × "
                f"accumulate ({world} × {accumulate}), so that every process gets the same share"
            )
        self.source, self.order, self.target = source, order, target
        self.rank, self.world, self.accumulate = rank, world, accumulate
        self._work = (work or np.asarray)(order.widths).astype(float)

    def parts(self, step: int) -> list[Step]:
        """Windows of each micro-batch of this process."""
        found = self.order.step(step)
        work = self._work[np.searchsorted(self.order.widths, found.widths)]
        return [found.take(part[self.rank])
                for part in dealt(work, self.world, self.accumulate)]

    def __getitem__(self, step: int) -> list[Movable]:
        return [
            self.source.batch(part.windows, part.seeds,
                              None if self.target is None else self.target[part.positions])
            for part in self.parts(step)
        ]


def steps(data: StepData, start: int, stop: int, workers: int, pin: bool) -> DataLoader:
    """Loader of the items start … stop − 1, in order, prepared ahead by `workers` processes."""
    return DataLoader(
        data, batch_size=None, sampler=range(start, stop), num_workers=workers, pin_memory=pin,
        multiprocessing_context="spawn" if workers else None, worker_init_fn=signals.ignore,
        # The loader draws a number when it starts. From torch's own generator, a resumed run would
        # have drawn one more than a run that never stopped, and seen other dropout.
        generator=torch.Generator(),
    )
