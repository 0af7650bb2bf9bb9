"""Where a recording is continuous and good: cuts and bad stretches among its events.

MNE marks joints of what was cut together ("EDGE boundary", "BAD_ACQ_SKIP"), EEGLAB writes
"boundary", BrainVision "New Segment". Filters must not run across such a joint, nor windows. By
MNE's convention a stretch whose label begins with "bad" holds nothing to be analysed.
"""

import math

import numpy as np

from neurofm.data.recording import Recording

CUT = "EDGE boundary"


def _is_cut(label: str) -> bool:
    text = label.casefold()
    return (text.startswith(("edge", "bad_acq_skip", "new segment")) or text == "boundary"
            or text == "bad boundary")


def continuous(recording: Recording, n_times: int | None = None) -> list[tuple[int, int]]:
    """Stretches [start, stop) in samples without a joint inside, in order."""
    n_times = recording.n_times if n_times is None else n_times
    events = recording.events
    holes = [
        (onset, onset + duration * label.casefold().startswith("bad_acq_skip"))
        for onset, duration, label in zip(events.onset_s, events.duration_s, events.label,
                                          strict=True)
        if _is_cut(label)
    ]
    stretches, begin = [], 0
    for onset_s, end_s in sorted(holes):
        # Rounded against float noise in the onsets: a cut at sample k belongs to k exactly.
        stop = min(math.ceil(round(onset_s * recording.sfreq, 3)), n_times)
        if stop > begin:
            stretches.append((begin, stop))
        begin = max(begin, stop, math.ceil(round(end_s * recording.sfreq, 3)))
    if begin < n_times:
        stretches.append((begin, n_times))
    return stretches


def bad_stretches(recording: Recording) -> np.ndarray:
    """[n, 2] start and end in seconds of stretches marked bad."""
    events = recording.events
    marked = [
        (onset, onset + duration)
        for onset, duration, label in zip(events.onset_s, events.duration_s, events.label,
                                          strict=True)
        if label.casefold().startswith("bad") and duration > 0
    ]
    return np.array(sorted(marked), dtype=float).reshape(-1, 2)
