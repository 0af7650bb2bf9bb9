"""Whose recordings are, by the user's own tables: patterns of paths, or a TSV with a column `file`.

Both give fields of a recording (subject, session, task, run, dataset, label, any attribute).
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from . import text


class NameTables:
    """files: rows with a `pattern` (regular expression, searched in the path; its named groups are
    fields) and fields; later rows override. table: path of a TSV or CSV with a column `file` (a
    path or its end, the longest counts) and fields; it goes before `files`."""

    def __init__(self, files: list[dict[str, str]], table: str, encoding: str = ""):
        self._rows = [(compiled(row.get("pattern"), "files"), row) for row in files]
        self._table = _read(table, encoding) if table else {}
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


class Exclude:
    """Patterns of paths to pass over: regular expressions, which are searched in the path, and
    globs such as "*_rest.edf" or "sub-0?/*", which are the path, its end or a part of it.

    A pattern with *, ? or {a,b} is a glob unless it has what only regular expressions have (".*",
    "^", "$", "|", "(", "\\" …).
    """

    _ONLY_IN_EXPRESSIONS = re.compile(r"[\\^$()|+{}]|\.[*?]")

    def __init__(self, patterns: Sequence[str]):
        self._tests = {str(pattern): self._test(str(pattern)) for pattern in patterns}
        self._used: set[str] = set()

    def __call__(self, source: str) -> bool:
        """Whether a pattern matches the path `source`."""
        hits = {pattern for pattern, test in self._tests.items() if test(source)}
        self._used |= hits
        return bool(hits)

    def unused(self) -> list[str]:
        """Patterns that matched nothing: usually a typing error."""
        return [pattern for pattern in self._tests if pattern not in self._used]

    def _test(self, pattern: str):
        plain = _alternatives(pattern)
        bodies = [each.removesuffix(".*") for each in plain]  # ends globs and expressions alike
        glob = len(plain) > 1 or any(mark in bodies[0] for mark in "*?")
        if glob and not any(self._ONLY_IN_EXPRESSIONS.search(body) for body in bodies):
            return lambda source: any(_matches(source, each) for each in plain)
        try:
            return re.compile(pattern).search
        except re.error:
            if glob:
                return lambda source: _matches(source, pattern)
            return compiled(pattern, "exclude").search  # raises, with the reason


def _alternatives(pattern: str) -> list[str]:
    """Globs that one with braces stands for: "sub-{01,02}" → "sub-01", "sub-02"."""
    found = re.search(r"(?<![\])}.])\{([^{},]*(?:,[^{},]*)+)\}", pattern)  # "[a-z]{2,3}" is none
    if found is None:
        return [pattern]
    return [whole for part in found[1].split(",") for whole in _alternatives(
        pattern[:found.start()] + part + pattern[found.end():])]


def _matches(source: str, pattern: str) -> bool:
    """Whether a glob is the path, its end, its beginning or a part of it, from / to /."""
    bare = pattern.strip("/")
    return any(fnmatchcase(source, form) for form in (
        bare, f"*/{bare}", f"{bare}/*", f"*/{bare}/*"))


def compiled(pattern: str | None, where: str) -> re.Pattern:
    """The regular expression; where: the option it stands in, for messages."""
    if not pattern:
        raise ValueError(f"{where}: each row needs a `pattern` (a regular expression of the path)")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{where}: {pattern!r} is no regular expression: {error}") from error


def _read(table: str, encoding: str) -> dict[str, dict[str, str]]:
    """Path as written in the column `file` → the row's other fields."""
    path = Path(table)
    if not path.is_file():
        raise ValueError(f"table: there is no file {path}")
    columns, rows = text.read_table(path, encoding)
    if not rows or "file" not in columns:
        raise ValueError(f"table {path}: wanted a column `file`, got "
                         f"{columns if rows else 'no rows'}")
    return {row["file"]: {key: value for key, value in row.items()
                          if key not in ("", "file") and value not in ("", "n/a")}
            for row in rows}
