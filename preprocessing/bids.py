"""Names and tables of BIDS folders: who was recorded, in which task, which sidecars hold.

Entities give the identity, participants.tsv the attributes; channels.tsv the types and bad
channels, events.tsv the events, electrodes.tsv the positions, the sidecar the line frequency.
"""

import os
import re
from functools import lru_cache
from pathlib import Path

from . import links, text

ENTITIES = {"subject": "sub", "session": "ses", "task": "task", "run": "run"}
_SIDECARS = ("channels", "events", "electrodes", "coordsystem", "eeg", "meg", "bold")
_NAME = re.compile(r"(?P<entities>sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*)_(?P<suffix>[a-zA-Z0-9]+)"
                   r"(?P<extension>\..+)?")


def is_root(path: Path) -> bool:
    return (path / "dataset_description.json").is_file()


def find_root(path: Path) -> Path | None:
    """The BIDS folder that `path` is or lies in, or None."""
    return next((folder for folder in (path, *path.parents) if is_root(folder)), None)


SIGNALS, FMRI, T1 = ("eeg", "meg"), ("bold",), ("T1w",)  # suffixes of recordings
IN_WORDS = {SIGNALS: "EEG and MEG", FMRI: "fMRI", T1: "T1-weighted images"}


def entities(
    path: Path, suffixes: tuple[str, ...] = SIGNALS
) -> dict[str, str | None] | None:
    """Subject, session, task and run of a recording whose name has one of these suffixes of BIDS,
    else None."""
    match = _NAME.fullmatch(path.name)
    if match is None or match["suffix"] not in suffixes:
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
    return [file for file in found if links.there(file)]


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


def participants_file(root: Path) -> Path | None:
    """participants.tsv; derivatives that have none take that of the folder they were made from."""
    homes = [root, *([root.parent.parent] if root.parent.name == "derivatives" else [])]
    return next((path for home in homes if links.there(path := home / "participants.tsv")), None)


def participants(root: Path, encoding: str = "") -> dict[str, dict[str, str]]:
    """Subject label → its row of participants.tsv, without what is n/a."""
    path = participants_file(root)
    return _participants(path, path.stat().st_mtime_ns, encoding) if path else {}


def person(root: Path, subject: str | None, encoding: str = "") -> dict[str, str]:
    """What participants.tsv says of a subject. "sub-01", "01", "1" and "sub-001" are the same
    subject unless two rows of the table differ in nothing else."""
    rows = participants(root, encoding)
    if subject is None or subject in rows:
        return rows.get(subject or "", {})
    alike = [row for name, row in rows.items() if _number(name) == _number(subject)]
    return alike[0] if len(alike) == 1 else {}


def _number(subject: str) -> str:
    """A subject label without leading zeros: "001" → "1", "P07" → "P7", "1.0" → "1"."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"^(\d+)\.0$", r"\1", subject)).casefold()


@lru_cache
def _participants(path: Path, mtime_ns: int, encoding: str) -> dict[str, dict[str, str]]:
    columns, rows = text.read_table(path, encoding)
    if rows and "participant_id" not in columns:
        from .readers.errors import ReadError

        raise ReadError(path, f"wanted a column participant_id, got {', '.join(columns)}; name "
                              f"the column of the subjects so")
    return {
        re.sub(r"^sub[-_]", "", row["participant_id"], flags=re.IGNORECASE): {
            key: value for key, value in row.items()
            if key not in ("", "participant_id") and value not in ("", "n/a")
        }
        for row in rows if row["participant_id"] not in ("", "n/a")
    }
