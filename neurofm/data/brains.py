"""Brains: scans of fMRI with the T1-weighted image of the same person; either may be missing.

Window i is a scan with its image, a scan whose person has no image, or, after all scans, the image
of a person who has no scan. Of several images of a person a scan has that of its own session, else
the one with the highest signal-to-noise ratio.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from . import joined, volumes
from .batch import Batch, collate
from .corpus import Corpus
from .sensors import GeometryRule, Sensors
from .windows import mark

NONE = -1


@dataclass(frozen=True, eq=False)
class Brains(Corpus):
    """A corpus of scans whose batches have `volume` and `volume_valid` too."""

    images: Corpus
    image_of: np.ndarray  # window → window of `images`, int [window]; NONE = it has none
    has_scan: np.ndarray  # bool [window]

    def layout(self, window: int | np.integer) -> Sensors:
        """Regions of a window; none where it has no scan."""
        found = super().layout(window)
        return found if self.has_scan[window] else found[np.zeros(len(found), dtype=bool)]

    def signal(self, window: int | np.integer, names: Sequence[str] | None = None) -> np.ndarray:
        """Scan of a window; `[0, 0]` where it has none."""
        if self.has_scan[window]:
            return super().signal(window, names)
        return np.zeros((0, 0), dtype=np.float32)

    def widths(self, windows: np.ndarray) -> np.ndarray:
        """Number of regions of each window."""
        return np.where(self.has_scan[windows], super().widths(windows), 0)

    def batch(
        self, windows: np.ndarray, seeds: np.ndarray | None = None, target=None,
        geometry: GeometryRule | None = None, change=None,
    ) -> Batch:
        """The windows side by side.

        Parameters
        ----------
        windows
            Indices of windows, `[window]`.
        seeds
            Seed of each window; None = none.
        target
            Target of each window; None = none.
        geometry
            Rule of `Sensors.geometry`; None = that of the contract.
        change
            As of `Corpus.batch`, of scans.

        Returns
        -------
        Batch
            Of a window without a scan no region is valid and no volume measured; of one without an
            image `volume` is 0.
        """
        numbers = windows.tolist()
        signals, layouts = [self.signal(w) for w in numbers], [self.layout(w) for w in numbers]
        if change is not None:
            both = [change(k, signal, layout) if len(layout) else (signal, layout)
                    for k, (signal, layout) in enumerate(zip(signals, layouts, strict=True))]
            signals, layouts = map(list, zip(*both, strict=True))
        batch = collate(
            signals, layouts, geometry or self.contract.geometry, seed=seeds, target=target,
            source=[self.source(w) for w in numbers], t_r=self.t_r(windows),
            subject=self.subjects(windows).tolist())
        grid = self.images.contract.grid
        assert grid is not None  # `join` has checked it
        batch.volume = torch.zeros(len(numbers), *grid)
        for k, image in enumerate(self.image_of[windows].tolist()):
            if image != NONE:
                batch.volume.numpy()[k] = volumes.image(self.images, image)
        batch.volume_valid = torch.from_numpy(self.image_of[windows] != NONE)
        return batch


def are_brains(parts: Sequence[Corpus]) -> bool:
    """Whether these are a corpus of fMRI and one of T1-weighted images.

    Parameters
    ----------
    parts
        Opened corpora.

    Returns
    -------
    bool
        True of one of each.
    """
    return len(parts) == 2 and sorted(part.contract.modality for part in parts) == ["fmri", "t1"]


def join(parts: Sequence[Corpus]) -> Brains:
    """Scans and images of the same people.

    Parameters
    ----------
    parts
        A corpus of fMRI and one of T1-weighted images, in any order.

    Returns
    -------
    Brains
        With the tables of both, in memory.

    Raises
    ------
    ValueError
        They are of other kinds; nobody is in both; or a person is in two splits.
    """
    if not are_brains(parts):
        raise ValueError(f"wanted a corpus of fMRI and one of T1-weighted images, got "
                         f"{' and '.join(part.contract.name for part in parts)}")
    images, scans = sorted(parts, key=lambda part: part.contract.modality != "t1")
    people = set(scans._subject)
    if not people & set(images._subject):
        raise ValueError(
            f"{scans.folder} and {images.folder} have no subject in common ({scans._subject[0]} is "
            f"one of the first, {images._subject[0]} of the second): ingest both with one "
            f"--dataset and the same labels of subjects")
    alone = np.flatnonzero(~np.isin(images._subject[images._index[0]], [*people]))
    tables = [joined._recordings(part, k) for k, part in enumerate((scans, images))]
    rows = np.unique(images._index[0][alone])
    place = np.full(len(tables[1]), NONE)
    place[rows] = len(tables[0]) + np.arange(len(rows))
    # All images stand in the table by which splits are checked, those without a scan in the data.
    everybody = pd.concat(tables, ignore_index=True)
    _check_splits(everybody, scans, images)
    recordings = joined._with_names_of_their_own(
        pd.concat([tables[0], tables[1].iloc[rows]], ignore_index=True))
    further = images.windows.iloc[alone]
    windows = pd.concat([scans.windows, further.assign(
        recording=place[further["recording"].to_numpy()])], ignore_index=True)
    n = len(scans)
    fingerprint = mark([scans.fingerprint, images.fingerprint])
    found = Brains(
        Path(f"{scans.folder} + {images.folder}"), scans.contract.with_(corpus=fingerprint),
        recordings, windows, fingerprint, joined.Readers([scans.reader, images.reader]),
        scans.layouts | images.layouts, images,
        np.concatenate([_image_of(scans, images), alone]).astype(np.int64),
        np.arange(n + len(alone)) < n)
    object.__setattr__(found, "_terms", {**images.datasets, **scans.datasets})
    return found


def _check_splits(everybody: pd.DataFrame, scans: Corpus, images: Corpus) -> None:
    from .windows import SplitLeakError, check_splits

    try:
        check_splits(everybody, f"{scans.folder} and {images.folder}")
    except SplitLeakError as problem:
        raise SplitLeakError(f"{problem}. Give both ingests the same splits: --splits.validation "
                             f"and --splits.test with the names of the held-out subjects"
                             ) from None


def _image_of(scans: Corpus, images: Corpus) -> np.ndarray:
    """Window of `images` for each window of `scans`; NONE = the person has none."""
    table = images.recordings
    snr = [json.loads(text).get("snr") or 0.0 for text in table["quality"]]
    session = [name or "" for name in table["session"].where(table["session"].notna(), None)]
    own: dict[str, list[tuple[str, float, str, int]]] = {}
    for window, row in enumerate(images._index[0].tolist()):
        own.setdefault(images._subject[row], []).append(
            (session[row], -snr[row], table["recording"].iat[row], window))
    sessions = scans.recordings["session"]
    wanted = [name or "" for name in sessions.where(sessions.notna(), None)]
    found = [min(own[person], key=lambda each: (each[0] != at, *each[1:]))[-1]
             if person in own else NONE
             for person, at in zip(scans._subject, wanted, strict=True)]
    return np.array(found, dtype=np.int64)[scans._index[0]]
