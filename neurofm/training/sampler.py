"""The order of the data: a pure function of (seed, step).

Neither the number of processes nor of loader workers enters it, so a run resumed at step k, on
another number of GPUs if need be, sees exactly the windows and random numbers it would have seen.
Windows of similar channel count share a batch, so that little of it is padding.
"""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..data.batch import Movable
from . import signals


@runtime_checkable
class WindowSource(Protocol):
    """What can be trained on: a Corpus or a TokenSet."""

    def widths(self, windows: np.ndarray) -> np.ndarray: ...

    def batch(self, windows: np.ndarray, seeds: np.ndarray | None = None,
              target: np.ndarray | None = None) -> Movable: ...


def order_of_pass(widths: np.ndarray, batch_windows: int, seed: int, pass_: int) -> np.ndarray:
    """Positions of windows in one pass, int64 [step, batch_windows].

    widths: channel count of each window. Every window stands in it once; what is lacking to a
    whole number of batches is filled up with windows of the same pass.
    """
    rng = np.random.default_rng([seed, pass_])
    shuffled = rng.permutation(len(widths))
    missing = -len(shuffled) % batch_windows
    filled = np.concatenate([shuffled, np.resize(shuffled, missing)])
    # A stable sort keeps the shuffle within a width; batches are then dealt in random order.
    by_width = filled[np.argsort(widths[filled], kind="stable")]
    batches = by_width.reshape(-1, batch_windows)
    return batches[rng.permutation(len(batches))]


class Order:
    """Which windows, and which random seeds, make up the global batch of a step.

    windows: indices to draw from. widths: channel count of each of them.
    """

    def __init__(self, windows: np.ndarray, widths: np.ndarray, batch_windows: int, seed: int):
        self.windows, self.widths = windows, widths
        self.batch_windows, self.seed = batch_windows, seed
        self.steps_per_pass = -(-len(windows) // batch_windows)
        self._pass: tuple[int, np.ndarray] | None = None

    def step(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(positions in `windows`, seeds), int64 [batch_windows] each, of global step `step`."""
        pass_, place = divmod(step, self.steps_per_pass)
        if self._pass is None or self._pass[0] != pass_:
            order = order_of_pass(self.widths, self.batch_windows, self.seed, pass_)
            self._pass = (pass_, order)
        state = np.random.SeedSequence([self.seed, step, 1]).generate_state(
            self.batch_windows, np.uint64
        )
        return self._pass[1][place], (state >> np.uint64(1)).astype(np.int64)


class StepData(Dataset):
    """Item `step` = this process's share of the global batch, as a list of micro-batches."""

    def __init__(self, source: WindowSource, order: Order, *, target: np.ndarray | None = None,
                 rank: int = 0, world: int = 1, accumulate: int = 1):
        if order.batch_windows % (world * accumulate):
            raise ValueError(
                f"batch_windows ({order.batch_windows}) must be a multiple of processes × "
                f"accumulate ({world} × {accumulate}), so that every process gets the same share"
            )
        self.source, self.order, self.target = source, order, target
        self.rank, self.world, self.accumulate = rank, world, accumulate

    def __getitem__(self, step: int) -> list[Movable]:
        positions, seeds = self.order.step(step)
        share = len(positions) // self.world
        mine = slice(self.rank * share, (self.rank + 1) * share)
        parts = zip(
            np.split(positions[mine], self.accumulate),
            np.split(seeds[mine], self.accumulate),
            strict=True,
        )
        return [
            self.source.batch(self.order.windows[part], part_seeds,
                              None if self.target is None else self.target[part])
            for part, part_seeds in parts
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
