"""What to do where the system does not let a user read or write: in words, with the folder."""

import contextlib
import errno
import os
from pathlib import Path

UNREADABLE = "you may not read"  # in what `remedy` says of a file or folder


def remedy(error: OSError) -> str:
    """The end of a message about an error of the system; "" where nothing is known."""
    if error.errno == errno.ENOSPC:
        return "; make room, then the same command continues"
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not error.filename:
        return ""
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    folder = os.path.abspath(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    if error.errno == errno.EROFS:
        return f"; {folder} is mounted read-only: choose another --out"
    if not os.access(folder, os.R_OK | os.X_OK):
        return (f"; {UNREADABLE} the folder {folder}{_owner(folder)}: ask for it "
                f"(chmod g+rX {folder})")
    if os.path.isfile(path) and not os.access(path, os.R_OK):
        return f"; {UNREADABLE} this file{_owner(path)}: ask for it (chmod g+r {path})"
    if os.path.isfile(path) and os.access(folder, os.W_OK):
        folder = path
    return (f"; you may not write in {folder}{_owner(folder)}: choose another --out, or ask for it "
            f"(chmod -R g+w {folder})")


def _owner(path: str) -> str:
    with contextlib.suppress(OSError, KeyError, NotImplementedError):  # no such user, Windows
        return f", which belongs to {Path(path).owner()}"
    return ""
