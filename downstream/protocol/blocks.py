"""Blocks of time of every recording: the protocol for one person, or for one recording.

Windows of a recording lie in time, and what lies beside each other is alike whatever its label: a
split that deals windows out at random asks how well a neighbor is remembered. So each recording is
cut in stretches; block k of every recording is the test, block k + 1 (after the last: the first)
chooses, the others train. Windows of the training side that touch a border are left out; windows
of the test never are, so all of them are judged once.

Varoquaux et al. 2017, NeuroImage 145:166, on why folds of a person must be contiguous.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from neurofm.data.corpus import Corpus

from ..decoder.labeled import Labeled
from ..scoring.exchanges import in_blocks
from . import leaks


def within(data: Labeled, n: int, gap_s: float) -> Iterator[Labeled]:
    """The folds: each of `n` blocks is the test once. gap_s: least time between windows of two
    sides. Raises ValueError where blocks are too short to train or to choose by."""
    windows, corpus = data.all, data.corpus
    block = of_windows(data, n)
    for k in range(n):
        test, chosen = windows[block == k], windows[block == (k + 1) % n]
        chosen = apart(corpus, chosen, test, gap_s)
        rest = windows[(block != k) & (block != (k + 1) % n)]
        train = apart(corpus, rest, np.concatenate([test, chosen]), gap_s)
        fold = replace(data, fold=f"block {k + 1}",
                       windows={"train": train, "validation": chosen, "test": test})
        _check(fold, n)
        yield fold


def of_windows(data: Labeled, n: int) -> np.ndarray:
    """Block, 0 … n − 1, of each of the labeled windows."""
    windows, table = data.all, data.corpus.windows
    recording = table["recording"].to_numpy()[windows]
    start_s = table["start_s"].to_numpy()[windows]
    order = np.lexsort((start_s, recording))
    parts = np.split(order, np.flatnonzero(np.diff(recording[order])) + 1)
    codes = np.unique(data.target[windows], return_inverse=True)[1]
    long_runs, block = in_blocks(codes, parts), np.empty(len(windows), dtype=int)
    for rows in parts:
        block[rows] = cut(codes[rows], n, long_runs)
    return block


def cut(target: np.ndarray, n: int, long_runs: bool = False) -> np.ndarray:
    """Block of each window of a recording, in the order of time; target: its label.

    A border is where, as nearly as can be, k/n of the time and k/n of each class are over. With
    `long_runs` of labels a run is one trial and stays whole, if there are enough of them for every
    block to have one of each class; else, and where labels are all different, time is parted alone.
    """
    values, codes = np.unique(target, return_inverse=True)
    times, wanted = len(target), n * len(values)
    places = np.arange(times + 1)
    over = (places / times)[:, None]
    starts = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), times)
    if wanted <= (len(starts) - 1 if long_runs else times) and len(values) > 1:
        each = np.cumsum(codes[:, None] == np.arange(len(values)), axis=0)
        each = np.concatenate([np.zeros((1, len(values))), each]) / each[-1]
        over = np.concatenate([over.repeat(len(values), axis=1), each], axis=1)
        places = starts if long_runs else places
    borders = [places[np.square(over[places] - k / n).sum(axis=1).argmin()] for k in range(1, n)]
    return np.searchsorted(borders, np.arange(times), side="right")


def apart(corpus: Corpus, some: np.ndarray, others: np.ndarray, gap_s: float) -> np.ndarray:
    """Those of `some` windows that neither share samples with `others` nor lie within gap_s."""
    near = {here for here, _ in leaks.overlapping(corpus, some, others, gap_s)}
    return np.array([window for window in some.tolist() if window not in near], dtype=int)


def _check(fold: Labeled, n: int) -> None:
    for split in ("train", "validation", "test"):
        _, target, _ = fold.of(split)
        lacking = [name for k, name in enumerate(fold.classes) if not (target == k).any()]
        if len(target) and (split == "test" or not lacking):
            continue
        what = f"no {split} window" + (f" labeled {', '.join(map(repr, lacking))}"
                                       if lacking else "")
        raise ValueError(
            f"{fold.corpus.folder} ({fold.fold} of {n}): {what}: blocks of time are too short, or "
            f"labels come in runs that are too long, to be in all of them; ask for fewer "
            f"(protocol.folds, 3 at least), a smaller protocol.gap_s, or test whole recordings "
            f"(protocol.kind=sessions, protocol.column=run, protocol.rotate=true)"
        )
