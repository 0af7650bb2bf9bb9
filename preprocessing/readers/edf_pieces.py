"""Pieces of a discontinuous EDF+ or BDF+ (EDF+D): a recorder was stopped and went on later.

MNE joins the pieces and leaves events at their times by the recorder's clock. Here each joint
becomes a cut, over which neither filters nor windows run, and events move to where the signal of
their time lies. (EDF+ specification, 2.2.4: each record begins its annotations with its own onset.)
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64

from neurofm.pages import words

from ..segments import CUT
from ..steps.refusal import some
from . import edf_header, recorded_text
from .errors import ReadError

_NOTE = (re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14([^\0]*)\x14\0"))
_CLOCK = re.compile(rb"([+-]\d+(?:\.\d*)?)\x14")
_TOLERANCE_S = 1.5e-3  # onsets of records are often rounded to milliseconds


@dataclass(frozen=True)
class Pieces:
    """Pieces of a recording; clock_s, signal_s: start of each by the recorder's clock and in the
    signal that is read, s from the first sample."""

    first_s: float  # of the first sample, in the file's own times
    clock_s: Float64[np.ndarray, " piece"]
    signal_s: Float64[np.ndarray, " piece"]

    def moved(self, onset_s: Float64[np.ndarray, " event"], length_s: Float64[np.ndarray, " event"]
              ) -> tuple[Float64[np.ndarray, " event"], Float64[np.ndarray, " event"],
                         Bool[np.ndarray, " event"]]:
        """Onsets and lengths by the clock → in the signal, and whether any of it was recorded."""
        begin_s, recorded = self._in_the_signal(onset_s)
        end_s, _ = self._in_the_signal(onset_s + length_s)
        length_s = np.maximum(end_s - begin_s, 0.0)
        return begin_s, length_s, recorded | (length_s > _TOLERANCE_S)

    def _in_the_signal(self, clock_s):
        """Where in the signal times by the clock lie (those in a gap at the joint), and which are
        in no gap."""
        piece = (np.searchsorted(self.clock_s, clock_s + 1e-6, side="right") - 1).clip(0)
        at_s = self.signal_s[piece] + clock_s - self.clock_s[piece]
        ends_s = np.append(self.signal_s[1:], np.inf)[piece]
        return np.minimum(at_s, ends_s), at_s < ends_s


def find(path: Path) -> Pieces | None:
    """None for a recording without gaps. Raises ReadError where records go back in time."""
    if path.suffix.lower() not in (".edf", ".bdf"):
        return None
    try:
        header = edf_header.read(path)
    except ValueError:
        return None  # the reader says what is wrong
    if header.fixed[192:197] not in (b"EDF+D", b"BDF+D"):
        return None
    clock_s = [float(said[1]) if (said := _CLOCK.match(record[0])) else np.nan
               for record in edf_header.annotations(path, header)]
    starts, expected_s = [], np.nan
    for record, onset_s in enumerate(clock_s):
        if np.isnan(onset_s):  # a record that does not say it follows the one before
            onset_s = expected_s
        if onset_s < expected_s - _TOLERANCE_S:
            raise ReadError(path, f"record {record + 1} begins {expected_s - onset_s:g} s before "
                                  f"the end of the one before: its times are damaged; export it "
                                  f"again, or each piece as a file")
        if not abs(onset_s - expected_s) <= _TOLERANCE_S:
            starts.append((onset_s, record * header.record_s))
        expected_s = onset_s + header.record_s
    if len(starts) < 2:
        return None
    began, at = np.array(starts).T
    return Pieces(float(began[0]), began - began[0], at)


def notes(raw, path: Path, encoding: str = "") -> list[str]:
    """What a person should know of a raw with gaps; none where it has none. Raises ReadError for
    one that was opened by others, who do not know of the gaps."""
    pieces = find(path) if type(raw).__name__.endswith(("EDF", "BDF")) else None
    if pieces is None:
        return []
    _check_marked(raw, path, pieces)
    gaps_s = np.diff(pieces.clock_s) - np.diff(pieces.signal_s)
    longest = f" to {gaps_s.max():.4g}" if len(gaps_s) > 1 else ""
    onset_s, length_s, labels = _annotations(path, pieces, encoding)
    _, _, recorded = pieces.moved(onset_s, length_s)
    lost = [label for label, held in zip(labels, recorded, strict=True) if not held]
    return [f"discontinuous (EDF+D): {len(gaps_s) + 1} pieces with gaps of {gaps_s.min():.4g}"
            f"{longest} s; no filter or window runs over a gap; times count what was recorded"
            + (f"; {words.count(len(lost), 'event')} in a gap left out: {some(lost, 4)}"
               if lost else "")]


def mark(raw, path: Path, pieces: Pieces, encoding: str = "") -> None:
    """Set the annotations of a raw: those of the file where their signal lies, a cut a joint."""
    import mne

    onset_s, length_s, labels = _annotations(path, pieces, encoding)
    onset_s, length_s, recorded = pieces.moved(onset_s, length_s)
    joints_s = pieces.signal_s[1:]
    raw.set_annotations(mne.Annotations(
        np.concatenate([onset_s[recorded], joints_s]),
        np.concatenate([length_s[recorded], np.zeros(len(joints_s))]),
        [*np.array(labels, dtype=object)[recorded], *[CUT] * len(joints_s)]), verbose="ERROR")


def _check_marked(raw, path: Path, pieces: Pieces) -> None:
    end_s = raw.first_time + raw.n_times / raw.info["sfreq"]
    inside = (pieces.signal_s > raw.first_time) & (pieces.signal_s < end_s)
    if inside.any() and CUT not in set(raw.annotations.description):
        raise ReadError(path, "is discontinuous (EDF+D), but MNE joins its pieces and leaves "
                              "events at their old times: give the path of the file instead of "
                              "the Raw, or annotate each joint as 'EDGE boundary'")


def _annotations(path: Path, pieces: Pieces, encoding: str):
    """(onsets by the clock, lengths, labels) of all annotations: MNE drops those past the end of
    the joined signal."""
    content = [part for record in edf_header.annotations(path, edf_header.read(path))
               for part in record]
    read_as = recorded_text.words(path, encoding).get("encoding", "utf-8")
    onset_s, length_s, labels = [], [], []
    for part in content:
        for onset, length, said in _NOTE.findall(part):
            for label in filter(None, said.decode(read_as).split("\x14")):
                onset_s.append(float(onset) - pieces.first_s)
                length_s.append(float(length or 0))
                labels.append(label.partition("@@")[0])  # of one channel, as MNE exports it
    return np.array(onset_s), np.array(length_s), labels
