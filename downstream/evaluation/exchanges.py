"""Labels as they could have been otherwise: what a score by chance is a score of.

Exchanged are the largest units that the recordings allow, because windows of one unit resemble
each other whatever their label: whole subjects where each has one label (a diagnosis, an age);
whole recordings of a subject where each has one label (a task); blocks of windows where labels
come in long runs; single windows where labels follow each other in any order (events). Where there
are few ways to exchange, all of them are gone through (Fisher 1935), else some are drawn.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

ENUMERATED = 2000  # no more labellings than this are all gone through
FEW_LABELLINGS = 40  # below, 1 in 40 (the 97.5th percentile) cannot be resolved
IN_BLOCKS = 0.7  # labels come in blocks where they change less often than this × by chance


@dataclass(frozen=True, eq=False)
class Group:
    """Units that may exchange labels. rows: their windows, one unit after the other. lengths:
    windows of each unit. labels: of each unit. moving: units change places, with their lengths
    (blocks in time), else only their labels do."""

    rows: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
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
    """unit: what is exchanged, in words. count: how many labellings there are, the true one among
    them."""

    unit: str
    groups: tuple[Group, ...]
    n_windows: int

    @property
    def count(self) -> int:
        return math.prod(group.count for group in self.groups)

    @property
    def exact(self) -> bool:
        return self.count <= ENUMERATED

    def labellings(self, draws: int, seed: int) -> np.ndarray:
        """Codes [labelling, window]: all there are if that is few, else `draws` at random."""
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


def exchanges(codes: np.ndarray, subjects: np.ndarray, recordings: np.ndarray) -> Exchanges:
    """codes: label of each window as a number. subjects, recordings: whose and which, as numbers
    from 0. Windows of a recording are in the order of time."""
    of_recording = _rows(recordings)
    if any(len(set(codes[rows].tolist())) > 1 for rows in of_recording):
        if in_blocks(codes, of_recording):
            return Exchanges("blocks of windows of a recording",
                             tuple(_blocks(codes, rows) for rows in of_recording), len(codes))
        ones = tuple(Group(rows, np.ones(len(rows), int), codes[rows]) for rows in of_recording)
        return Exchanges("windows of a recording", ones, len(codes))
    of_subject: dict[int, list[np.ndarray]] = {}
    for rows in of_recording:
        of_subject.setdefault(int(subjects[rows[0]]), []).append(rows)
    if any(len({int(codes[rows[0]]) for rows in units}) > 1 for units in of_subject.values()):
        return Exchanges("recordings of a subject",
                         tuple(_units(codes, units) for units in of_subject.values()), len(codes))
    people = [np.concatenate(units) for units in of_subject.values()]
    return Exchanges("subjects", (_units(codes, people),), len(codes))


def _rows(codes: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def _units(codes: np.ndarray, units: list[np.ndarray]) -> Group:
    return Group(np.concatenate(units), np.array([len(rows) for rows in units]),
                 np.array([codes[rows[0]] for rows in units]))


def _blocks(codes: np.ndarray, rows: np.ndarray) -> Group:
    starts = np.flatnonzero(np.r_[True, np.diff(codes[rows]) != 0])
    return Group(rows, np.diff(np.r_[starts, len(rows)]), codes[rows][starts], moving=True)


def in_blocks(codes: np.ndarray, of_recording: list[np.ndarray]) -> bool:
    """Whether labels of neighbouring windows agree far more often than in a random order."""
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
