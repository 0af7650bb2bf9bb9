"""JSON files that others may have written: an object, or one error that names the file."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def loads(text: str | bytes) -> Any:
    """Values of a JSON text in which no key stands twice.

    Parameters
    ----------
    text
        The text; bytes in UTF-8, 16 or 32.

    Returns
    -------
    Any
        Plain values.

    Raises
    ------
    ValueError
        It is no JSON, or an object has a key twice: readers would not agree on what it says.
    """
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice in an object")
    return found


def read(path: str | Path) -> dict[str, Any]:
    """The object in a file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        Names and values.

    Raises
    ------
    ValueError
        It is no JSON, nested too deeply, no object, or has a key twice.
    """
    try:
        found = loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as problem:
        reason = "nested too deeply" if isinstance(problem, RecursionError) else problem
        raise ValueError(f"{path}: is no valid JSON ({reason}); copy or download it "
                         f"again") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: wanted names and values ({{…}}), found a "
                         f"{type(found).__name__}; copy or download it again")
    return found


@contextmanager
def shaped(path: str | Path, wanted: str) -> Iterator[None]:
    """While an object is taken apart: what is missing or of another type is the file's fault.

    Parameters
    ----------
    path
        The file.
    wanted
        What it should hold, in words.

    Raises
    ------
    ValueError
        Names the file.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as problem:
        if isinstance(problem, ValueError) and str(path) in str(problem):
            raise
        reason = f"it lacks {problem}" if isinstance(problem, KeyError) else problem
        raise ValueError(f"{path}: wanted {wanted}: {reason}; copy or download it "
                         f"again") from problem
