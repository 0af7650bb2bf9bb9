"""Symbolic links in an archive: an archive from elsewhere must not have any file here read as data.

A link is followed to a file of the same extension, wherever it lies: many laboratories build
archives of links. It is also followed into a store of git-annex (`.git/annex/objects`), whose files
may have no extension. A link of any other kind, such as `events.tsv` → `/etc/passwd`, is refused.
"""

import os
from pathlib import Path

from neurofm.terminal import printable


def strange(path: Path) -> str:
    """Why a link is not followed, in words; "" for what is no link, or a plain one."""
    if not path.is_symlink():
        return ""
    there = Path(os.path.realpath(path))
    if "/.git/annex/objects/" in there.as_posix() or _kind(there) == _kind(path):
        return ""
    return (f"is a link to {printable(str(there))}, a file of another kind, which is never "
            f"followed; copy the file itself there")


def outside(path: Path, root: Path) -> bool:
    """Whether a file is a link, or lies in a linked folder, that leads out of `root`."""
    there = Path(os.path.realpath(path))
    return (not there.is_relative_to(os.path.realpath(root))
            and "/.git/annex/objects/" not in there.as_posix())


def _kind(path: Path) -> str:
    """The extension, without that of packed files."""
    return path.suffix.casefold() if path.suffix != ".gz" else "".join(path.suffixes[-2:])
