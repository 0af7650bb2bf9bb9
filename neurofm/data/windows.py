"""WindowTable: which windows there are, of whom, in which split; for corpora and token sets."""

import hashlib
import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd

from .. import artifacts, json_file
from . import shards
from .contract import Contract
from .tables import AsFrame, FrameField, Table

Split = Literal["train", "validation", "test"]
SPLITS = get_args(Split)
DATASETS = "datasets.json"


class SplitLeakError(ValueError):
    """A subject stands in more than one split."""


@dataclass(frozen=True, eq=False)
class WindowTable:
    """An opened artifact whose rows are windows. It travels to other processes as paths."""

    folder: Path
    contract: Contract  # what every window meets
    # recordings: a row a recording (see `corpus.RECORDING_COLUMNS`). windows: a row a window, with
    # recording (row of the other table), row in its shard, start_s, label.
    recordings: FrameField
    windows: FrameField
    fingerprint: str
    reader: shards.ShardReader  # the shards
    if TYPE_CHECKING:  # of `recordings` and `windows`; made once, below
        @property
        def _recordings(self) -> Table: ...

        @property
        def _windows(self) -> Table: ...

        @property
        def _index(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...

        @property
        def _shard(self) -> tuple[np.ndarray, list[str]]: ...

    def __post_init__(self):
        with json_file.shaped(self.folder, "tables of recordings and windows"):
            check_splits(self._recordings, self.folder)
            recording, row = (self._windows.numbers(name) for name in ("recording", "row"))
            if len(row) and not (recording.min() >= 0 and row.min() >= 0
                                 and recording.max() < len(self._recordings)):
                raise ValueError("a window is of no recording")
            self._look_up()

    def _look_up(self) -> None:
        """Columns as arrays over the memory map: a look-up in a table for each window would cost
        more than reading it."""
        index = tuple(self._windows.numbers(name) for name in ("recording", "row", "start_s"))
        # Several recordings may be in a shard; then the table says in which each one is.
        shard = self._recordings.codes("shard" if "shard" in self._recordings else "recording")
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "_shard", shard)

    def __getstate__(self) -> dict:
        names = {field.name for field in fields(self)}
        return {name: value for name, value in self.__dict__.items()
                if name in names or name in ("_recordings", "_windows")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._look_up()

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        """Data set → what was stated of its terms: name, license, acknowledge, doi."""
        if (terms := self.__dict__.get("_terms")) is not None:  # of several folders
            return terms
        path = self.folder / DATASETS
        return json_file.read(path) if path.exists() else {}

    @property
    def splits(self) -> set[str | None]:
        """Splits that recordings are in."""
        return set(self._recordings.codes("split")[1])

    def select(self, split: str | None = None, **columns: str) -> np.ndarray:
        """Indices of the windows of a split and of recordings with the given column values."""
        keep = np.ones(len(self._recordings), dtype=bool)
        for name, value in {"split": split, **columns}.items():
            if value is not None:
                keep &= self._recordings.is_equal(name, value)
        chosen = np.flatnonzero(keep[self._index[0]])
        if len(chosen) == 0:
            raise ValueError(
                f"{self.folder}: no window with split={split!r} {columns or ''}; splits hold "
                f"{self.recordings.groupby('split')['n_windows'].sum().to_dict()} windows"
            )
        return chosen

    @cached_property
    def _subject(self) -> np.ndarray:
        """'dataset/subject' of each recording."""
        return keys(self._recordings)


    def names(self) -> list[str]:
        """Name of each recording."""
        codes, texts = self._recordings.codes("recording")
        return [texts[code] for code in codes.tolist()]

    def n_windows(self) -> np.ndarray:
        """Number of windows of each recording."""
        return np.bincount(self._index[0], minlength=len(self._recordings))

    def by_recording(self) -> list[np.ndarray]:
        """Windows of each recording, in the order of their rows in its shard."""
        recording, row, _ = self._index
        return np.split(np.lexsort((row, recording)), np.cumsum(self.n_windows())[:-1])

    def row_of_recording(self) -> np.ndarray:
        """Place of each window among those of its recording, by their rows in its shard."""
        place = np.empty(len(self), dtype=np.int64)
        for windows in self.by_recording():
            place[windows] = np.arange(len(windows))
        return place

    def subjects(self, windows: np.ndarray) -> np.ndarray:
        """'dataset/subject' of each of the windows, for groups and intervals."""
        return self._subject[self._index[0][windows]]

    def judged(self, windows: np.ndarray) -> pd.DataFrame:
        """Rows of the recordings that the windows are of."""
        return self.recordings.iloc[np.unique(self._index[0][windows])]

    def labels(self, windows: np.ndarray) -> np.ndarray:
        """Label of each of the windows (None where it has none)."""
        return self._windows.values("label", windows)

    def source(self, window: int | np.integer) -> str:
        """The recording of a window and the place in it, for messages."""
        recording, _, start_s = self._place(window)
        return f"{self._recordings.value('source', recording)} at {start_s:.1f} s"

    def _place(self, window: int | np.integer) -> tuple[int, int, float]:
        recording, row, start_s = self._index
        return int(recording[window]), int(row[window]), float(start_s[window])

    def _read(self, window: int | np.integer) -> np.ndarray:
        recording, row, _ = self._place(window)
        codes, names = self._shard
        return self.reader.read(f"{names[codes[recording]]}.arrow", row)


for _field in ("recordings", "windows"):  # in the class they would be taken as defaults
    setattr(WindowTable, _field, AsFrame(_field))


def mark(fingerprints: list[str]) -> str:
    """The fingerprint of what several artifacts hold together; of one it is its own.

    Parameters
    ----------
    fingerprints
        Of each, in order.

    Returns
    -------
    str
        16 hex digits.
    """
    if len(fingerprints) == 1:
        return fingerprints[0]
    return hashlib.sha256(json.dumps(fingerprints).encode()).hexdigest()[:16]


def write_datasets(folder: Path, datasets: dict[str, dict] | None) -> list[str]:
    """Write what is known of the terms of data sets.

    Parameters
    ----------
    folder
        Folder of the artifact.
    datasets
        Name of a data set → its license and references.

    Returns
    -------
    list[str]
        Name of the file; none where nothing is known.
    """
    if datasets is None or not any(datasets.values()):
        (folder / DATASETS).unlink(missing_ok=True)
        return []
    artifacts.write_json(folder / DATASETS, datasets)
    return [DATASETS]


def keys(recordings: Table) -> np.ndarray:
    """Who each recording is of.

    Parameters
    ----------
    recordings
        A row per recording.

    Returns
    -------
    ndarray
        'dataset/subject', the same object for the same subject, `[recording]`.
    """
    codes, subjects = _people(recordings)
    return np.array([*subjects, ""], dtype=object)[codes]


def _people(recordings: Table) -> tuple[np.ndarray, list[str]]:
    """Number of the subject of each recording, and the subjects as 'dataset/subject'."""
    (dataset, datasets), (subject, subjects) = map(recordings.codes, ("dataset", "subject"))
    n = len(subjects) + 1
    found, codes = np.unique((dataset.astype(np.int64) + 1) * n + subject + 1, return_inverse=True)
    sets, people = ["", *datasets], ["", *subjects]  # the first is of what is missing
    return codes, [f"{sets[code // n]}/{people[code % n]}" for code in found.tolist()]


def check_splits(recordings: Table | pd.DataFrame, where: str | Path) -> None:
    """Check that no subject is in two splits.

    Parameters
    ----------
    recordings
        A row per recording.
    where
        Folder, for the message.

    Raises
    ------
    SplitLeakError
        A ValueError that names the subjects.
    """
    if isinstance(recordings, pd.DataFrame):
        recordings = Table.of(recordings[["dataset", "subject", "split"]])
    (person, people), (split, splits) = _people(recordings), recordings.codes("split")
    n = len(splits) + 1
    pairs = np.unique(person.astype(np.int64) * n + split + 1)
    leaks = np.flatnonzero(np.bincount(pairs // n) > 1)
    if len(leaks):
        own = pairs[pairs // n == leaks[0]] % n
        example = f"{people[leaks[0]]} in {sorted(str(['', *splits][code]) for code in own)}"
        raise SplitLeakError(
            f"{where}: {len(leaks)} subject(s) stand in more than one split ({example}): scores "
            f"on them would not be of unseen people; ingest again with splits by subject"
        )
