"""BIDS folders, read through mne-bids: who was recorded, in which task, and what the sidecars say.

Entities give the identity, participants.tsv the attributes; channels.tsv the types and bad
channels, events.tsv the events, electrodes.tsv the positions, the sidecar the line frequency.
"""

import csv
import warnings
from functools import lru_cache
from pathlib import Path

from neurofm.data.recording import Recording

from .readers import ReadOptions, mne_raw
from .readers.errors import ReadError

ENTITIES = ("subject", "session", "task", "run")
_DATATYPES = ["eeg", "meg"]
_EXTENSIONS = [".edf", ".bdf", ".vhdr", ".set", ".fif", ".ds", ".con", ".sqd", ".mff", ".cnt", ""]


def find_root(path: Path) -> Path | None:
    """The BIDS folder that `path` is or lies in, or None."""
    for folder in (path, *path.parents):
        if (folder / "dataset_description.json").is_file():
            return folder
    return None


def find_recordings(root: Path) -> list[tuple[Path, dict[str, str | None]]]:
    """Recording files of a BIDS folder with their entities, in order."""
    import mne_bids

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = mne_bids.find_matching_paths(
            root, datatypes=_DATATYPES, suffixes=_DATATYPES, extensions=_EXTENSIONS
        )
    recordings = []
    for bids_path in found:
        path = Path(bids_path.fpath)
        # An .mff or .ds folder holds files of its own; of a split file only the first part counts.
        inside = any(parent.suffix in (".ds", ".mff") for parent in path.parents)
        later_part = bids_path.split not in (None, "01", "1")
        if not inside and not later_part:
            recordings.append((path, {name: getattr(bids_path, name) for name in ENTITIES}))
    return sorted(recordings)


def _sidecar(path: Path, name: str) -> bool:
    return any(path.parent.glob(f"{path.name.rsplit('_', 1)[0]}_{name}.tsv"))


def participants(root: Path) -> dict[str, dict[str, str]]:
    """Subject label → its row of participants.tsv, without what is n/a."""
    path = root / "participants.tsv"
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


def read(path: Path, root: Path, options: ReadOptions) -> Recording:
    """Read one recording with its sidecars, its identity and its subject's attributes."""
    import mne_bids

    exclude = mne_raw.check_header(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bids_path = mne_bids.get_bids_path_from_fname(path, verbose="ERROR")
            bids_path.update(root=root)
            # mne-bids hands only these to the reader, and compares channels.tsv with all of them.
            chosen = {"exclude": exclude} if exclude and not _sidecar(path, "channels") else {}
            raw = mne_bids.read_raw_bids(bids_path, extra_params=chosen, verbose="ERROR")
    except ReadError:
        raise
    except Exception as error:  # mne-bids fails in many ways on damaged files and sidecars
        raise ReadError(path, f"mne-bids cannot read it: {mne_raw.first_sentence(error)}; check "
                              f"the file and its sidecars with the BIDS validator") from error
    recording = mne_raw.convert(raw, options, str(path))
    attributes = dict(participants(root).get(bids_path.subject, {}))
    if raw.info["line_freq"]:
        attributes["line_hz"] = f"{raw.info['line_freq']:g}"
    identity = {name: getattr(bids_path, name) for name in ENTITIES}
    return recording.with_(dataset=root.name, attributes=attributes, **identity)
