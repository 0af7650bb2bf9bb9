"""Symbolic links in an archive: an archive from elsewhere must not have any file here read as data.

A link is followed to a file of the same extension, wherever it lies: many laboratories build
archives of links. It is also followed into a store whose files are named by their hash and may have
no extension: of git-annex, of DVC, of the cache of the Hub. A link of any other kind, such as
`events.tsv` → `/etc/passwd`, is refused.
"""

import os
from pathlib import Path

from neurofm import integrity
from neurofm.terminal import printable

# Of git-annex, also below .git/modules, as of data sets inside data sets; of DVC.
_STORES = ("/annex/objects/", "/.dvc/cache/")


def strange(path: Path) -> str:
    """Why a link is not followed, in words; "" for what is no link, or a plain one."""
    if not path.is_symlink():
        return ""
    there = Path(os.path.realpath(path))
    if _in_store(path, there) or _kind(there) == _kind(path):
        return ""
    return (f"is a link to {printable(str(there))}, a file of another kind, which is never "
            f"followed; copy the file itself there")


def outside(path: Path, root: Path) -> bool:
    """Whether a file is a link, or lies in a linked folder, that leads out of `root`."""
    there = Path(os.path.realpath(path))
    return not there.is_relative_to(os.path.realpath(root)) and not _in_store(path, there)


def _in_store(path: Path, there: Path) -> bool:
    """Whether a link leads into a store of files that are named by their hash."""
    return (any(store in there.as_posix() for store in _STORES)
            or (path.is_symlink() and integrity.of_hub_cache(path)))


def _kind(path: Path) -> str:
    """The extension, without that of packed files."""
    return path.suffix.casefold() if path.suffix != ".gz" else "".join(path.suffixes[-2:])
