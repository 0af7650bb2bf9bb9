"""Where a recording is continuous and good: cuts and bad stretches among its events.

MNE marks joints of what was cut together ("EDGE boundary", "BAD_ACQ_SKIP"), EEGLAB writes
"boundary", BrainVision "New Segment". Filters must not run across such a joint, nor windows. By
MNE's convention a stretch whose label begins with "bad" holds nothing to be analyzed.
"""

import math
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from neurofm.data.recording import Events, Recording

CUT = "EDGE boundary"
SHORT = "a stretch shorter than a window"
BEYOND, JOINED = "reach beyond the recording", "with a joint or a loss inside"
SKIP = "BAD_ACQ_SKIP"  # nothing was recorded for the event's duration


class LeftOut(NamedTuple):
    """What of a recording is in no window, and why; onset: number of the onset asked for."""

    what: Literal["window", "stretch"]
    start_s: float
    stop_s: float
    reason: str
    onset: int = -1


def _text(label: str) -> str:
    """Without BrainVision's type of marker: a stretch marked by hand is 'Comment/BAD_muscle'."""
    return label.strip().casefold().removeprefix("comment/")


def _is_cut(label: str) -> bool:
    text = _text(label)
    return (text in ("boundary", "bad boundary", "discontinuity")
            or text.startswith(("edge boundary", SKIP.casefold(), "new segment",
                                "segment started", "segmentstarted")))


def _skips(label: str) -> bool:
    return _text(label).startswith(SKIP.casefold())


def is_cut_or_bad(label: str) -> bool:
    """Whether an event says where the recording is joined or bad, and nothing of what happened."""
    return _is_cut(label) or _text(label).startswith("bad")


def first_sample(time_s: float, sfreq: float) -> int:
    """Index of the first sample at or after `time_s`; rounded against float noise in the time."""
    return math.ceil(round(time_s * sfreq, 3))


def continuous(recording: Recording) -> list[tuple[int, int]]:
    """Stretches [start, stop) in samples without a joint inside, in order."""
    n_times = recording.n_times
    stretches, begin = [], 0
    for onset_s, end_s in _holes(recording):
        stop = min(first_sample(onset_s, recording.sfreq), n_times)
        if stop > begin:
            stretches.append((begin, stop))
        begin = max(begin, stop, first_sample(end_s, recording.sfreq))
    if begin < n_times:
        stretches.append((begin, n_times))
    return stretches


def begins_s(recording: Recording) -> dict[int, float]:
    """First sample of a stretch → the time of the joint before it, which may lie between samples:
    what happens from there on belongs to the stretch."""
    times = [end_s for _, end_s in _holes(recording)]
    return {first_sample(at_s, recording.sfreq): at_s for at_s in reversed(times)}


def _holes(recording: Recording) -> list[tuple[float, float]]:
    """Start and end of what was not recorded, s, in order; a joint has no length."""
    events = recording.events
    return sorted(
        (float(onset), float(onset + duration * _skips(label)))
        for onset, duration, label in zip(events.onset_s, events.duration_s, events.label,
                                          strict=True)
        if _is_cut(label))


def without_windows(recording: Recording, window_samples: int) -> list[LeftOut]:
    """Stretches that are shorter than a window, and those in which nothing was recorded."""
    found, end = [], 0
    for start, stop in [*continuous(recording), (recording.n_times, recording.n_times)]:
        for first, last, reason, gone in (
                (end, start, "not recorded, or lost", start > end),
                (start, stop, SHORT, 0 < stop - start < window_samples)):
            if gone:
                found.append(LeftOut("stretch", first / recording.sfreq, last / recording.sfreq,
                                     reason))
        end = stop
    return found


def count(quality: dict, lost: list[LeftOut]) -> None:
    """Windows left out by reason, and seconds in stretches too short for one, into `quality`."""
    for each in lost:
        if each.what == "window":
            left_out = quality["windows_left_out"]
            left_out[each.reason] = left_out.get(each.reason, 0) + 1
        elif each.reason == SHORT:
            quality["short_s"] = round(quality.get("short_s", 0) + each.stop_s - each.start_s, 3)


def on_samples(recording: Recording) -> Events:
    """The events with each joint moved to the first sample after it.

    EEGLAB sets joints between two samples; at another rate they would fall between others.
    """
    events, sfreq = recording.events, recording.sfreq
    onset_s, end_s = events.onset_s.copy(), events.onset_s + events.duration_s
    for row, label in enumerate(events.label):
        if _is_cut(label):
            onset_s[row] = first_sample(onset_s[row], sfreq) / sfreq
            end_s[row] = first_sample(end_s[row], sfreq) / sfreq
    return replace(events, onset_s=onset_s, duration_s=end_s - onset_s)


def sampled(recording: Recording, n: int) -> np.ndarray:
    """About n samples [channel, ≤ 2 n] spread evenly over what is recorded, for statistics."""
    stretches = continuous(recording)
    step = max(1, sum(stop - start for start, stop in stretches) // n)
    return np.concatenate([recording.signal[:, start:stop:step] for start, stop in stretches],
                          axis=1)


def bad_stretches(recording: Recording) -> np.ndarray:
    """[n, 2] start and end in seconds of what is recorded but marked bad."""
    events = recording.events
    marked = [
        (onset, onset + duration)
        for onset, duration, label in zip(events.onset_s, events.duration_s, events.label,
                                          strict=True)
        if _text(label).startswith("bad") and not _skips(label) and duration > 0
    ]
    return np.array(sorted(marked), dtype=float).reshape(-1, 2)


def blanks(recording: Recording) -> np.ndarray:
    """[n, 2] start and end in seconds of what is marked bad or was not recorded; a joint of two
    pieces is a stretch of no length."""
    edges = [0, *(edge for stretch in continuous(recording) for edge in stretch),
             recording.n_times]
    holes = [(begin / recording.sfreq, end / recording.sfreq)
             for begin, end in zip(edges[::2], edges[1::2], strict=True)
             if end > begin or 0 < begin < recording.n_times]
    return np.round(sorted([*holes, *bad_stretches(recording).tolist()]), 6).reshape(-1, 2)
