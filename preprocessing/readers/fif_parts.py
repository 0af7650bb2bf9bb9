"""Parts of a split FIF recording: which file says that it goes on from another, and into which.

A name such as rest-1.fif decides nothing: a part holds a block that names the file before it (FIFF
specification, FIFFB_REF).
"""

import gzip
import struct
from functools import lru_cache
from pathlib import Path

from mne.io.constants import FIFF

_PREVIOUS, _NEXT = int(FIFF.FIFFV_ROLE_PREV_FILE), int(FIFF.FIFFV_ROLE_NEXT_FILE)
_ROLE, _NAME = int(FIFF.FIFF_REF_ROLE), int(FIFF.FIFF_REF_FILE_NAME)


def goes_on_from(path: Path) -> str:
    """Name of the file that this one continues; "" for a recording in itself."""
    return _links(path, path.stat().st_mtime_ns).get(_PREVIOUS, "")


def goes_on_in(path: Path) -> str:
    """Name of the file that continues this one; "" where it is the last."""
    return _links(path, path.stat().st_mtime_ns).get(_NEXT, "")


@lru_cache(maxsize=1024)
def _links(path: Path, mtime_ns: int) -> dict[int, str]:
    """Role → name in the file's own words; empty where it is no FIF."""
    found: dict[int, str] = {}
    role = 0
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            at = 0
            while True:
                file.seek(at)
                head = file.read(16)
                if len(head) < 16:
                    return found
                kind, _, size, after = struct.unpack(">iIii", head)
                if size < 0 or (at == 0 and kind != int(FIFF.FIFF_FILE_ID)):
                    return found
                if kind == _ROLE:
                    role = struct.unpack(">i", file.read(4))[0]
                elif kind == _NAME:
                    # MNE writes whole paths of the folder in which it was saved.
                    name = file.read(size).decode("utf-8", "replace").rstrip("\0")
                    found[role] = name.replace("\\", "/").rpartition("/")[2]
                if after < 0 or 0 < after <= at:  # the end; a damaged file may lead back
                    return found
                at = after or at + 16 + size
    except (OSError, EOFError, struct.error):
        return found
