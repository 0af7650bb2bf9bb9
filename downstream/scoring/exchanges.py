"""Labels as they could have been otherwise: what a score by chance is a score of.

Exchanged are the largest units that the recordings allow, because windows of one unit resemble
each other whatever their label: whole subjects where each has one label (a diagnosis, an age);
whole recordings of a subject where each has one label (a task); blocks of windows where labels
come in long runs; single windows where labels follow each other in any order (events). Where there
are few ways to exchange, all of them are gone through (Fisher 1935), else some are drawn.

Methods are not trained again for exchanged labels. So windows of a recording that was the test in
several folds (blocks of time) exchange labels within a fold only. And a larger unit that stands in
several folds (a recording of one label, cut in blocks) was trained on under its own label: whoever
knows it again answers that label, whatever it means. Such units keep their labels; if no others are
left, nothing can be exchanged and there is no p.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

ENUMERATED = 2000  # no more labelings than this are all gone through
FEW_LABELINGS = 40  # below, 1 in 40 (the 97.5th percentile) cannot be resolved
IN_BLOCKS = 0.7  # labels come in blocks where they change less often than this × by chance


@dataclass(frozen=True, eq=False)
class Group:
    """Units that may exchange labels."""

    rows: np.ndarray  # their windows, one unit after the other
    lengths: np.ndarray  # windows of each unit
    labels: np.ndarray  # of each unit
    # units change places, with their lengths (blocks in time), else only their labels do
    moving: bool = False

    def place(self, out: np.ndarray, order: np.ndarray) -> None:
        out[self.rows] = np.repeat(self.labels[order],
                                   self.lengths[order] if self.moving else self.lengths)

    @property
    def kinds(self) -> list:
        lengths = self.lengths.tolist() if self.moving else [1] * len(self.labels)
        return list(zip(self.labels.tolist(), lengths, strict=True))

    @property
    def count(self) -> int:
        """In how many different orders the units can be."""
        same = math.prod(math.factorial(n) for n in Counter(self.kinds).values())
        return math.factorial(len(self.labels)) // same


@dataclass(frozen=True, eq=False)
class Exchanges:
    """All ways to exchange labels."""

    unit: str  # what is exchanged, in words
    # None where all such units stand in several folds. count: how many labelings there are, the
    # true one among them; 0 = none can be had.
    groups: tuple[Group, ...]
    n_windows: int

    @property
    def count(self) -> int:
        return math.prod(group.count for group in self.groups) if self.groups else 0

    @property
    def exact(self) -> bool:
        return self.count <= ENUMERATED

    def labelings(self, draws: int, seed: int) -> np.ndarray:
        """Codes [labeling, window]: all there are if that is few, else `draws` at random."""
        if not self.count:
            return np.empty((0, self.n_windows), dtype=np.int16)
        if self.exact:
            return np.stack(list(self._all()))
        rng, out = np.random.default_rng(seed), []
        for _ in range(draws):
            codes = np.empty(self.n_windows, dtype=np.int16)
            for group in self.groups:
                group.place(codes, rng.permutation(len(group.labels)))
            out.append(codes)
        return np.stack(out)

    def _all(self) -> Iterator[np.ndarray]:
        ways = [list(_orders(group.kinds)) for group in self.groups]
        for orders in itertools.product(*ways):
            codes = np.empty(self.n_windows, dtype=np.int16)
            for group, order in zip(self.groups, orders, strict=True):
                group.place(codes, order)
            yield codes


def exchanges(
    codes: np.ndarray, subjects: np.ndarray, recordings: np.ndarray,
    folds: np.ndarray | None = None,
) -> Exchanges:
    """codes: label of each window as a number. subjects, recordings: whose and which, as numbers
    from 0; folds: the fold that each window was the test of (None: one). Windows of a recording
    are in the order of time."""
    of_recording, n = _rows(recordings), len(codes)
    fold = np.zeros(n, dtype=int) if folds is None else folds
    if any(len(set(codes[rows].tolist())) > 1 for rows in of_recording):
        if not in_blocks(codes, of_recording):
            ones = [rows[part] for rows in of_recording for part in _rows(fold[rows])]
            parted = len(ones) > len(of_recording)
            unit = "windows of a recording" + " within a fold" * parted
            return Exchanges(unit, tuple(
                Group(rows, np.ones(len(rows), int), codes[rows]) for rows in ones), n)
        unit, moving, groups = "blocks of windows of a recording", True, []
        for rows in of_recording:
            runs = np.split(rows, np.flatnonzero(np.diff(codes[rows])) + 1)
            groups += [[run for run in runs if fold[run[0]] == k] for k in np.unique(fold[rows])]
    else:
        unit, moving = "recordings of a subject", False
        of_subject: dict[int, list[np.ndarray]] = {}
        for rows in of_recording:
            of_subject.setdefault(int(subjects[rows[0]]), []).append(rows)
        groups = list(of_subject.values())
        if not any(len({int(codes[rows[0]]) for rows in units}) > 1 for units in groups):
            unit, groups = "subjects", [[np.concatenate(units) for units in groups]]
    made, kept = [], []
    for units in groups:
        inside = [rows for rows in units if len(np.unique(fold[rows])) == 1]
        made += [_units(codes, inside, moving)] if inside else []
        kept += [_units(codes, [rows]) for rows in units if len(np.unique(fold[rows])) > 1]
    nothing = kept and math.prod(group.count for group in made) == 1
    return Exchanges(unit, () if nothing else (*made, *kept), n)


def _rows(codes: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def _units(codes: np.ndarray, units: list[np.ndarray], moving: bool = False) -> Group:
    return Group(np.concatenate(units), np.array([len(rows) for rows in units]),
                 np.array([codes[rows[0]] for rows in units]), moving)


def in_blocks(codes: np.ndarray, of_recording: list[np.ndarray]) -> bool:
    """Whether labels of neighboring windows agree far more often than in a random order."""
    changes = expected = 0.0
    for rows in of_recording:
        n = len(rows)
        counts = np.bincount(codes[rows])
        changes += (np.diff(codes[rows]) != 0).sum()
        expected += (n * n - np.square(counts).sum()) / n  # (n − 1) × P(two drawn ones differ)
    return changes < IN_BLOCKS * expected


def _orders(kinds: list) -> Iterator[np.ndarray]:
    """Every different order of units of which some are alike, as places of the units."""
    index = {kind: k for k, kind in enumerate(dict.fromkeys(kinds))}
    given = np.array([index[kind] for kind in kinds], dtype=int)
    by_kind, now = np.argsort(given, kind="stable"), sorted(given.tolist())
    while True:
        order = np.empty(len(now), dtype=int)
        order[np.argsort(now, kind="stable")] = by_kind
        yield order
        # The next in the order of a dictionary: raise the last place that can be, sort the rest.
        place = len(now) - 2
        while place >= 0 and now[place] >= now[place + 1]:
            place -= 1
        if place < 0:
            return
        other = next(k for k in range(len(now) - 1, place, -1) if now[k] > now[place])
        now[place], now[other] = now[other], now[place]
        now[place + 1 :] = now[:place:-1]
