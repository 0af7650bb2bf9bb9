"""YAML files that others may have written: plain values, of a size that a person writes."""

from pathlib import Path
from typing import Any

_MOST_BYTES = 10**6  # YAML is read at 150 kB a second, and more than once
_MOST_VALUES = 10**5  # with anchors followed: nine lists of nine aliases each are 4 × 10⁸


def read(path: str | Path) -> Any:
    """Plain values of a file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Any
        None of an empty one.

    Raises
    ------
    ValueError
        It is no YAML, or holds more values than a person writes once its anchors are followed.
    """
    import yaml

    check(path)
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as problem:
        raise ValueError(f"{path}: not valid YAML: {problem}") from problem


def check(path: str | Path) -> None:
    """Look at a file before others read it.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ValueError
        See `read`.
    """
    import yaml

    if (size := Path(path).stat().st_size) > _MOST_BYTES:
        raise ValueError(f"{path}: has {size / 1e6:.1f} MB, wanted a file of settings of at most "
                         f"{_MOST_BYTES / 1e6:.0f} MB: it is no such file, or lists what belongs "
                         f"into a table")
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), yaml.SafeLoader)
        n = _values(root, {}) if root is not None else 0
    except RecursionError:
        raise ValueError(f"{path}: not valid YAML: nested too deeply") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as problem:
        raise ValueError(f"{path}: not valid YAML: {problem}") from problem
    if n > _MOST_VALUES:
        raise ValueError(f"{path}: holds {n:.3g} values once its anchors (&, *) are followed, "
                         f"wanted at most {_MOST_VALUES}: write the values out")


def _values(node: Any, known: dict[int, int]) -> int:
    """Values in a node of YAML, those of an alias each time; known: of nodes that were counted."""
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError("an anchor stands inside itself")
        return known[id(node)]
    known[id(node)] = 0  # being counted
    inside = node.value if isinstance(node.value, list) else []
    n = 1 + sum(_values(part, known) for each in inside
                for part in (each if isinstance(each, tuple) else (each,)))
    known[id(node)] = n
    return n
