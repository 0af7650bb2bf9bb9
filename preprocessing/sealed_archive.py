"""Recordings that lie in an archive of `neurofm simulate` are verified like any artifact.

An archive has its manifest at its root. Its small files are checked when a first recording of it is
found or read, larger ones when they are read; a recording that the manifest does not list was added
later, and is refused.
"""

import contextlib
import functools
import os
from collections.abc import Iterable
from pathlib import Path

from neurofm import artifacts, integrity


def check(path: str | Path) -> None:
    """Check a file that is to be read; of a file elsewhere nothing is checked.

    Raises
    ------
    ArtifactError
        It is in an archive that is unfinished or damaged, or that does not list it.
    """
    if (found := _listed(path)) is not None:
        files, name = found
        integrity.need(files.problem(name))


def check_all(paths: Iterable[str]) -> None:
    """Check the archives that these files and folders are in, and that they list the files; large
    ones are left to be checked when they are read."""
    _opened.cache_clear()
    for path in paths:
        _listed(path)


def _listed(path: str | Path) -> tuple[integrity.Files, str] | None:
    path = os.path.abspath(path)
    root = _root(path if os.path.isdir(path) else os.path.dirname(path))
    if root is None or integrity.level() == "off":
        return None
    files, name = _opened(root, _stamp(root), integrity.level()), os.path.relpath(path, root)
    if name in files.files:
        return files, name
    if os.path.isfile(path):
        raise artifacts.ArtifactError(f"{path}: is not in the manifest of {root}, so it was added "
                                      f"after the archive was finished: move it elsewhere")
    return None


def _root(folder: str) -> str | None:
    """The archive that a folder is in."""
    while not _is_archive(folder, _stamp(folder)):
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return folder


def _stamp(folder: str) -> tuple[int, ...]:
    """When its manifest, or claim, was written; none where there is neither."""
    found = []
    for name in (artifacts.FILE_NAME, artifacts.CLAIM):
        with contextlib.suppress(OSError):
            found.append(os.stat(os.path.join(folder, name)).st_mtime_ns)
    return tuple(found)


@functools.lru_cache(maxsize=4096)
def _is_archive(folder: str, stamp: tuple[int, ...]) -> bool:
    """Whether simulate made it, or makes it; by what lies there where no manifest can be read."""
    try:
        if stamp:
            return artifacts.read_manifest(folder).kind == "archive"
    except artifacts.ArtifactError:
        pass
    own = ("run.yaml", "truth") if stamp else ("run.yaml", "truth", "ceiling.tsv")
    return all(os.path.exists(os.path.join(folder, name)) for name in own)


@functools.lru_cache(maxsize=64)
def _opened(root: str, stamp: tuple[int, ...], how: integrity.Level) -> integrity.Files:
    """Its files, once the small ones are checked; once a process, or call of `check_all`."""
    return integrity.Files(root, artifacts.open_sealed(root, "archive").listed)
