"""Tables that people open in a spreadsheet: text from files is never run there as a formula."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_BEGINS = ("=", "+", "-", "@", "\t", "\n")


def write(table: "pd.DataFrame", path: str | Path, **options: Any) -> None:
    """Write a table, separated by tabs.

    Parameters
    ----------
    table
        Any table.
    path
        The file.
    options
        Go to `DataFrame.to_csv`, such as float_format.
    """
    Path(path).write_text(text(table, **options), encoding="utf-8")


def read(path: str | Path, columns: Sequence[str] = (), **options: Any) -> "pd.DataFrame":
    """Read a table, separated by tabs, that others may have changed.

    Parameters
    ----------
    path
        The file.
    columns
        Columns that it must have.
    options
        Go to `pandas.read_csv`. What is empty stays "" unless na_values says otherwise.

    Returns
    -------
    pd.DataFrame
        With cells and names as they were before `guarded`.

    Raises
    ------
    ValueError
        It is no such table, or lacks a column.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, sep="\t", **{"keep_default_na": False, **options})
    except (ValueError, TypeError, OverflowError) as problem:
        raise ValueError(f"{path}: no table separated by tabs: {' '.join(str(problem).split())}; "
                         f"copy it again, or make it again") from problem
    table = table.map(plain).rename(columns=plain)
    if lacking := [name for name in columns if name not in table]:
        raise ValueError(f"{path}: wanted a table with the columns {', '.join(columns)}, which "
                         f"lacks {', '.join(lacking)}; copy it again, or make it again")
    return table


def text(table: "pd.DataFrame", **options: Any) -> str:
    """What `write` writes.

    Parameters
    ----------
    table
        Any table.
    options
        Go to `DataFrame.to_csv`.

    Returns
    -------
    str
        Lines of cells.
    """
    words = {name: table[name].map(guarded) for name, kind in table.dtypes.items()
             if str(kind) in ("object", "str", "string", "category")}
    shown = table.assign(**words) if all(isinstance(name, str) for name in words) else table
    return shown.rename(columns=guarded).to_csv(sep="\t", **{"index": False, **options})


def guarded(cell: Any) -> Any:
    """A cell with an apostrophe in front, where a spreadsheet would take it for a formula.

    Parameters
    ----------
    cell
        Numbers stay numbers, also those written as text.

    Returns
    -------
    Any
        "'=1+1" of "=1+1".
    """
    if not isinstance(cell, str):
        return cell
    if "\r" in cell:  # which would end the row
        cell = cell.replace("\r", " ").lstrip()
    if not cell.startswith(_BEGINS) or len(cell) == 1:
        return cell
    try:
        float(cell)
        return cell
    except ValueError:
        return f"'{cell}"


def plain(cell: Any) -> Any:
    """A cell as it was before `guarded`.

    Parameters
    ----------
    cell
        As it was read.

    Returns
    -------
    Any
        Without the apostrophe.
    """
    is_guarded = isinstance(cell, str) and cell[:1] == "'" and cell[1:].startswith(_BEGINS)
    return cell[1:] if is_guarded else cell
