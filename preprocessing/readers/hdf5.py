"""HDF5 files: what they may hold, and arrays in them: one of time and channel, or a dataset a
channel.

A dataset can lie in another file, by an external link, as external storage or as a virtual dataset:
reading it would read any file of this machine, so such files are refused. Soft links to places of
the same file are not. Layout: HDF5 file format specification 3.0.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neurofm import extras

from .errors import ReadError
from .sizes import Limit

EXTENSIONS = (".h5", ".hdf5")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FIRST = (0, 512, 1024, 2048)  # bytes at which a file may begin, as of MATLAB 7.3
_MOST = 10**6  # objects in a file


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, by its first bytes."""
    with open(path, "rb") as file:
        head = file.read(_FIRST[-1] + len(_SIGNATURE))
    return any(head[at:at + len(_SIGNATURE)] == _SIGNATURE for at in _FIRST)


def check(path: Path, limit: Limit) -> None:
    """Raise ReadError for a file that leads to others, or that is too large once it is read."""
    h5py = extras.need("h5py", "an HDF5 file")

    seen, total = set(), 0
    with h5py.File(path, "r") as file:
        soft: list[tuple] = []  # followed last: by then no link on their way leads to another file
        todo = [iter([file])]
        while todo or soft:
            held = next(todo[-1], None) if todo else _followed(path, *soft.pop())
            if held is None:
                todo.pop()
                continue
            place = h5py.h5o.get_info(held.id).addr
            if place in seen:  # by another name, or a circle
                continue
            seen.add(place)
            if len(seen) > _MOST:
                raise ReadError(path, f"holds more than {_MOST} objects; it is damaged, or no "
                                      f"recording")
            if isinstance(held, h5py.Group):
                todo.append(_inside(path, held, soft))
            elif isinstance(held, h5py.Dataset):
                name = held.name or "a dataset without a name"
                if held.external:
                    _refuse(path, name, "lies in another file (external storage)")
                if held.is_virtual:
                    _refuse(path, name, "is made of other files (a virtual dataset)")
                n = max(math.prod(held.shape or (0,)), math.prod(held.chunks or (0,)))
                total += n * held.dtype.itemsize
                limit.check(path, total)
                if h5py.check_ref_dtype(held.dtype) is h5py.Reference and held.shape is not None:
                    todo.append(file[each] for each in np.ravel(held[()]) if each)


def _inside(path: Path, group, soft: list[tuple]) -> Iterator:
    """The objects that a group links to; its soft links are added to `soft`."""
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.HardLink):
            yield group[name]
        elif isinstance(link, h5py.SoftLink):
            soft.append((group, name))
        else:
            _refuse(path, f"{group.name or ''}/{name}", "is a link to another place")


def _followed(path: Path, group, name: str):
    """What a soft link leads to, which is in the same file."""
    try:
        held = group.get(name)
    except (OSError, RuntimeError, ValueError):  # links in a circle
        held = None
    if held is None:
        _refuse(path, f"{group.name or ''}/{name}", "is a link to another place, and nothing is "
                                                    "there")
    return held


def _refuse(path: Path, name: str, why: str) -> None:
    raise ReadError(path, f"{name.replace('//', '/')} {why}, which is never followed; copy its "
                          f"content into the file, as by h5repack or MATLAB's save")


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Every numeric dataset by its path in the file, in the file's order."""
    h5py = extras.need("h5py", "an HDF5 file")

    found = {}

    def keep(name, held):
        if isinstance(held, h5py.Dataset) and held.dtype.kind in "fiu" and held.ndim:
            found[name] = held[()]

    with h5py.File(path, "r") as file:
        file.visititems(keep)
    return found


def channels(held: dict[str, np.ndarray]) -> tuple[list[str], np.ndarray] | None:
    """(names, [time, channel]) where a file keeps a dataset a channel: several with one axis (or
    one beside axes of length 1) and equal lengths; None where it does not."""
    flat = {name: np.squeeze(array) for name, array in held.items()}
    lengths = {array.shape[0] for array in flat.values() if array.ndim == 1}
    if len(flat) < 2 or len(lengths) != 1 or any(array.ndim != 1 for array in flat.values()):
        return None
    return [name.rsplit("/", 1)[-1] for name in flat], np.stack(list(flat.values()), axis=1)
