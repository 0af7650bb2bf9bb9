"""Events of an `mne.io.Raw`: annotations, codes of a stimulus channel, joints that files state."""

import re
from pathlib import Path

import numpy as np

from neurofm.data.recording import Events

from ..segments import CUT, is_cut_or_bad
from . import edf_pieces, set_times


def of(raw) -> Events:
    """Annotations with times from the first sample; where none says what happened, the stimulus
    channel's codes too (marks of joints and bad stretches say nothing of it)."""
    import mne

    found = raw.annotations
    onset_s = np.asarray(found.onset, dtype=float) - raw.first_time
    duration_s = np.asarray(found.duration, dtype=float)
    labels = tuple(_of_eeglab(str(label)) if _is_eeglab(raw) else str(label)
                   for label in found.description)
    if "stim" not in raw or not all(is_cut_or_bad(label) for label in labels):
        return Events(onset_s, duration_s, labels)
    codes = mne.find_events(raw, shortest_event=1, consecutive=True, mask=_always_on(raw),
                            mask_type="not_and", verbose="ERROR")
    code_s = (codes[:, 0] - raw.first_samp) / raw.info["sfreq"]
    return Events(np.concatenate([onset_s, code_s]),
                  np.concatenate([duration_s, np.zeros(len(codes))]),
                  (*labels, *(str(code) for code in codes[:, 2])))


def _always_on(raw) -> int | None:
    """Bits above the lowest eight that every sample of the first stimulus channel has set (lines
    pulled up, as in many BioSemi set-ups): they mark no event. None = no such bit. Codes of eight
    bits stay as MNE gives them."""
    import mne

    stim = raw.get_data(mne.pick_types(raw.info, meg=False, stim=True)[:1], verbose="ERROR")
    values = np.abs(np.nan_to_num(stim[0])).astype(np.int64)
    return int(np.bitwise_and.reduce(values)) & ~0xFF or None


def _is_eeglab(raw) -> bool:
    return "EEGLAB" in type(raw).__name__


def _of_eeglab(label: str) -> str:
    """EEGLAB and ERPLAB write a joint as −99 where types of events are numbers."""
    return CUT if re.fullmatch(r"-99(\.0*)?", label.strip()) else label


def mark_gaps(raw, path: Path, encoding: str = "") -> None:
    """Cuts where a file says that recording stopped and went on, in annotations of `raw`."""
    if pieces := edf_pieces.find(path):
        edf_pieces.mark(raw, path, pieces, encoding)
    if path.suffix.lower() == ".set" and not hasattr(raw, "metadata"):  # no epochs
        set_times.mark(raw, path)
