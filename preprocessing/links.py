"""Symbolic links and special files in an archive: an archive from elsewhere must not have any file
here read as data, and no pipe keeps its reader waiting.

A link is followed to a file of the same extension, wherever it lies: many laboratories build
archives of links. It is also followed into a store whose files are named by their hash and may have
no extension: of git-annex, of DVC, of the cache of the Hub. A link of any other kind, such as
`events.tsv` → `/etc/passwd`, is refused.
"""

import os
import stat
from functools import lru_cache
from pathlib import Path

from neurofm import integrity
from neurofm.terminal import printable

# Of git-annex, also below .git/modules, as of data sets inside data sets; of DVC.
_STORES = ("/annex/objects/", "/.dvc/cache/")


# A pipe is never opened: that would wait for whoever writes into it, for good.
_SPECIAL = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
            stat.S_IFBLK: "a device"}


def special(path: Path) -> str:
    """What a path is that is neither a file nor a folder, in words; "" for all else."""
    try:
        kind = _SPECIAL.get(stat.S_IFMT(path.stat().st_mode))
    except (OSError, ValueError):  # not there
        return ""
    return f"is no regular file ({kind}), which is never opened; take it away" if kind else ""


def special_part(path: Path) -> str:
    """The same of a recording: of what is in its folder, or of the files of its name beside it."""
    if why := special(path):
        return why
    if path.is_dir():
        found = ((part.name, special(part)) for part in path.rglob("*"))
        return next((f"{name} {why}" for name, why in found if why), "")
    stem = f"{path.name.split('.')[0]}."
    folder = path.parent
    return next((f"{name} {why}" for name, why in _specials(folder, folder.stat().st_mtime_ns)
                 if name.startswith(stem)), "")


@lru_cache(maxsize=64)
def _specials(folder: Path, _changed: int) -> list[tuple[str, str]]:
    """Name and `special` of what a folder holds besides files and folders. It is listed once until
    it changes, for it may hold 10^5 recordings."""
    with os.scandir(folder) as entries:
        names = [each.name for each in entries if not (
            each.is_file(follow_symlinks=False) or each.is_dir(follow_symlinks=False))]
    return [(name, why) for name in sorted(names) if (why := special(folder / name))]


def there(path: Path) -> bool:
    """Whether there is something that is to be read as a file, or to be refused as none."""
    return path.is_file() or bool(special(path))


def strange(path: Path) -> str:
    """Why a file is not opened, in words: a special one, or a link that is not followed; "" for
    plain ones."""
    if why := special(path):
        return why
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
