"""Events of a scan: those of the events.tsv that BIDS, or `images.events`, puts beside it."""

from pathlib import Path

import numpy as np

from neurofm.data.recording import Events, Recording

from .. import bids, text
from .errors import ReadError

WITHOUT_ONSET = "events_without_onset"  # attribute: labels of the events that have no onset
_UNKNOWN = ("", "n/a", "na", "nan", "none", "null")
_LABELS = ("trial_type", "value", "stim_type", "event_type")


def with_events(recording: Recording, path: Path, table, encoding: str = "") -> Recording:
    """The recording with the events of its image. Those whose onset is n/a are left out and kept as
    an attribute, for the remarks on its quality.

    table: `ImageTable`. encoding: of text that is not UTF-8; "" = latin-1.
    """
    file = _file(path, table.events)
    if file is None:
        return recording
    columns, rows = text.read_table(file, encoding)
    column = next((name for name in _LABELS if name in columns), None)
    if rows and (column is None or "onset" not in columns):
        raise ReadError(path, f"{file.name}: wanted columns onset, duration and trial_type, got "
                              f"{', '.join(columns)}")
    onset_s, duration_s, labels, lost = [], [], [], []
    for number, row in enumerate(rows, start=2):
        onset = _seconds(path, file, number, "onset", row)
        duration = _seconds(path, file, number, "duration", row)
        if onset is None:
            lost.append(row[column or ""])
            continue
        onset_s.append(onset)
        duration_s.append(duration or 0.0)
        labels.append(row[column or ""])
    attributes = {**recording.attributes, **({WITHOUT_ONSET: "\t".join(lost)} if lost else {}),
                  **({"encoding": file.name} if text.is_guessed(file, encoding) else {})}
    return recording.with_(events=Events(np.array(onset_s, dtype=float),
                                         np.array(duration_s, dtype=float), tuple(labels)),
                           attributes=attributes)


def _file(path: Path, name: str) -> Path | None:
    """The events file: of this name beside the image, or by the rules of BIDS."""
    if name:
        if not (path.parent / name).is_file():
            raise ReadError(path, f"images.events: there is no {name} beside it")
        return path.parent / name
    path = path.absolute()
    root = bids.find_root(path.parent)
    # Where no folder is described, names beside the image hold by the same rule.
    found = bids.sidecars(path, root or path.parent)
    return next((file for file in found if file.name.endswith("events.tsv")), None)


def _seconds(path: Path, file: Path, number: int, column: str, row: dict[str, str]
             ) -> float | None:
    """None where nothing is known."""
    said = row.get(column, "n/a").strip()
    if said.casefold() in _UNKNOWN:
        return None
    try:
        value = float(said)
    except ValueError:
        raise ReadError(path, f"{file.name}, line {number}: wanted a number of seconds as {column} "
                              f"(n/a where it is not known), got {said!r}; correct it") from None
    return value if np.isfinite(value) else None

