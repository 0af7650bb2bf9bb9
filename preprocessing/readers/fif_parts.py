"""Parts of a split FIF recording: which file says that it goes on from another, and into which.

A name such as rest-1.fif decides nothing: a part holds a block that names the file before it (FIFF
specification, FIFFB_REF).
"""

import gzip
import struct
from functools import lru_cache
from pathlib import Path

from mne.io.constants import FIFF

from .. import links
from .beside import named
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
    """Raise ReadError for a file in which a tag leads back to one before it, which MNE would follow
    without end, and for parts that are not beside the first or lead back to one before them."""
    seen: set[Path] = set()
    part: Path | None = path
    while part is not None and part.exists():
        if part in seen:
            raise ReadError(path, f"damaged: {part.name} is to follow a part that comes after it, "
                                  f"a part that comes before it; copy all parts again")
        seen.add(part)
        if not part.is_file():
            raise ReadError(path, f"{part.name} is no regular file")
        if _LOOP in _links(part, part.stat().st_mtime_ns):
            raise ReadError(part, "damaged: a tag in it leads back to one before it; copy it again "
                                  "from the source")
        after = _after(part)
        if after is not None and after.parent != part.parent:
            named(path, "its next part", after.relative_to(part.parent).as_posix()
                  if after.is_relative_to(part.parent) else str(after))
        elif after is not None and (why := links.strange(after)):
            raise ReadError(path, f"{after.name} {why}")
        part = after


def _after(part: Path) -> Path | None:
    """The file that MNE will go on in, by its own words: it finds them by a list of tags that need
    not be in order. None at the end, and where it will not read the file at all."""
    from mne._fiff.open import _get_next_fname, fiff_open

    try:
        file, tree, _ = fiff_open(part, verbose="ERROR")
        with file:
            return _get_next_fname(file, part, tree)
    except Exception:  # whatever it is, the reader will say so
        return None


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
