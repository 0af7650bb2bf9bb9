"""Names and tables of BIDS folders: who was recorded, in which task, which sidecars hold.

Entities give the identity, participants.tsv the attributes; channels.tsv the types and bad
channels, events.tsv the events, electrodes.tsv the positions, the sidecar the line frequency.
"""

import csv
import os
import re
from functools import lru_cache
from pathlib import Path

from . import text

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
    Derivatives have the events of the folder that they were made from. The nearest comes first.
    """
    found = _inherited(path, root)
    raw = raw_of(root)
    if raw is not None and not any(file.name.endswith("events.tsv") for file in found):
        found += [file for file in _inherited(raw / path.relative_to(root), raw)
                  if file.name.endswith("events.tsv")]
    return found


def _inherited(path: Path, root: Path) -> list[Path]:
    ours = set(path.name.split("_")[:-1])
    found: list[Path] = []
    for folder in path.parents:
        names = _sidecar_names(folder, folder.stat().st_mtime_ns) if folder.is_dir() else []
        said = {name: {part for part in name.split("_")[:-1] if not part.startswith("space-")}
                for name in names}
        found += [folder / name for name in sorted(names, key=lambda name: -len(said[name]))
                  if said[name] <= ours]
        if folder == root:
            break
    return [file for file in found if file.is_file()]


@lru_cache
def raw_of(root: Path) -> Path | None:
    """The BIDS folder that a folder of derivatives was made from: that it lies in, that lies in it
    (sourcedata/raw), or that its description names."""
    if (above := find_root(root.parent)) is not None:
        return above
    try:
        said = text.read_json(root / "dataset_description.json")
    except (OSError, ValueError):
        return None
    if said.get("DatasetType", "raw") == "raw":
        return None
    sources = said.get("SourceDatasets")
    links = said.get("DatasetLinks")
    named = ["sourcedata/raw", *(links.values() if isinstance(links, dict) else []),
             *(source.get("URL") for source in (sources if isinstance(sources, list) else [])
               if isinstance(source, dict))]
    places = [root / str(name).removeprefix("file://") for name in named if name]
    return next((place.resolve() for place in places if is_root(place)), None)


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
