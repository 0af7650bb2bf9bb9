"""Labels of windows: from what a recording is (entity, participant) or from its events."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from neurofm.data.recording import Recording

from .steps.refusal import ContractError, some

_ENTITIES = ("dataset", "subject", "session", "task", "run")


@dataclass
class LabelRule:
    """Where the labels of windows come from.

    Parameters
    ----------
    source
        "entity": the label of a window is a BIDS entity of its recording; "participant": a
        column of participants.tsv; "event": windows are cut at events; "none": contiguous
        windows without labels.
    name
        BIDS entity (dataset, subject, session, task, run) or column that gives the label.
    tmin_s
        Start of a window relative to its event, s.
    mapping
        Value or event → label. Write task/event where an event has different meanings in
        different tasks. Events that are not listed are not used. With an empty mapping,
        values of entities and columns are the labels; else values that are not listed have
        no label.
    """

    source: Literal["none", "entity", "event", "participant"] = "none"
    name: str = ""
    mapping: dict[str, str] = field(default_factory=dict)
    tmin_s: float = 0.0

    def __post_init__(self):
        if self.source == "event" and not self.mapping:
            raise ValueError("label.source is event, but label.mapping names no event; "
                             "write e.g. mapping: {T1: left, T2: right}")
        if self.source == "entity" and self.name not in _ENTITIES:
            raise ValueError(f"label.name must be one of {list(_ENTITIES)} for an entity, "
                             f"got {self.name!r}")
        if self.source == "participant" and not self.name:
            raise ValueError("label.source is participant, but label.name gives no column")


def onsets(recording: Recording, rule: LabelRule) -> tuple[np.ndarray | None, list[str]]:
    """Starts in seconds of windows and their labels; (None, []) where windows are contiguous."""
    if rule.source != "event":
        return None, []
    found = []
    for onset_s, event in zip(recording.events.onset_s, recording.events.label, strict=True):
        label = rule.mapping.get(f"{recording.task}/{event}", rule.mapping.get(event))
        if label is not None:
            found.append((onset_s + rule.tmin_s, label))
    if not found:
        seen = sorted(set(recording.events.label))
        raise ContractError(
            recording.source, f"events named {some(sorted(rule.mapping))}",
            f"the recording (task {recording.task}) has {some(seen) or 'no events'}",
            "correct label.mapping, or leave such files out (exclude: [pattern])",
        )
    found.sort()
    return np.array([onset for onset, _ in found]), [label for _, label in found]


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
    return rule.mapping.get(str(value)) if rule.mapping else str(value)
