"""Tables of recordings and of windows: Arrow files, memory-mapped, read a column at a time.

A file `NAME.arrow` is one uncompressed record batch (Arrow IPC file, also known as Feather), so a
column of numbers is a view of the map, and all processes of a machine share its pages. Texts that
repeat are stored once (dictionary). `pandas.read_feather(path)` gives the table. Tables of earlier
versions and of the Hub are Parquet: they are read into memory.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

_BAD = (ValueError, OSError, LookupError, TypeError, NotImplementedError)


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table. Whoever has mapped one of that name goes on reading what he has mapped.

    Parameters
    ----------
    frame
        Columns of numbers, and of texts (None = missing).
    path
        `NAME.arrow`.
    """
    table = pa.table({name: _column(frame[name]) for name in frame.columns})
    temporary = path.with_name(f".{path.name}.part")
    with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(len(table), 1))
    temporary.replace(path)
    path.with_suffix(".parquet").unlink(missing_ok=True)  # of an earlier version


def _column(column: pd.Series) -> pa.Array:
    if pd.api.types.is_numeric_dtype(column):
        return pa.array(column.to_numpy())
    values = pa.array(_objects(column), from_pandas=True)
    if pa.types.is_string(values.type):
        values = values.cast(pa.large_string())
        coded = values.dictionary_encode()
        return coded if len(coded.dictionary) <= len(values) // 2 else values
    return values


def _objects(column: pd.Series) -> np.ndarray:
    """None where something is missing (pandas 3 would give NaN)."""
    values = column.astype(object)
    return values.where(values.notna(), None).to_numpy(object)


