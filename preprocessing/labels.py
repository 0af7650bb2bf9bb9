"""Labels of windows: from what a recording is (entity, participant) or from its events."""

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from neurofm.data.recording import Events, Recording
from neurofm.limits import Positive, SignedNumber, Unchecked, limited

from . import sidecar_events
from .readers import ReadError
from .segments import is_cut_or_bad
from .steps.refusal import ContractError, some

_ENTITIES = ("dataset", "subject", "session", "task", "run")
_STAGES = {"w", "wake", "awake", "n1", "n2", "n3", "n4", "r", "rem", "nrem", "s1", "s2", "s3", "s4",
           "sleep"}
_TOLERANCE_S = 0.01  # onsets and durations are rounded where they are written down
# Sleep-EDF (the letter before "-PSG" and "-Hypnogram" differs), and what others call a hypnogram.
_HYPNOGRAMS = {r"(.+)-PSG\.\w+$": r"\1-Hypnogram.*", r"(.+).-PSG\.\w+$": r"\1?-Hypnogram.*",
               r"(.+)\.\w+$": r"\1[-_.][Hh]ypno*"}
_LABELS = (".edf", ".bdf", ".tsv", ".csv", ".txt")


@dataclass
@limited
class LabelRule:
    r"""Where the labels of windows come from.

    Parameters
    ----------
    source
        "entity": the label of a window is a BIDS entity of its recording; "participant": a
        column of participants.tsv; "event": windows are cut at events; "sidecar": windows
        are cut at events in a file beside the recording, such as a hypnogram; "none":
        contiguous windows without labels.
    name
        BIDS entity (dataset, subject, session, task, run) or column that gives the label.
    tmin_s
        Start of a window relative to its event, s.
    mapping
        Value or event → label. Write task/event where an event has different meanings in
        different tasks. Events that are not listed are not used. With an empty mapping,
        values of entities and columns and labels of a sidecar are the labels; else values that
        are not listed have no label.
    within
        "onset": one window at the onset of each event. "every": all windows that lie in an
        event and in no event of another label, at least one. Default: "every" for sleep stages
        and for labels of a sidecar, else "onset".
    sidecar
        Regular expression of the name of a recording → name of the file with its labels (.edf,
        .tsv, .csv, .txt), in which \1 is the first group and * any text. Default: hypnograms named
        as in Sleep-EDF, or NAME_hypnogram. Their events join those of the recording where source
        is "event".
    epoch_s
        Length of each label of a sidecar that lists labels without onsets, s.
    """

    source: Literal["none", "entity", "event", "participant", "sidecar"] = "none"
    name: str = ""
    mapping: Annotated[dict[str, str], Unchecked()] = field(default_factory=dict)
    tmin_s: SignedNumber = 0.0
    within: Literal["", "onset", "every"] = ""
    sidecar: dict[str, str] = field(default_factory=dict)
    epoch_s: Positive = 30.0

    PREFIX = "label."

    def __post_init__(self):
        self.mapping = {str(value): str(label) for value, label in self.mapping.items()}
        if self.source == "event" and not self.mapping:
            raise ValueError("label.source is event, but label.mapping names no event; "
                             "write e.g. mapping: {T1: left, T2: right}")
        if self.source == "entity" and self.name not in _ENTITIES:
            raise ValueError(f"label.name must be one of {list(_ENTITIES)} for an entity, "
                             f"got {self.name!r}")
        if self.source == "participant" and not self.name:
            raise ValueError("label.source is participant, but label.name gives no column")
        if self.within and not self.at_events:
            raise ValueError(f"label.within would be ignored: it is of label.source event or "
                             f"sidecar, got {self.source}")
        for pattern in self.sidecar:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"label.sidecar: {pattern!r} is no regular expression: "
                                 f"{error}") from error

    @property
    def at_events(self) -> bool:
        """Whether windows are cut at events."""
        return self.source in ("event", "sidecar")

    @property
    def every(self) -> bool:
        """Whether all windows in an event are cut."""
        if self.within or not self.at_events:
            return self.within == "every"
        words = {label.casefold() for label in self.mapping.values()}
        return self.source == "sidecar" or (words <= _STAGES and not words <= {"w", "r"})

    def beside(self, path: Path) -> list[Path]:
        """Files with the labels of the recording `path`: those of the first pattern that has
        any."""
        for pattern, name in (self.sidecar or _HYPNOGRAMS).items():
            if (match := re.search(pattern, path.name)) is None:
                continue
            wanted = name
            for number, part in enumerate(match.groups(""), 1):
                wanted = wanted.replace(f"\\{number}", glob.escape(part))
            found = [file for file in sorted(path.parent.glob(wanted))
                     if file != path and file.suffix.lower() in _LABELS]
            if found:
                return found
        return []


def with_sidecar(recording: Recording, rule: LabelRule, path: str, encoding: str = "") -> Recording:
    """The recording with the events of the file beside it; with "sidecar" they alone are labels,
    beside the recording's marks of joints and bad stretches."""
    if not rule.at_events:
        return recording
    found = rule.beside(Path(path))
    if len(found) > 1:
        raise ReadError(path, f"its labels could be in {some(file.name for file in found)}; write "
                              f"label.sidecar so that it names one")
    if not found and rule.source == "sidecar":
        known = ", ".join((rule.sidecar or _HYPNOGRAMS).values())
        raise ReadError(path, f"there is no file with its labels beside it (named {known}); write "
                              f"label.sidecar, such as {{(.+)_eeg: \\1_stages.tsv}}")
    if not found:
        return recording
    try:
        theirs = sidecar_events.read(found[0], Path(path), rule.epoch_s, encoding)
    except ReadError as error:
        raise error.of(path) from error
    ours = recording.events
    keep = np.array([rule.source == "event" or is_cut_or_bad(label) for label in ours.label], bool)
    return recording.with_(events=Events(
        np.concatenate([ours.onset_s[keep], theirs.onset_s]),
        np.concatenate([ours.duration_s[keep], theirs.duration_s]),
        (*(label for label, kept in zip(ours.label, keep, strict=True) if kept), *theirs.label)))


