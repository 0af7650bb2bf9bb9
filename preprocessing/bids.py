"""BIDS folders, read through mne-bids: who was recorded, in which task, and what the sidecars say.

Entities give the identity, participants.tsv the attributes; channels.tsv the types and bad
channels, events.tsv the events, electrodes.tsv the positions, the sidecar the line frequency.
"""

import csv
import os
import re
import warnings
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from neurofm.data.recording import Recording

from . import segments
from .readers import mne_raw
from .readers.errors import ReadError
from .readers.options import ReadOptions

ENTITIES = {"subject": "sub", "session": "ses", "task": "task", "run": "run"}
_SIDECARS = ("channels", "events", "electrodes", "coordsystem", "eeg", "meg", "bold")
_NAME = re.compile(r"(?P<entities>sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*)_(?P<suffix>[a-z]+)"
                   r"(?P<extension>\..+)?")


def is_root(path: Path) -> bool:
    return (path / "dataset_description.json").is_file()


def find_root(path: Path) -> Path | None:
    """The BIDS folder that `path` is or lies in, or None."""
    return next((folder for folder in (path, *path.parents) if is_root(folder)), None)


def entities(path: Path, images: bool = False) -> dict[str, str | None] | None:
    """Subject, session, task and run of a recording named as BIDS names EEG and MEG (images: fMRI),
    else None."""
    match = _NAME.fullmatch(path.name)
    if match is None or match["suffix"] not in (("bold",) if images else ("eeg", "meg")):
        return None
    said = dict(part.split("-") for part in match["entities"].split("_"))
    return {name: said.get(short) for name, short in ENTITIES.items()}


def sidecars(path: Path, root: Path) -> list[Path]:
    """Sidecars that hold for a recording: beside it or further up, of no other entity than its own.

    (BIDS specification, "The inheritance principle".) Electrodes may name a `space` besides.
    """
    ours = set(path.name.split("_")[:-1])
    found = []
    for folder in path.parents:
        for name in _sidecar_names(folder, folder.stat().st_mtime_ns):
            theirs = {part for part in name.split("_")[:-1] if not part.startswith("space-")}
            if theirs <= ours:
                found.append(folder / name)
        if folder == root:
            break
    return [file for file in found if file.is_file()]


@lru_cache(maxsize=1024)
def _sidecar_names(folder: Path, mtime_ns: int) -> list[str]:
    """Names in `folder`, read anew when something was added to it."""
    return [name for name in sorted(os.listdir(folder))
            if name.endswith((".tsv", ".json"))
            and name.rsplit(".", 1)[0].rpartition("_")[2] in _SIDECARS]


def participants(root: Path) -> dict[str, dict[str, str]]:
    """Subject label → its row of participants.tsv, without what is n/a. Derivatives that have none
    take that of the folder they were made from."""
    path = root / "participants.tsv"
    if not path.is_file() and root.parent.name == "derivatives":
        path = root.parent.parent / "participants.tsv"
    return _participants(path, path.stat().st_mtime_ns) if path.is_file() else {}


@lru_cache
def _participants(path: Path, mtime_ns: int) -> dict[str, dict[str, str]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {
        row["participant_id"].removeprefix("sub-"): {
            key: value for key, value in row.items()
            if key not in (None, "participant_id") and value not in (None, "", "n/a")
        }
        for row in rows if row.get("participant_id")
    }


def read(
    path: Path, root: Path, options: ReadOptions, images: ModuleType | None = None
) -> Recording:
    """Read one recording with its sidecars, its identity and its subject's attributes.

    images: the reader of this image of fMRI, where it is one.
    """
    if images:
        identity = entities(path, images=True) or {}
        person = participants(root).get(identity.get("subject"), {})
        recording = images.read(path, options)
        return recording.with_(dataset=root.name, attributes={**recording.attributes, **person},
                               **identity)
    import mne_bids

    exclude = mne_raw.check_header(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bids_path = mne_bids.get_bids_path_from_fname(path, verbose="ERROR")
            bids_path.update(root=root)
            raw = mne_bids.read_raw_bids(bids_path, verbose="ERROR")
    except ReadError:
        raise
    except Exception as error:  # mne-bids fails in many ways on damaged files and sidecars
        raise ReadError(path, f"mne-bids cannot read it: {mne_raw.first_sentence(error)}; check "
                              f"the file and its sidecars with the BIDS validator") from error
    has_events = any(file.name.endswith("events.tsv") for file in sidecars(path, root))
    if exclude or has_events:
        raw = _as_in_the_file(mne_raw.open_raw(path), raw)
    recording = mne_raw.convert(raw, options, str(path))
    person = participants(root).get(bids_path.subject, {})
    identity = {name: getattr(bids_path, name) for name in ENTITIES}
    return recording.with_(dataset=root.name, attributes={**recording.attributes, **person},
                           **identity)


def _as_in_the_file(own, raw):
    """`own` as the file gives it, with what mne-bids made of the sidecars in `raw`.

    mne-bids drops the file's joints and bad stretches where there is an events.tsv, and cannot
    leave out the fast channels that would change the rate of the EEG.
    """
    own.set_meas_date(raw.info["meas_date"])  # scans.tsv may say another; onsets stay
    kept = set(raw.annotations.description)
    lost = [i for i, label in enumerate(own.annotations.description)
            if segments.is_cut_or_bad(label) and label not in kept]
    raw.set_annotations(raw.annotations + own.annotations[lost])
    if own.info["sfreq"] == raw.info["sfreq"]:
        return raw
    types = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    own.set_channel_types({name: types[name] for name in own.ch_names if name in types},
                          on_unit_change="ignore", verbose="ERROR")
    own.info["bads"] = [name for name in raw.info["bads"] if name in own.ch_names]
    own.set_montage(raw.get_montage(), on_missing="ignore", verbose="ERROR")
    own.set_annotations(raw.annotations)
    return own