class Table:
    """Columns of a table. It travels to other processes as its path.

    Parameters
    ----------
    path
        `NAME.arrow` or `NAME.parquet`.
    checked
        Look whether texts lie inside the file.

    Raises
    ------
    ValueError
        It is no table.
    """

    def __init__(self, path: str | Path, checked: bool = True):
        self.path: Path | None = Path(path)
        self._stamp = _stamp(self.path)
        try:
            if self.path.suffix == ".parquet":
                from pyarrow import parquet

                # Not memory-mapped, because pages are decoded anyway.
                self._columns = parquet.read_table(self.path, memory_map=False)
            else:
                self._columns = pa.ipc.open_file(pa.memory_map(str(self.path))).read_all()
            if checked:
                self._columns.validate(full=True)  # a wrong offset would be read outside the map
        except _BAD as problem:
            raise ValueError(f"{path}: is no table of {_KINDS.get(self.path.suffix, 'Arrow')} "
                             f"({problem}); copy or make it again") from problem

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "Table":
        """A table in memory."""
        table = cls.__new__(cls)
        table.path, table._stamp = None, None
        table._columns = pa.table({name: _column(frame[name]) for name in frame.columns})
        table.__dict__["frame"] = frame
        return table

    def __reduce__(self):
        if self.path is None:
            return Table.of, (self.frame,)
        return _again, (str(self.path), self._stamp)

    def __len__(self) -> int:
        return self._columns.num_rows

    def __contains__(self, name: str) -> bool:
        return name in self._columns.column_names

    def numbers(self, name: str) -> np.ndarray:
        """A column of numbers, read-only over the memory map.

        Parameters
        ----------
        name
            Of the column.

        Returns
        -------
        ndarray
            `[row]`; floats with NaN where one is missing.
        """
        column = self._one(name)
        if column.null_count:
            column = column.cast(pa.float64())
        return column.to_numpy(zero_copy_only=False)

    def codes(self, name: str) -> tuple[np.ndarray, list]:
        """A column of texts as numbers.

        Parameters
        ----------
        name
            Of the column.

        Returns
        -------
        tuple[ndarray, list]
            Place of the text of each row among the texts, `[row]`, −1 where it is missing; the
            texts.
        """
        if name not in self._coded:
            column = self._one(name)
            if not pa.types.is_dictionary(column.type):
                column = column.dictionary_encode()
            codes = column.indices.fill_null(-1).to_numpy()
            self._coded[name] = codes, column.dictionary.to_pylist()
        return self._coded[name]

    def is_equal(self, name: str, value: object) -> np.ndarray:
        """Which rows of a column of texts hold a value.

        Parameters
        ----------
        name
            Of the column.
        value
            What is looked for.

        Returns
        -------
        ndarray
            bool `[row]`.
        """
        codes, texts = self.codes(name)
        return codes == (texts.index(value) if value in texts else -2)

    def value(self, name: str, row: int) -> Any:
        """One value of a column.

        Parameters
        ----------
        name
            Of the column.
        row
            Place in it.

        Returns
        -------
        object
            A number, a text, or None.
        """
        return self._columns.column(name)[row].as_py()

    def values(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Values of a column.

        Parameters
        ----------
        name
            Of the column.
        rows
            Places in it.

        Returns
        -------
        ndarray
            Objects, `[row]`; None where one is missing.
        """
        return _as_objects(self._one(name).take(pa.array(np.asarray(rows))))

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All of it, for small uses: texts become objects of Python."""
        return pd.DataFrame({name: self._for_pandas(name) for name in self._columns.column_names},
                            copy=False)

    @cached_property
    def _coded(self) -> dict[str, tuple[np.ndarray, list]]:
        return {}

    def _one(self, name: str) -> Any:
        """A column as one array, without a copy where it is of one record batch."""
        column = self._columns.column(name)
        if column.num_chunks == 1:
            return column.chunk(0)
        return column.combine_chunks()

    def _for_pandas(self, name: str) -> np.ndarray | pd.Series:
        column = self._one(name)
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            return self.numbers(name)
        if pa.types.is_boolean(column.type) and not column.null_count:
            return column.to_numpy(zero_copy_only=False)
        return pd.Series(_as_objects(column), dtype=object)


_KINDS = {".parquet": "Parquet"}


def read(path: Path) -> pd.DataFrame:
    """Read a whole table.

    Parameters
    ----------
    path
        `NAME.arrow` or `NAME.parquet`.

    Returns
    -------
    DataFrame
        None where a text is missing.

    Raises
    ------
    ValueError
        It is no table.
    """
    return Table(path).frame


def find(folder: Path, name: str) -> Table:
    """A table of an artifact.

    Parameters
    ----------
    folder
        The artifact.
    name
        "recordings", "windows" or "scans".

    Returns
    -------
    Table
        Opened.
    """
    return Table(path_of(folder, name))


def path_of(folder: Path, name: str) -> Path:
    """Path of a table of an artifact.

    Parameters
    ----------
    folder
        The artifact.
    name
        "recordings", "windows" or "scans".

    Returns
    -------
    Path
        `NAME.arrow`; `NAME.parquet` where an earlier version, or `neurofm publish`, wrote that.
    """
    parquet, arrow = (folder / f"{name}.{suffix}" for suffix in ("parquet", "arrow"))
    return parquet if parquet.is_file() and not arrow.is_file() else arrow


class AsFrame:
    """A field of a dataclass: given as a Table or DataFrame, read as a DataFrame. The table is kept
    under the name with a leading `_`."""

    def __init__(self, name: str):
        self.kept = f"_{name}"

    def __get__(self, owner: Any, kind: type | None = None) -> pd.DataFrame:
        return self if owner is None else getattr(owner, self.kept).frame

    def __set__(self, owner: Any, value: Table | pd.DataFrame) -> None:
        table = value if isinstance(value, Table) else Table.of(value)
        object.__setattr__(owner, self.kept, table)


if TYPE_CHECKING:
    FrameField = pd.DataFrame
else:
    FrameField = Table | pd.DataFrame  # what such a field is given


def _as_objects(column: Any) -> np.ndarray:
    if pa.types.is_dictionary(column.type):
        texts = np.array([*column.dictionary.to_pylist(), None], dtype=object)
        return texts[column.indices.fill_null(len(texts) - 1).to_numpy()]
    found = np.empty(len(column), dtype=object)
    found[:] = column.to_pylist()
    return found


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of change; None where there is no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _again(path: str, stamp: tuple[int, int] | None) -> Table:
    """The table of another process: it has been verified there, and must not have changed."""
    if _stamp(Path(path)) != stamp:
        raise ValueError(f"{path}: was changed or removed while it was read; run the command again")
    return Table(path, checked=False)
