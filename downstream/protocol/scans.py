"""Who trains, who chooses and who is judged: other people, or later minutes of the same scans.

"inter": by the splits of the pairs, no subject in two of them. "intra": every scan is cut by its
volumes into 8:1:1, one stretch after the other; the first 20 s of the validation and of the test
part are dropped, so that no slow response reaches over the cut (NeuroBOLT, arXiv 2410.05341).
Targets are cleaned within their own part, so that no filter, trend or spread crosses a cut.
"""

import itertools
import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float32

from neurofm.data.pairs import Pairs
from neurofm.data.scans import Scans
from neurofm.data.windows import SPLITS, SplitLeakError

from . import leaks

GAP_S = 20.0
LEAST_VOLUMES = 10  # of a part; with fewer nothing is cleaned (`neurofm.data.bold`)

Kind = Literal["inter", "intra"]


@dataclass(frozen=True, eq=False)
class Part:
    """Scans in a role. data: gives them, with the volumes that count in this role alone."""

    data: Scans
    scans: np.ndarray

    def bounds(self, scan: int) -> tuple[int, int]:
        """First and last + 1 of the volumes that count."""
        return self.data.parts.get(scan, (0, self.data.pairs.bold(scan).shape[1]))

    def target(self, scan: int) -> Float32[np.ndarray, "volume roi"]:
        """Cleaned values of the volumes that count; NaN where not measured."""
        first, last = self.bounds(scan)
        return self.data.target(scan)[:, first:last].T

    def volume_s(self, scan: int) -> np.ndarray:
        """When these volumes were measured, seconds from the EEG's first sample."""
        first, last = self.bounds(scan)
        return self.data.volume_s(scan)[first:last]


@dataclass(frozen=True, eq=False)
class Roles:
    """notes: what was left out, and why."""

    kind: Kind
    train: Part
    validation: Part
    test: Part
    notes: list[str] = field(default_factory=list)

    @property
    def scans(self) -> np.ndarray:
        """All that are in some role."""
        return np.unique(np.concatenate([getattr(self, role).scans for role in SPLITS]))


def roles(pairs: Pairs, kind: Kind) -> Roles:
    """Raises ValueError where a role would be empty, SplitLeakError for a scan under two names."""
    found = _inter(pairs) if kind == "inter" else _intra(pairs)
    for role in SPLITS:
        if not len(getattr(found, role).scans):
            more = f"; and {len(found.notes) - 1} more like it" if len(found.notes) > 1 else ""
            raise ValueError(
                f"{pairs.folder}: protocol {kind} wanted scans to {_TO[role]} ({role}), and none "
                f"is left ({found.notes[0]}{more}): "
                + (f"pair scans of {_least_s(pairs):.0f} s or more, or judge other people "
                   f"(--protocol inter)" if kind == "intra" else
                   f"pair longer scans, or other people for {role} (splits.{role})")
            )
    return found


_TO = {"train": "learn from", "validation": "choose penalties and steps by", "test": "judge"}


def cut(n_volumes: int, t_r: float) -> dict[str, tuple[int, int]]:
    """The parts of one scan: role → first and last + 1 volume; 8:1:1 with gaps."""
    gap = math.ceil(round(GAP_S / t_r, 9))
    train, validation = n_volumes * 8 // 10, n_volumes * 9 // 10
    return {"train": (0, train), "validation": (train + gap, validation),
            "test": (validation + gap, n_volumes)}


def _least_s(pairs: Pairs) -> float:
    """Length of scans of which every part is long enough."""
    t_r = max(pairs.t_r(scan) for scan in range(len(pairs)))
    return 10 * (math.ceil(round(GAP_S / t_r, 9)) + LEAST_VOLUMES + 1) * t_r


def _inter(pairs: Pairs) -> Roles:
    chosen: dict[str, np.ndarray] = {}
    notes: list[str] = []
    for role in SPLITS:
        scans = pairs.select(role)
        parts = {int(scan): (0, pairs.bold(scan).shape[1]) for scan in scans}
        chosen[role] = _kept(pairs, scans, {role: parts}, notes)
    _refuse_copies(pairs, chosen)
    data = Scans(pairs)
    train, validation, test = (Part(data, chosen[role]) for role in SPLITS)
    return Roles("inter", train, validation, test, notes)


def _intra(pairs: Pairs) -> Roles:
    notes: list[str] = []
    parts: dict[str, dict] = {role: {} for role in SPLITS}
    for scan in range(len(pairs)):
        for role, bounds in cut(pairs.bold(scan).shape[1], pairs.t_r(scan)).items():
            parts[role][scan] = bounds
    scans = _kept(pairs, np.arange(len(pairs)), parts, notes)
    train, validation, test = (Part(Scans(pairs, parts[role]), scans) for role in SPLITS)
    return Roles("intra", train, validation, test, notes)


def _kept(
    pairs: Pairs, scans: np.ndarray, parts: dict[str, dict[int, tuple[int, int]]],
    notes: list[str],
) -> np.ndarray:
    """The scans of which every part has enough measured volumes of some region, with EEG."""
    kept, whole = [], Scans(pairs)
    for scan in scans.tolist():
        short = []
        for role, bounds in parts.items():
            first, last = bounds[scan]
            counts = np.isfinite(pairs.bold(scan)) & ~whole.blind(scan)
            measured = counts[:, first:max(first, last)].sum(axis=1)
            if measured.max(initial=0) < LEAST_VOLUMES:
                short.append(f"{measured.max(initial=0)} volumes to {_TO[role]}")
        if short:
            name = pairs.recordings["recording"].iat[scan]
            notes.append(f"{name} left out: {', '.join(short)}; at least {LEAST_VOLUMES} are "
                         f"needed")
        else:
            kept.append(scan)
    return np.array(kept, dtype=np.int64)


def _refuse_copies(pairs: Pairs, chosen: dict[str, np.ndarray]) -> None:
    """The same fMRI or EEG under two names, in two roles."""
    for what, (here, there) in itertools.product(
            ("bold", "eeg"), itertools.combinations(SPLITS, 2)):
        for one, other in leaks.copied(pairs.recordings, chosen[here], chosen[there],
                                       f"sha256_{what}"):
            raise SplitLeakError(
                f"{pairs.folder}: {one} ({here}) and {other} ({there}) hold the same {what} to the "
                f"byte: one scan under two names; leave one out and pair again"
            )
