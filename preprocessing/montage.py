"""Channel names to roles and places: what a name written by an amplifier means.

Files spell one electrode in many ways ("EEG Fp1", "Fc5.", "EEG FP1-REF", "T3" for T7) and call
everything EEG, the ECG too. Rules, not lists of data sets: decorations are taken off, old names of
the 10-20 system are replaced by those of the 10-10 system (Jurcak et al. 2007, NeuroImage 34:1600),
and the place is looked up in a montage of MNE in the head frame, meters.
"""

import difflib
import re
from collections.abc import Collection
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
    r"|snore|leg\w*|plm\w*|light|h\.r\.|position|acc\w*|gyro\w*|battery|counter|x_dir|y_dir|z_dir)(?![a-z])",
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
    """Why what the file calls EEG is none (ECG, a difference of reference electrodes), or None."""
    found = _NOT_EEG.search(name)
    if found:
        return f"by its name {found.group(1).upper()}, not EEG"
    pair = _pair(name)
    if pair and all(_EAR.fullmatch(end) for end in pair):
        return "the difference of two reference electrodes"
    return None


def derivation(name: str) -> tuple[str, str] | None:
    """The two electrodes whose difference a channel is by its name ("FP1-F7" → "FP1", "F7"), or
    None: a difference to an ear lobe is a referenced electrode."""
    pair = _pair(name)
    return None if pair is None or _EAR.fullmatch(pair[1]) else pair


def without_common_reference(names: list[str]) -> tuple[list[str], list[str]]:
    """Names of three or more derivations against one electrode, and of no others, without it: it
    is their reference ("F3-Cz", "F4-Cz", "O1-Cz" → F3, F4, O1); and a note for each finding."""
    pairs = [derivation(name) for name in names]
    found = [pair for pair in pairs if pair]
    if not found:
        return names, []
    reference = {clean_name(second).casefold() for _, second in found}
    if len(found) >= 3 and len(reference) == 1:
        return [pair[0] if pair else name for pair, name in zip(pairs, names, strict=True)], [
            f"{found[0][1]} is the reference of {len(found)} channels by their names"]
    return names, [f"{len(found)} channels are differences of two electrodes, placed midway "
                   f"between them and left out of the average reference: "
                   f"{', '.join(f'{a}-{b}' for a, b in found[:4])}"
                   f"{', …' if len(found) > 4 else ''}"]


def _pair(name: str) -> tuple[str, str] | None:
    text = _PREFIX.sub("", name).strip(" .")
    first, dash, second = (part.strip(" .") for part in text.rpartition("-"))
    known = _places("standard_1005")
    ends = first, _PREFIX.sub("", second) or second
    return ends if dash and all(end.casefold() in known for end in ends) else None


def of_the_file(name: str, names: Collection[str]) -> str:
    """The label as the file has it: MNE numbers labels that come twice ("O2-0", "O2-1")."""
    base = numbered(name, names)
    return base if base and np.isfinite(look_up([base], "standard_1005")[1]).all() else name


def numbered(name: str, names: Collection[str]) -> str:
    """What stands before the number, where names with the numbers 0 and 1 are there; else ""."""
    base, _, number = name.rpartition("-")
    return base if number.isdigit() and {f"{base}-0", f"{base}-1"} <= set(names) else ""


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
        hit = (as_is or places.get(clean_name(name).casefold()) or _between(name, places)
               or (name.strip(), unknown))
        spelling.append(hit[0])
        position.append(hit[1])
    return spelling, np.array(position, dtype=np.float32).reshape(-1, 3)


def _between(name: str, places: dict) -> tuple[str, np.ndarray] | None:
    """A difference of two electrodes has its place midway between them."""
    ends = [places.get(clean_name(end).casefold()) for end in derivation(name) or ()]
    found = [end for end in ends if end is not None]
    if len(found) != 2 or len(ends) != 2:
        return None
    (first, a), (second, b) = found
    return f"{first}-{second}", (a + b) / 2


def directions(names: list[str], montage: str) -> Float32[np.ndarray, "channel 3"]:
    """Unit vectors from the second to the first electrode of a difference; 0 for others.

    Electrodes that the montage lacks are where standard_1005 has them, by which `derivation` knows
    a difference: it is one under any montage.
    """
    places = {**_places("standard_1005"), **_places(montage)}
    found = np.zeros((len(names), 3), dtype=np.float32)
    for row, name in enumerate(names):
        ends = [places.get(clean_name(end).casefold()) for end in derivation(name) or ()]
        known = [end[1] for end in ends if end is not None]
        if len(known) == 2 and not np.array_equal(known[0], known[1]):
            found[row] = (known[0] - known[1]) / np.linalg.norm(known[0] - known[1])
    return found


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
    position = about_the_head(position)
    distance = np.linalg.norm(position[known] - HEAD_CENTER_M, axis=1)
    different = len(np.unique(position[known].round(4), axis=0))
    if not 0.05 < np.median(distance) < 0.15 or different < 0.5 * known.sum():
        position[:] = np.nan
        return position
    rows = np.flatnonzero(known)
    position[rows[(distance < 0.02) | (distance > 0.25)]] = np.nan
    return position


def about_the_head(
    position: Float[np.ndarray, "channel 3"]
) -> Float[np.ndarray, "channel 3"]:
    """A sphere about the origin moved to the middle of the head; other positions as they are."""
    known = np.isfinite(position).all(1)
    radius = np.linalg.norm(position[known], axis=1)
    if known.sum() >= 8 and np.ptp(radius) < 0.02 * np.median(radius) < 0.004:
        return position + HEAD_CENTER_M
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