@dataclass
class Cuts:
    """Starts of windows, s (None: windows are contiguous), and their labels; numbers of windows
    that were left out since the label changes inside, and of events that hold two or more."""

    onsets_s: np.ndarray | None = None
    labels: list[str] = field(default_factory=list)
    n_mixed: int = 0
    n_long: int = 0


def cuts(
    recording: Recording, rule: LabelRule, window_s: float | None = None,
    stride_s: float | None = None,
) -> Cuts:
    """Where windows of a recording begin; window_s, stride_s: of those cut with "every"."""
    if not rule.at_events:
        return Cuts()
    events, n_mixed = _labeled(recording, rule), 0
    n_long = sum(length >= 2 * window_s - _TOLERANCE_S for _, length, _ in events if window_s)
    if rule.every and window_s:
        found, n_mixed = _every(events, rule.tmin_s, window_s, stride_s or window_s)
        if not found:
            raise ContractError(
                recording.source, f"windows of {window_s:g} s with one label",
                "labels change inside every one", "give a shorter contract.window_s, or "
                "label.within: onset")
    else:
        found = [(onset_s + rule.tmin_s, label) for onset_s, _, label in events]
    found.sort()
    return Cuts(np.array([onset for onset, _ in found]), [label for _, label in found], n_mixed,
                n_long)


def _labeled(recording: Recording, rule: LabelRule) -> list[tuple[float, float, str]]:
    """Onset, duration and label of the events that the mapping names."""
    found = []
    events = recording.events
    bare = _without_types(events.label)
    for onset_s, duration_s, event in zip(events.onset_s, events.duration_s, events.label,
                                          strict=True):
        label = (_mapped(rule.mapping, recording.task, event)
                 or _mapped(rule.mapping, recording.task, bare.get(event)))
        if label is None and not rule.mapping and not is_cut_or_bad(event):
            label = event
        if label is not None and np.isfinite(onset_s):
            length_s = float(duration_s) if np.isfinite(duration_s) else 0.0
            found.append((float(onset_s), max(length_s, 0.0), label))
    if not found:
        seen = sorted({str(label) for label in recording.events.label})
        lost = "".join(f"; {note}" for note in recording.notes if "left out: " in note)
        raise ContractError(
            recording.source, f"events named {some(sorted(rule.mapping)) or 'in a sidecar'}",
            f"the recording (task {recording.task}) has {some(seen) or 'no events'}{lost}",
            "correct label.mapping, or leave such files out (exclude: [pattern])",
        )
    return sorted(found)


def _without_types(labels: Sequence[str]) -> dict[str, str]:
    """Events of BrainVision → their names without the type of marker ("Stimulus/S  1" → "S  1"),
    where no other event has that name."""
    kinds = {*labels}
    bare = {label: found[1] for label in kinds
            if (found := re.fullmatch(r"(?:Stimulus|Response|Comment)/(.+)", label))}
    names = [*bare.values(), *(kinds - {*bare})]
    return {label: name for label, name in bare.items() if names.count(name) == 1}


def _mapped(mapping: dict[str, str], task: str | None, value: str | None) -> str | None:
    """The label of an event or a value; a table writes 1 as 1.0 where a row of it is n/a."""
    if value is None:
        return None
    names = [value, re.sub(r"^(-?\d+)\.0+$", r"\1", str(value))]
    return next((mapping[key] for name in names for key in (f"{task}/{name}", name)
                 if key in mapping), None)


def _every(
    events: list[tuple[float, float, str]], tmin_s: float, window_s: float, stride_s: float
) -> tuple[list[tuple[float, str]], int]:
    """Start and label of all windows in events, without those in which the label changes, and
    the number of those."""
    found, n_mixed = [], 0
    for onset_s, length_s, label in _joined(events, window_s):
        begin_s = onset_s + tmin_s
        room_s = onset_s + length_s - begin_s - window_s + _TOLERANCE_S
        for number in range(max(0, int(np.floor(room_s / stride_s))) + 1):
            start_s = begin_s + number * stride_s
            mixed = any(other != label and start < start_s + window_s - _TOLERANCE_S
                        and max(start + length, start + 2 * _TOLERANCE_S) > start_s + _TOLERANCE_S
                        for start, length, other in events)
            n_mixed += mixed
            found += [] if mixed else [(start_s, label)]
    return found, n_mixed


def _joined(events: list[tuple[float, float, str]], window_s: float):
    """Events of one label that follow each other without a gap and are shorter than a window, as
    one: a night is scored in epochs of 20 or 30 s."""
    whole: list[tuple[float, float, str]] = []
    for onset_s, length_s, label in events:
        if whole and 0 < length_s < window_s - _TOLERANCE_S:
            begin_s, before_s, other = whole[-1]
            if other == label and before_s > 0 and abs(
                    begin_s + before_s - onset_s) < _TOLERANCE_S:
                whole[-1] = (begin_s, onset_s + length_s - begin_s, label)
                continue
        whole.append((onset_s, length_s, label))
    return whole


def of_recording(recording: Recording, rule: LabelRule, given: str | None) -> str | None:
    """The label of all windows of a recording; `given` is what the table of files says."""
    if rule.source == "entity":
        value = getattr(recording, rule.name)
    elif rule.source == "participant":
        value = recording.attributes.get(rule.name)
    else:
        return given
    if value is None:
        return given
    return _mapped(rule.mapping, recording.task, str(value)) if rule.mapping else str(value)
