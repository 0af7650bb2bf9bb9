"""Subjects of a published split: named one by one, or by ranges; and those whom a corpus lacks."""

import re
from typing import TYPE_CHECKING

import numpy as np

from ..decoder.labeled import Labeled

if TYPE_CHECKING:
    from .windows import Protocol


def absent(data: Labeled, protocol: "Protocol") -> list[str]:
    """Subjects whom a published split names and the corpus lacks, in lines."""
    lacking = missing(data, protocol) if protocol.kind == "published" else []
    return [f"the published split has subjects whom this corpus lacks: {'; '.join(lacking)}; "
            f"scores are not those of the whole split"] if lacking else []


def missing(data: Labeled, protocol: "Protocol") -> list[str]:
    """Those of each part, in lines."""
    present = np.unique([key.split("/", 1)[1] for key in data.corpus.subjects(data.all)])
    found = {split: named(wanted, present)[1] for split, wanted in parts(protocol).items()}
    return [f"{', '.join(names)} ({split})" for split, names in found.items() if names]


def parts(protocol: "Protocol") -> dict[str, list[str]]:
    """Whom each split names."""
    return {"train": protocol.train, "validation": protocol.validation_subjects,
            "test": protocol.test}


def named(wanted: list[str], present: np.ndarray) -> tuple[list[str], list[str]]:
    """(subjects named one by one, or by ranges such as "1-70" or "S001-S070" over numbers; those
    of them that are not present)."""
    found, lacking = [], []
    for entry in wanted:
        span = re.fullmatch(r"\D*(\d+)-\D*(\d+)", entry)
        if entry in present:
            found.append(entry)
        elif span:
            low, high = map(int, span.groups())
            number = {one: int(at.group()) for one in present if (at := re.search(r"\d+", one))}
            found += [one for one, value in number.items() if low <= value <= high]
            lacking += _as_ranges([k for k in range(low, high + 1) if k not in number.values()])
        else:
            raise ValueError(f"protocol names subject {entry!r}; the corpus has "
                             f"{', '.join(sorted(present)[:20])}")
    return found, lacking


def _as_ranges(numbers: list[int]) -> list[str]:
    """Such as ["20-27", "30"]."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1) if numbers else []
    return [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
