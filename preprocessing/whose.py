"""Whose recordings are, by the user's own tables: patterns of paths, or a TSV with a column `file`.

Both give fields of a recording (subject, session, task, run, dataset, label, any attribute).
"""

import csv
import re
from pathlib import Path


class NameTables:
    """files: rows with a `pattern` (regular expression, searched in the path; its named groups are
    fields) and fields; later rows override. table: path of a TSV or CSV with a column `file` (a
    path or its end, the longest counts) and fields; it goes before `files`."""

    def __init__(self, files: list[dict[str, str]], table: str):
        self._rows = [(compiled(row.get("pattern"), "files"), row) for row in files]
        self._table = _read(table) if table else {}
        self._used: set[str] = set()

    def fields(self, source: str) -> dict[str, str]:
        """What the tables say of the recording at path `source`."""
        said: dict[str, str] = {}
        for pattern, row in self._rows:
            match = pattern.search(source)
            if match:
                said |= {key: value for key, value in match.groupdict().items()
                         if value is not None}
                said |= {key: str(value) for key, value in row.items() if key != "pattern"}
        parts = source.split("/")
        for n in range(1, len(parts) + 1):
            file = "/".join(parts[-n:])
            if file in self._table:
                said |= self._table[file]
                self._used.add(file)
        return said

    def unused(self) -> list[str]:
        """Files that the table names and nobody asked for."""
        return [file for file in self._table if file not in self._used]


def compiled(pattern: str | None, where: str) -> re.Pattern:
    """The regular expression; where: the option it stands in, for messages."""
    if not pattern:
        raise ValueError(f"{where}: each row needs a `pattern` (a regular expression of the path)")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{where}: {pattern!r} is no regular expression: {error}") from error


def _read(table: str) -> dict[str, dict[str, str]]:
    """Path as written in the column `file` → the row's other fields."""
    path = Path(table)
    if not path.is_file():
        raise ValueError(f"table: there is no file {path}")
    with open(path, newline="", encoding="utf-8-sig") as file:
        delimiter = "," if path.suffix == ".csv" else "\t"
        rows = list(csv.DictReader(file, delimiter=delimiter))
    if not rows or "file" not in rows[0]:
        raise ValueError(f"table {path}: wanted a column `file`, got "
                         f"{list(rows[0]) if rows else 'no rows'}")
    return {row["file"]: {key: value for key, value in row.items()
                          if key not in (None, "file") and value not in (None, "", "n/a")}
            for row in rows}
