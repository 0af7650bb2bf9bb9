"""Channel names to roles and places: what a name written by an amplifier means.

Files spell one electrode in many ways ("EEG Fp1", "Fc5.", "EEG FP1-REF", "T3" for T7) and call
everything EEG, the ECG too. Rules, not lists of data sets: decorations are taken off, old names of
the 10-20 system are replaced by those of the 10-10 system (Jurcak et al. 2007, NeuroImage 34:1600),
and the place is looked up in a montage of MNE in the head frame, meters.
"""

import difflib
import re
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32

from neurofm.data.sensors import HEAD_CENTER_M

_ALIASES = {"t3": "T7", "t4": "T8", "t5": "P7", "t6": "P8"}
_REFERENCE = re.compile(
    r"a1|a2|a12|a1\+?a2|m1|m2|m12|m1\+?m2|tp9|tp10|ref|le|re|ar|avg|ave?|aver|average|car|mean|linked"
    r"|lm|rm|ears|earlobes|nose|gnd?", re.IGNORECASE,
)
_NOT_EEG = re.compile(
    r"(?<![a-z])(e[ck]g\w*|[hvlr]?eog\w*|e[12]\s?-\s?[am][12]|emg\w*|loc|roc|chin\w*|resp\w*"
    r"|sp[o0]2|sao2|ple[th]\w*|pulse|puls|hr|ibi|bursts|suppr|temp\w*|gsr\d*|eda|ppg|erg\d*"
    r"|exg\d*|ext\d*|aux\d*|dc\d+|photic|phot"
    r"|stim\w*|sti\d*|trig\w*|status|event\w*|marker\w*|mkr|annotations?|airflow|thor\w*|abdo\w*"
    r"|snore|position|acc\w*|gyro\w*|battery|counter|x_dir|y_dir|z_dir)(?![a-z])",
    re.IGNORECASE,
)


_PREFIX = re.compile(r"^\s*eeg(?=[\s_:.\-]|\d*[A-Z])[\s_:.\-]*", re.IGNORECASE)
_EAR = re.compile(r"a1|a2|m1|m2|tp9|tp10", re.IGNORECASE)


def clean_name(name: str) -> str:
    """The electrode in a channel name: 'EEG FP1-REF' → 'FP1', 'Fc5.' → 'Fc5', 'T3' → 'T7'."""
    text = (_PREFIX.sub("", name) or name).strip(" .")
    electrode, dash, reference = text.rpartition("-")
    if dash and electrode and _REFERENCE.fullmatch(reference.strip()):
        text = electrode.strip()
    return _ALIASES.get(text.casefold(), text)


def why_not_eeg(name: str) -> str | None:
    """Why what the file calls EEG is none (ECG, a difference of electrodes …), or None."""
    found = _NOT_EEG.search(name)
    if found:
        return f"by its name {found.group(1).upper()}, not EEG"
    text = _PREFIX.sub("", name).strip(" .")
    electrode, dash, reference = (part.strip().casefold() for part in text.rpartition("-"))
    known = _places("standard_1005")
    if not dash or electrode not in known or reference not in known:
        return None
    if not _EAR.fullmatch(reference):
        return "the difference of two electrodes, which has no place of its own"
    return "the difference of two reference electrodes" if _EAR.fullmatch(electrode) else None


@lru_cache
def _places(montage: str) -> dict[str, tuple[str, np.ndarray]]:
    """casefolded name → (the montage's spelling, position in the head frame, meters)."""
    import mne

    known = mne.channels.get_builtin_montages()
    # MNE 1.13 calls its templates by the head they were made on; the older names stay in use.
    name = montage if montage in known else montage.replace("standard_", "colin27_")
    try:
        template = mne.channels.make_standard_montage(name if name in known else montage)
    except ValueError:
        near = difflib.get_close_matches(montage, ["standard_1005", "standard_1020", *known], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"montage {montage!r} is none of MNE's; {hint}known are standard_1005, "
                         f"standard_1020, {', '.join(known)}") from None
    # set_montage brings the template to the head frame by its fiducials; positions as stored are
    # in the template's own frame.
    info = mne.create_info(template.ch_names, 100.0, "eeg", verbose="ERROR")
    info.set_montage(template, verbose="ERROR")
    return {ch["ch_name"].casefold(): (ch["ch_name"], ch["loc"][:3].astype(np.float32))
            for ch in info["chs"]}


def look_up(
    names: list[str], montage: str
) -> tuple[list[str], Float32[np.ndarray, "channel 3"]]:
    """Names in the montage's spelling (as they came where unknown), positions (NaN unknown)."""
    places = _places(montage)
    unknown = np.full(3, np.nan, dtype=np.float32)
    spelling, position = [], []
    for name in names:
        # The name as it stands first: biosemi's "A1" is not the ear lobe of that name.
        as_is = None if name.casefold() in _ALIASES else places.get(name.strip().casefold())
        hit = as_is or places.get(clean_name(name).casefold(), (name.strip(), unknown))
        spelling.append(hit[0])
        position.append(hit[1])
    return spelling, np.array(position, dtype=np.float32).reshape(-1, 3)


def usable_eeg_positions(
    position: Float[np.ndarray, "channel 3"]
) -> Float[np.ndarray, "channel 3"]:
    """A file's electrode positions, NaN where they cannot be places on a head.

    Positions in mm or cm that are called meters, or the same place for most electrodes, are no
    places. EEGLAB's template is a sphere about the origin, while the head frame has its origin
    between the ears: such a sphere is moved to the middle of the head.
    """
    position = position.copy()
    position[np.abs(position).sum(1) == 0] = np.nan
    known = np.isfinite(position).all(1)
    if known.sum() == 0:
        return position
    radius = np.linalg.norm(position[known], axis=1)
    if known.sum() >= 8 and np.ptp(radius) < 0.02 * np.median(radius) < 0.004:
        position[known] += HEAD_CENTER_M
    distance = np.linalg.norm(position[known] - HEAD_CENTER_M, axis=1)
    different = len(np.unique(position[known].round(4), axis=0))
    if not 0.05 < np.median(distance) < 0.15 or different < 0.5 * known.sum():
        position[:] = np.nan
        return position
    rows = np.flatnonzero(known)
    position[rows[(distance < 0.02) | (distance > 0.25)]] = np.nan
    return position


def put_in_helmet(
    position: Float[np.ndarray, "channel 3"]
) -> Float32[np.ndarray, "channel 3"]:
    """MEG positions of an unknown head: the helmet's sphere (fitted) about the head's middle.

    For files without a device → head transform, when the user asks for it: heads differ by 1–2 cm.
    """
    design = np.column_stack([2 * position, np.ones(len(position))])
    center = np.linalg.lstsq(design, np.square(position).sum(1), rcond=None)[0][:3]
    return (position - center + HEAD_CENTER_M).astype(np.float32)
