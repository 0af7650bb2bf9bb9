"""A recording of a BIDS folder with sidecars as mne-bids reads them.

mne-bids wants UTF-8 without a mark, tables without quotation marks, a duration of each event.
Where a sidecar is otherwise, the recording is read from a temporary folder: links to its files,
beside sidecars that say the same in that form.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import bids, links, text
from . import edf_pieces
from .edf_pieces import Pieces
from .errors import ReadError
from .recorded_text import plain_markers

_NUMBERS = ("PowerLineFrequency", "SamplingFrequency")  # that are also written as text


@contextmanager
def plain(path: Path, root: Path, encoding: str = "") -> Iterator[tuple[Path, Path]]:
    """(recording, BIDS folder) with plain sidecars; the given ones where they are plain already.

    Raises ReadError for a JSON file with a fault, and for events without a column onset.
    """
    rewritten = dict([markers] if (markers := plain_markers(path, encoding)) else [])
    pieces = edf_pieces.find(path)
    for file in sidecars(path, root):
        content = _plain(file, encoding, pieces)
        if content.encode() != file.read_bytes():
            rewritten[file] = content
    if not rewritten:
        yield path, root
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / root.name
        (copy / path.relative_to(root)).parent.mkdir(parents=True)
        others = {file: file for file in [*path.parent.iterdir(), *sidecars(path, root),
                                          root / "dataset_description.json"]}
        for file in others:
            place = copy / file.relative_to(root)
            if file in rewritten:
                place.write_text(rewritten[file], encoding="utf-8")
            elif not place.exists():
                place.symlink_to(file)
        yield copy / path.relative_to(root), copy


def sidecars(path: Path, root: Path) -> list[Path]:
    """Files of text that mne-bids reads with a recording."""
    tables = [file for folder in path.parents if folder.is_relative_to(root)
              for file in folder.glob("*_scans.tsv")]
    people = root / "participants.tsv"
    return [*bids.sidecars(path, root), *tables, *([people] if links.there(people) else [])]


def _plain(file: Path, encoding: str, pieces: Pieces | None) -> str:
    content = text.read(file, encoding)
    if file.suffix == ".json":
        return _with_numbers(file, content, text.read_json(file, encoding))
    columns, rows = text.table(content)
    if file.name.endswith("events.tsv") and columns:
        columns = _check_events(file, columns, rows)
        _in_the_signal(rows, pieces)
    lines = ["\t".join(columns), *("\t".join(row.get(name, "n/a") or "n/a" for name in columns)
                                   for row in rows)]
    return "".join(f"{line}\n" for line in lines) if columns else content


def _with_numbers(file: Path, content: str, said: dict[str, Any]) -> str:
    """A sidecar with numbers where they are written as text ("50 Hz")."""
    numbers = {}
    for key in _NUMBERS:
        written = said.get(key)
        if not isinstance(written, str) or written.strip().casefold() in ("", "n/a"):
            continue
        found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*(?:hz)?\s*", written, re.IGNORECASE)
        if found is None:
            raise ReadError(file, f"wanted {key} as a number of Hz, got {written!r}; write it so, "
                                  f"or n/a")
        numbers[key] = float(found[1])
    return json.dumps({**said, **numbers}) if numbers else content


def _check_events(file: Path, columns: list[str], rows: list[dict[str, str]]) -> list[str]:
    """Columns of events, with durations: n/a where none is given or it is negative."""
    if "onset" not in columns:
        raise ReadError(file, f"wanted a column onset (seconds), got {', '.join(columns)}; name "
                              f"it so")
    for row in rows:
        row["onset"], row["duration"] = (_number(file, name, row.get(name, "n/a"))
                                         for name in ("onset", "duration"))
        if row["duration"].startswith("-"):
            row["duration"] = "n/a"
    return columns if "duration" in columns else [*columns, "duration"]


def _in_the_signal(rows: list[dict[str, str]], pieces: Pieces | None) -> None:
    """Onsets count by the clock (BIDS); of a recording with gaps they move to their signal, and
    those in a gap get none."""
    if pieces is None:
        return
    for row in rows:
        if row["onset"] != "n/a":
            length_s = 0.0 if row["duration"] == "n/a" else float(row["duration"])
            (at_s,), (length_s,), (recorded,) = pieces.moved(
                np.array([float(row["onset"])]), np.array([length_s]))
            row["onset"] = f"{at_s:.6f}" if recorded else "n/a"
            row["duration"] = f"{length_s:.6f}" if length_s else row["duration"]


def _number(file: Path, column: str, written: str) -> str:
    """A number of seconds as written, with a decimal point; "n/a" where there is none."""
    if written.casefold() in ("", "n/a", "na", "nan", "none", "null"):
        return "n/a"
    try:
        known = np.isfinite(float(point := written.replace(",", ".")))
    except ValueError:
        raise ReadError(file, f"wanted numbers of seconds in the column {column}, got "
                              f"{written!r}; correct the table, or write n/a") from None
    return point if known else "n/a"
