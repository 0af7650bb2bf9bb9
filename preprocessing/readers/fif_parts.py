"""Parts of a split FIF recording: which file says that it goes on from another, and into which.

A name such as rest-1.fif decides nothing: a part holds a block that names the file before it (FIFF
specification, FIFFB_REF).
"""

import gzip
import struct
from functools import lru_cache
from pathlib import Path

from mne.io.constants import FIFF

from .errors import ReadError

_PREVIOUS, _NEXT = int(FIFF.FIFFV_ROLE_PREV_FILE), int(FIFF.FIFFV_ROLE_NEXT_FILE)
_LOOP = -1
_ROLE, _NAME = int(FIFF.FIFF_REF_ROLE), int(FIFF.FIFF_REF_FILE_NAME)


def goes_on_from(path: Path) -> str:
    """Name of the file that this one continues; "" for a recording in itself."""
    return _links(path, path.stat().st_mtime_ns).get(_PREVIOUS, "")


def goes_on_in(path: Path) -> str:
    """Name of the file that continues this one; "" where it is the last."""
    return _links(path, path.stat().st_mtime_ns).get(_NEXT, "")


def check(path: Path) -> None:
    """Raise ReadError for a file in which a tag leads back to one before it: MNE would follow it
    without end."""
    if _LOOP in _links(path, path.stat().st_mtime_ns):
        raise ReadError(path, "damaged: a tag in it leads back to one before it; copy it again "
                              "from the source")


@lru_cache(maxsize=1024)
def _links(path: Path, mtime_ns: int) -> dict[int, str]:
    """Role → name in the file's own words; empty where it is no FIF. `_LOOP` is among the roles
    where tags lead to each other without end."""
    found: dict[int, str] = {}
    seen: set[int] = set()
    role = 0
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            at = 0
            while True:
                if at in seen:
                    return found | {_LOOP: ""}
                seen.add(at)
                file.seek(at)
                head = file.read(16)
                if len(head) < 16:
                    return found
                kind, _, size, after = struct.unpack(">iIii", head)
                if at == 0 and kind != int(FIFF.FIFF_FILE_ID):
                    return found
                if size < 0 and not after:
                    return found | {_LOOP: ""}
                if kind == _ROLE:
                    role = struct.unpack(">i", file.read(4))[0]
                elif kind == _NAME:
                    # MNE writes whole paths of the folder in which it was saved.
                    name = file.read(size).decode("utf-8", "replace").rstrip("\0")
                    found[role] = name.replace("\\", "/").rpartition("/")[2]
                if after < 0:  # the end
                    return found
                at = after or at + 16 + size
    except (OSError, EOFError, struct.error):
        return found
