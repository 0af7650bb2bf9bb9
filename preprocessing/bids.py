"""Names and tables of BIDS folders: who was recorded, in which task, which sidecars hold.

Entities give the identity, participants.tsv the attributes; channels.tsv the types and bad
channels, events.tsv the events, electrodes.tsv the positions, the sidecar the line frequency.
"""

import csv
import os
import re
from functools import lru_cache
from pathlib import Path

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
