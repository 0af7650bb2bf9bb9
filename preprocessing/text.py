"""Text that laboratories write: tables and JSON in any encoding, with any line ends.

UTF-8 and UTF-16 say what they are. What is not valid UTF-8 is read in the encoding that the user
states (`--encoding`), else as latin-1, or as cp1252 where it holds bytes that latin-1 leaves
unused.
"""

import codecs
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

from neurofm import pointers

from . import links

_MOST_BYTES = 2 * 10**8  # of a sidecar: larger ones are no text that somebody wrote
_MOST_COLUMNS = 10**4
_MARKED = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"),
           (codecs.BOM_UTF16_BE, "utf-16"))
# Bytes of cp1252 (curly quotes, dashes, the euro) at which latin-1 has control characters.
_WINDOWS = re.compile(rb"[\x80\x82-\x8c\x8e\x91-\x9c\x9e\x9f]")


def encoding_of(content: bytes, stated: str = "") -> str:
    """Encoding of a text; `stated` holds for what is neither marked nor valid UTF-8."""
    for mark, name in _MARKED:
        if content.startswith(mark):
            return name
    head = content[:400]
    if head[1::2].count(0) > len(head) // 4:
        return "utf-16-le"
    if head[0::2].count(0) > len(head) // 4:
        return "utf-16-be"
    try:
        content.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        return stated or ("cp1252" if _WINDOWS.search(content) else "latin-1")


def decoded(content: bytes, stated: str = "") -> str:
    """The text, without a mark of byte order and with plain line ends. cp1252 has five bytes that
    mean nothing."""
    encoding = encoding_of(content, stated)
    guessed = encoding == "cp1252" and not stated
    text = content.decode(encoding, errors="replace" if guessed else "strict")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def is_guessed(path: Path, stated: str = "") -> bool:
    """Whether the encoding of a file is neither marked nor valid UTF-8 nor stated."""
    return not stated and encoding_of(_content(path)) in ("latin-1", "cp1252")


def check_encoding(name: str) -> None:
    """Raise ValueError where Python knows no encoding of this name; "" = none is stated."""
    try:
        codecs.lookup(name or "utf-8")
    except LookupError:
        raise ValueError(f"encoding: {name!r} is no encoding; wanted a name such as latin-1, "
                         f"cp1252, cp1250, shift_jis or utf-16") from None


def read(path: Path, stated: str = "") -> str:
    """Text of a file; see `decoded`. Raises ReadError where it is none, or too large for one."""
    from .readers.errors import ReadError

    content = _content(path)
    try:
        return decoded(content, stated)
    except UnicodeDecodeError as error:
        encoding = encoding_of(content, stated)
        raise ReadError(path, f"is no text in {encoding}: {error.reason}; state its encoding "
                              f"(--encoding), or copy it again from the source") from error


def _content(path: Path) -> bytes:
    """Of a regular file of a size that text has. Raises ReadError."""
    from .readers.errors import ReadError

    if waiting := pointers.not_fetched(path):
        raise ReadError(path, waiting)
    if why := links.strange(path):
        raise ReadError(path, why)
    if path.stat().st_size > _MOST_BYTES:
        raise ReadError(path, f"has {path.stat().st_size / 1e6:.0f} MB, more than the "
                              f"{_MOST_BYTES / 1e6:.0f} MB that a table or sidecar may have; it is "
                              f"damaged, or data under such a name")
    return path.read_bytes()


def table(text: str) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a table, separated by tabs, else by semicolons or commas.

    Fields are stripped; empty lines are left out; a short row is filled with "n/a"; fields past
    the last column are left out. Raises ValueError for more columns than a table can have, and for
    a field of more than 128 kB.
    """
    first = text.lstrip("\n").partition("\n")[0]
    delimiter = next((mark for mark in "\t;," if mark in first), "\t")
    # A lone quotation mark (5" tube) would swallow the lines after it.
    rows_of_text = csv.reader(io.StringIO(text), delimiter=delimiter,
                              quoting=csv.QUOTE_NONE if text.count('"') % 2 else csv.QUOTE_MINIMAL)
    try:
        lines = [[field.strip() for field in line] for line in rows_of_text
                 if "".join(line).strip()]
    except csv.Error as error:
        raise ValueError(f"is no table: {error}") from error
    if not lines:
        return [], []
    columns = lines[0]
    if len(columns) > _MOST_COLUMNS:
        raise ValueError(f"is no table: it has {len(columns)} columns, wanted at most "
                         f"{_MOST_COLUMNS}")
    rows = [dict(zip(columns, line + ["n/a"] * (len(columns) - len(line)), strict=False))
            for line in lines[1:]]
    return columns, rows


def read_table(path: Path, stated: str = "") -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a file; see `table`. Raises ReadError where it holds none."""
    from .readers.errors import ReadError

    try:
        return table(read(path, stated))
    except ReadError:
        raise
    except ValueError as error:
        raise ReadError(path, f"{error}; correct the file") from error


def read_json(path: Path, stated: str = "") -> dict[str, Any]:
    """The object in a JSON file; raises ReadError that names the place of a fault."""
    from .readers.errors import ReadError

    text = read(path, stated)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1].strip() if text.strip() else ""
        raise ReadError(path, f"is no valid JSON: {error.msg} at line {error.lineno}, column "
                              f"{error.colno} ({line[max(0, error.colno - 30):][:60]!r}); often a "
                              f"comma too many or a quotation mark that is missing; correct the "
                              f"file, or copy it again from the source") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, nested lists
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ReadError(path, f"is no valid JSON: {reason}; correct the file") from None
    if not isinstance(found, dict):
        raise ReadError(path, f"wanted a JSON object {{…}}, got {type(found).__name__}; correct "
                              f"the file")
    return found
