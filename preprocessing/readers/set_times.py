"""Joints of an EEGLAB .set by its `times`: where they jump, samples were cut out.

EEGLAB itself writes a boundary event at such a place; other programs leave the jump alone, and MNE
reads no times.
"""

from pathlib import Path

import numpy as np

from neurofm import extras

from ..segments import CUT

_JUMP = 1.5  # of the usual step


def mark(raw, path: Path) -> None:
    """Add a cut at each jump to the annotations of `raw`."""
    import mne

    sfreq = raw.info["sfreq"]
    joints_s = _jumps(path) / sfreq
    raw.set_annotations(raw.annotations + mne.Annotations(
        joints_s + raw.first_time, 0.0, [CUT] * len(joints_s),
        orig_time=raw.annotations.orig_time), verbose="ERROR")


def _jumps(path: Path) -> np.ndarray:
    """Samples before which time jumps."""
    read_mat = extras.need("pymatreader", "an EEGLAB file").read_mat
    held = read_mat(str(path), variable_names=["times", "EEG"])
    times = np.asarray(held.get("EEG", held).get("times", ()), dtype=float).ravel()
    step = np.diff(times)
    usual = float(np.median(step)) if len(step) else 0.0
    if not usual > 0:
        return np.array([], dtype=int)
    return np.flatnonzero((step > _JUMP * usual) | (step < 0)) + 1
