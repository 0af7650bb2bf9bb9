"""WindowTable: which windows there are, of whom, in which split; for corpora and token sets."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd

from .. import artifacts, json_file
from ..seen import subject_keys
from . import shards
from .contract import Contract

Split = Literal["train", "validation", "test"]
SPLITS = get_args(Split)
DATASETS = "datasets.json"


class SplitLeakError(ValueError):
    """A subject stands in more than one split."""


@dataclass(frozen=True, eq=False)
class WindowTable:
    """An opened artifact whose rows are windows."""

    folder: Path
    contract: Contract  # what every window meets
    recordings: pd.DataFrame  # a row a recording (see `corpus.RECORDING_COLUMNS`)
    # a row a window: recording (row of the table above), row in its shard, start_s, label
    windows: pd.DataFrame
    fingerprint: str
    reader: shards.ShardReader  # the shards
    if TYPE_CHECKING:  # made once, below
        @property
        def _index(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...

        @property
        def _shard(self) -> list[str]: ...

    def __post_init__(self):
        with json_file.shaped(self.folder, "tables of recordings and windows"):
            check_splits(self.recordings, self.folder)
            # Columns as arrays: a pandas look-up for each window would cost more than reading it.
            index = tuple(self.windows[name].to_numpy() for name in ("recording", "row", "start_s"))
            if not np.isin(index[0], np.arange(len(self.recordings))).all() or index[1].min(
                    initial=0) < 0:
                raise ValueError("a window is of no recording")
            # A published artifact has several recordings in a shard, and says in which each one is.
            names = self.recordings["shard" if "shard" in self.recordings else "recording"].tolist()
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "_shard", names)

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        """Data set → what was stated of its terms: name, license, acknowledge, doi."""
        path = self.folder / DATASETS
        return json_file.read(path) if path.exists() else {}

    def select(self, split: str | None = None, **columns: str) -> np.ndarray:
        """Indices of the windows of a split and of recordings with the given column values."""
        keep = np.ones(len(self.recordings), dtype=bool)
        for name, value in {"split": split, **columns}.items():
            if value is not None:
                keep &= (self.recordings[name] == value).to_numpy()
        chosen = np.flatnonzero(keep[self._index[0]])
        if len(chosen) == 0:
            raise ValueError(
                f"{self.folder}: no window with split={split!r} {columns or ''}; splits hold "
                f"{self.recordings.groupby('split')['n_windows'].sum().to_dict()} windows"
            )
        return chosen

    def subjects(self, windows: np.ndarray) -> np.ndarray:
        """'dataset/subject' of each of the windows, for groups and intervals."""
        return subject_keys(self.recordings).to_numpy()[self._index[0][windows]]

    def judged(self, windows: np.ndarray) -> pd.DataFrame:
        """Rows of the recordings that the windows are of."""
        return self.recordings.iloc[np.unique(self._index[0][windows])]

    def labels(self, windows: np.ndarray) -> np.ndarray:
        """Label of each of the windows (None where it has none)."""
        return self.windows["label"].to_numpy()[windows]

    def source(self, window: int | np.integer) -> str:
        """The recording of a window and the place in it, for messages."""
        recording, _, start_s = self._place(window)
        return f"{self.recordings['source'].iat[recording]} at {start_s:.1f} s"

    def _place(self, window: int | np.integer) -> tuple[int, int, float]:
        recording, row, start_s = self._index
        return int(recording[window]), int(row[window]), float(start_s[window])

    def _read(self, window: int | np.integer) -> np.ndarray:
        recording, row, _ = self._place(window)
        return self.reader.read(f"{self._shard[recording]}.arrow", row)


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


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of an artifact.

    Parameters
    ----------
    path
        Path of the file.

    Returns
    -------
    DataFrame
        None where a text is missing (pandas 3 would give NaN).

    Raises
    ------
    ValueError
        It is no table.
    """
    try:
        table = pd.read_parquet(path)
    except (ValueError, OSError, LookupError, TypeError, NotImplementedError) as problem:
        raise ValueError(f"{path}: is no table of Parquet ({problem}); copy or make it "
                         f"again") from problem
    for name in table.columns:
        if not pd.api.types.is_numeric_dtype(table[name]):
            values = table[name].astype(object)
            table[name] = pd.Series(values.where(values.notna(), None), dtype=object)
    return table


def check_splits(recordings: pd.DataFrame, where: str | Path) -> None:
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
    rows = pd.DataFrame({"subject": subject_keys(recordings), "split": recordings["split"]})
    rows = rows.drop_duplicates()
    leaks = rows[rows["subject"].duplicated(keep=False)].groupby("subject")["split"].agg(sorted)
    if len(leaks):
        example = f"{leaks.index[0]} in {leaks.iloc[0]}"
        raise SplitLeakError(
            f"{where}: {len(leaks)} subject(s) stand in more than one split ({example}): scores "
            f"on them would not be of unseen people; ingest again with splits by subject"
        )
