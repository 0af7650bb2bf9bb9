"""Files beside a header: named by it, never by a path to anywhere else, and whole."""

import os
import re
from pathlib import Path

from neurofm import extras
from neurofm.terminal import printable

from .. import links
from .errors import ReadError


def named(path: Path, key: str, name: str) -> Path:
    """The file `name` beside the header `path`, which calls it so under `key`.

    Raises ReadError for a path: a header that came from elsewhere would have any file of this
    machine read as a signal.
    """
    if re.search(r"[/\\\0]", name) or name in ("", ".", "..") or re.match(r"[A-Za-z]:", name):
        raise ReadError(path, f"wanted {key} as the name of a file beside it, got "
                              f"{printable(name)!r}: other folders are never read; copy the file "
                              f"beside the header and correct {key}")
    if why := links.strange(path.parent / name):
        raise ReadError(path, f"{name} {why}")
    return path.parent / name


def check_place(path: Path, raw) -> None:
    """Raise ReadError where a header has led its reader to files that are not beside it."""
    homes = {Path(os.path.abspath(path)).parent, path.resolve().parent}
    for file in filter(None, getattr(raw, "filenames", None) or ()):
        there = Path(os.path.abspath(file))
        if homes.isdisjoint(there.parents):
            raise ReadError(path, f"leads to {printable(str(there))}, outside its folder: other "
                                  f"folders are never read; copy the file beside it")
        if why := links.special(there):
            raise ReadError(path, f"{there.name} {why}")


def check_length(path: Path, raw) -> None:
    """Raise ReadError where the .fdt of a .set is shorter than that says."""
    beside = path.with_suffix(".fdt")
    if path.suffix.lower() == ".set" and beside.is_file() and hasattr(raw, "n_times"):
        promised, held = 4 * len(raw.ch_names) * raw.n_times, beside.stat().st_size
        if held < promised:
            raise ReadError(path, f"truncated: {beside.name} holds {held} bytes, the .set promises "
                                  f"{promised}; copy it again from the source")


def check_set(path: Path) -> None:
    """Raise ReadError where a .set of epochs leads to a signal file that is not beside it."""
    held = extras.need("pymatreader", "an EEGLAB file").read_mat(str(path), ["EEG", "data"])
    held = held.get("EEG", held)
    if isinstance(name := held.get("data"), str):
        named(path, "EEG.data", name)
