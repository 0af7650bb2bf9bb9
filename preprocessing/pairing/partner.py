"""The fMRI that belongs to an EEG: which file it is, and its regions volume by volume.

Regions come from a table (.tsv, .csv, .npy, .npz, .mat, .h5, .1D), a pickle of numbers (.pkl, never
run), or an image (…bold.nii.gz) and an atlas. The repetition time is what the files say; where they
say nothing it is left to the triggers.
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from neurofm.data.sensors import KINDS, Sensors
from neurofm.pages import words

from .. import readers
from ..readers import ReadError, ReadOptions, timeseries
from ..readers.nifti import OUTSIDE, SMALL, json_beside, sidecar_of
from ..steps.refusal import some
from . import safe_pickle

_SAYS_T_R = "RepetitionTime"  # BIDS
_APART_M = 0.01  # of one region's centers in two scans: one atlas on two grids


@dataclass(frozen=True, eq=False)
class Bold:
    """The regions of the fMRI that belongs to an EEG."""

    signal: Float32[np.ndarray, "roi volume"]  # NaN where not measured, units of the file
    rois: Sensors
    t_r: float | None  # None where nobody says it
    notes: tuple[str, ...] = ()  # what was assumed
    # key of the sidecar → volumes that were measured and are not in the file
    discarded: dict[str, int] = field(default_factory=dict)


def find(path: str, source: str, partner: dict[str, str]) -> Path:
    """The file that belongs to the EEG at `path`: in its path from the given folder on (`source`)
    the last of each part named is replaced. Raises ReadError where it is not there."""
    above, changed = path.removesuffix(source), f"/{source}"
    for part, other in partner.items():
        before, found, after = changed.rpartition(part)
        changed = before + other + after if found else changed
    if changed == f"/{source}":
        raise ReadError(path, f"its fMRI cannot be found: partner names none of the parts of its "
                              f"path ({some(partner)}); give partner: {{part: what stands for "
                              f"it}}, or pass over such files (exclude: [pattern])")
    file = Path(above + changed[1:])
    if not file.exists():
        raise ReadError(path, f"wanted its fMRI at {changed[1:]}, but there is no such file; "
                              f"correct partner, or pass over such files (exclude: [pattern])")
    return file


def read(path: Path, reading: ReadOptions, t_r: str = "", rois: str = "") -> Bold:
    """Read regions of a scan.

    reading: how arrays and images are read. t_r: repetition time in seconds, or the key of the
    .json beside the file that says it; "" = RepetitionTime there, if it does. rois: table of the
    regions' centers in mm; "" = where they are is not known, but for images.
    """
    if readers.of_images(path):
        return _of_image(path, reading, t_r)
    beside = json_beside(path, sidecar(path))
    said = _said(path, t_r, beside)
    if path.suffix.lower() in (".pkl", ".pickle"):
        names, values, notes = safe_pickle.load(path)
    elif timeseries.claims(path):
        # What the reader calls regions without names is no name: `_sensors` gives them theirs.
        arrays = replace(reading.arrays, sfreq=1.0)
        found = timeseries.read(path, replace(reading, arrays=arrays))
        numbered = found.sensors.names[0] == "roi001" and not arrays.names
        names, values, notes = [] if numbered else list(found.sensors.names), found.signal.T, []
    elif path.suffix.lower() == ".tsv":
        names, values, notes = _text(path)
    else:
        raise ReadError(path, "wanted a table (.tsv, .csv, .npy, .npz, .mat, .h5, .1D), a pickle "
                              "of numbers (.pkl) or an image (…bold.nii.gz with images.atlas); "
                              "correct partner")
    signal = np.ascontiguousarray(values.T, dtype=np.float32)
    signal[~np.isfinite(signal)] = np.nan
    sensors = _sensors(path, names, len(signal), rois)
    return Bold(signal, sensors, said, (*notes, *_flat(signal, sensors)), _discarded(beside))


def check_same(ours: Sensors, known: Sensors, where: str, of: str) -> None:
    """Raise ReadError where regions are not those of the other scans. of: a scan that has them."""
    if ours.names != known.names:
        lost = [name for name in known.names if name not in ours.names]
        new = [name for name in ours.names if name not in known.names]
        how = "; ".join(f"{word} {some(names, 4)}" for word, names in
                        (("without", lost), ("besides", new)) if names) or "in another order"
        raise ReadError(where, f"wanted the {len(known)} regions of {of}, got {len(ours)}: {how}; "
                               f"one folder of pairs holds one set of regions: choose another "
                               f"--out for these, or give all the same regions")
    apart = np.linalg.norm(ours.position - known.position, axis=1)
    if (apart > _APART_M).any() or (ours.has_position != known.has_position).any():
        names = np.array(ours.names)[~(apart <= _APART_M)]
        raise ReadError(where, f"its regions are called as in {of}, but are elsewhere or of "
                               f"unknown place ({some(names, 4)}): give all one atlas and space, "
                               f"or another --out")


def _of_image(path: Path, reading: ReadOptions, t_r: str) -> Bold:
    found = readers.read(path, images=reading.images, max_recording_gb=reading.max_recording_gb)
    own = round(1 / found.sfreq, 9)
    beside = json_beside(path, sidecar_of(path))
    said = _said(path, t_r, beside) if t_r else own
    if said is not None and abs(said - own) > 0.01 * own:
        raise ReadError(path, f"t_r says {said:g} s, the image {own:g} s: leave t_r out, or "
                              f"correct the image")
    notes = [f"regions of the atlas {how}: {', '.join(found.attributes[key].split(chr(9)))}"
             for key, how in ((OUTSIDE, "outside the image"), (SMALL, "between its voxels"))
             if key in found.attributes]
    return Bold(found.signal, found.sensors, own, (*notes, *_flat(found.signal, found.sensors)),
                _discarded(beside))


def sidecar(path: Path) -> Path:
    """The .json beside a table."""
    return Path(str(path).removesuffix(".gz")).with_suffix(".json")


def _discarded(beside: dict) -> dict[str, int]:
    """Volumes that the sidecar says were measured and cut away (BIDS, and names with "dummy")."""
    return {key: int(float(value)) for key, value in beside.items()
            if (key.startswith("NumberOfVolumesDiscarded") or "dummy" in key.casefold())
            and re.fullmatch(r"\d+(\.0*)?", str(value)) and not isinstance(value, bool)}


def _said(path: Path, t_r: str, beside: dict) -> float | None:
    """Repetition time in seconds by the settings, or the .json beside the file."""
    key = t_r or _SAYS_T_R
    try:
        said = float(beside.get(key, t_r or "nan"))
    except (ValueError, TypeError):
        raise ReadError(path, f"wanted a repetition time in seconds, got t_r {t_r!r} and no number "
                              f"under {key} in {sidecar(path).name}: correct it") from None
    if np.isnan(said):
        return None
    if not 0.1 <= said <= 20:
        raise ReadError(path, f"wanted a repetition time in seconds (0.1 to 20), got {said:g}"
                              f"{'; it seems to be in milliseconds' if said >= 100 else ''}: "
                              f"correct it where it stands")
    return said


def _text(path: Path) -> tuple[list[str], np.ndarray, list[str]]:
    """A .tsv with a line of names, then a line a volume."""
    import pandas as pd

    try:
        table = pd.read_csv(path, sep="\t")
        return list(map(str, table.columns)), table.to_numpy(dtype=np.float64), []
    except ValueError as error:
        raise ReadError(path, f"wanted a line of region names and a line of numbers a volume "
                              f"(n/a where missing): {error}") from error


def _sensors(path: Path, names: list[str], n: int, rois: str) -> Sensors:
    """The regions with their centers, looked up by name; without names, in the table's order."""
    position = np.full((n, 3), np.nan)
    if rois:
        try:
            listed, places = timeseries.read_channel_table(Path(rois), "mm")
        except ValueError as problem:
            raise ValueError(str(problem).replace("arrays.channels", "rois")) from problem
        lost = [name for name in names if name not in listed]
        if lost or (not names and len(listed) != n):
            raise ReadError(path, f"wanted all its {n} regions in {rois} ({len(listed)} regions), "
                                  f"which lacks {some(lost)}" if lost else
                            f"it has {n} regions without names, {rois} has {len(listed)}: one a "
                            f"region is wanted, in the same order")
        position = places[[listed.index(name) for name in names]] if names else places
        names = names or listed
    names = names or [f"roi{k + 1:03d}" for k in range(n)]
    return Sensors(tuple(names), np.full(n, KINDS.index("roi")), position, np.zeros((n, 3)))


def _flat(signal: np.ndarray, rois: Sensors) -> list[str]:
    """A note where regions never change: nothing can be learned of them."""
    never = ~np.isfinite(signal).any(axis=1)
    notes = ([f"{words.count(int(never.sum()), 'region')} never measured: "
              f"{some(np.array(rois.names)[never], 4)}"] if never.any() else [])
    measured = signal[:, np.isfinite(signal[~never]).all(axis=0)]
    if measured.shape[1] < 2:
        return notes
    flat = np.array(rois.names)[np.ptp(measured, axis=1) == 0]
    return notes + ([f"{len(flat)} regions never change: {some(flat, 4)}"] if len(flat) else [])
