"""Labels in a file beside a recording, such as the hypnogram of a night.

    .edf .bdf           annotations of EDF+ (Sleep-EDF: SC4001E0-PSG.edf, SC4001EC-Hypnogram.edf)
    .tsv .csv .txt      a table with the columns onset, duration (s) and trial_type, description,
                        stage or label; or a label a line, each of the same length
"""

import datetime
from pathlib import Path

import numpy as np

from neurofm.data.recording import Events

from . import text
from .readers import edf_pieces, recorded_text
from .readers.errors import ReadError

_ONSET = ("onset", "onset_s", "start", "start_s", "start_time")
_DURATION = ("duration", "duration_s", "length")
_LABEL = ("trial_type", "description", "stage", "sleep_stage", "label", "event", "annotation",
          "value", "hypnogram", "stages", "labels")


def read(path: Path, recording: Path, epoch_s: float, encoding: str = "") -> Events:
    """Events of the file `path` that lies beside `recording`, s from its first sample.

    epoch_s: length of each of a list of labels. Raises ReadError for what is none of the above.
    """
    if path.suffix.lower() in (".edf", ".bdf"):
        return _annotations(path, recording, encoding)
    lines = [line for line in text.read(path, encoding).split("\n") if not line.startswith("#")]
    columns, rows = text.table("\n".join(lines))
    names = [column.casefold() for column in columns]
    onset, duration, label = (next((name for name in wanted if name in names), None)
                              for wanted in (_ONSET, _DURATION, _LABEL))
    table = [[row[column] for column in columns] for row in rows]
    if onset and label:
        found = [(row[names.index(onset)], row[names.index(duration)] if duration else "n/a",
                  row[names.index(label)]) for row in table]
    elif len(columns) >= 3 and _is_number(columns[0]) and _is_number(columns[1]):
        found = [(row[0], row[1], row[2]) for row in [columns, *table]]
    elif onset or not columns or len(columns) > 2:
        raise ReadError(path, f"wanted labels of {recording.name}: a table with the columns onset, "
                              f"duration and description, or a label a line; got the columns "
                              f"{', '.join(columns) or '(none)'}")
    else:
        listed = [row[-1] for row in ([] if names[-1] in _LABEL else [columns]) + table]
        found = [(f"{number * epoch_s}", f"{epoch_s}", stage)
                 for number, stage in enumerate(listed)]
    try:
        times = [(float(onset), max(float(length), 0.0) if _is_number(length) else 0.0, stage)
                 for onset, length, stage in found if onset != "n/a" and stage != "n/a"]
    except ValueError as error:
        raise ReadError(path, f"wanted onsets in seconds, but {error}; correct the "
                              f"table") from error
    return _recorded(recording, np.array([row[0] for row in times]),
                     np.array([row[1] for row in times]), [row[2] for row in times])


def _annotations(path: Path, recording: Path, encoding: str) -> Events:
    import mne

    try:
        found = mne.read_annotations(path, **recorded_text.words(path, encoding))
    except Exception as error:  # damaged files fail in many ways
        raise ReadError(path, f"wanted annotations of EDF+, the labels of {recording.name}: "
                              f"{error}; copy it again from the source") from error
    return _recorded(recording, np.asarray(found.onset, dtype=float) + _later_s(path, recording),
                     np.maximum(np.asarray(found.duration, dtype=float), 0.0),
                     [str(label) for label in found.description])


def _recorded(recording: Path, onset_s: np.ndarray, length_s: np.ndarray, labels: list[str]
              ) -> Events:
    """Events by the clock, where their signal lies in a recording with gaps."""
    if (pieces := edf_pieces.find(recording)) is None:
        return Events(onset_s, length_s, tuple(labels))
    onset_s, length_s, held = pieces.moved(onset_s, length_s)
    return Events(onset_s[held], length_s[held],
                  tuple(label for label, inside in zip(labels, held, strict=True) if inside))


def _later_s(path: Path, recording: Path) -> float:
    """Seconds by which the labels begin after the recording, by the clocks in the headers; 0 where
    one has no clock (midnight stands for that)."""
    begin, other = _clock(recording), _clock(path)
    if begin is None or other is None or (other.hour, other.minute, other.second) == (0, 0, 0):
        return 0.0
    return (other - begin).total_seconds()


def _clock(path: Path) -> datetime.datetime | None:
    if path.suffix.lower() not in (".edf", ".bdf"):
        return None
    with open(path, "rb") as file:
        written = file.read(184)[168:].decode("latin-1")
    try:
        return datetime.datetime.strptime(written, "%d.%m.%y%H.%M.%S")
    except ValueError:
        return None


def _is_number(written: str) -> bool:
    try:
        return bool(np.isfinite(float(written)))
    except ValueError:
        return False
