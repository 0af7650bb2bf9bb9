"""Files that a config names and whose bytes decide what is made: told by their sha256.

An option of a command is marked where it is declared,

    ceiling: str = field(default="", metadata=contents.OF_FILE)

and the frame (`neurofm.run`) keeps the hash of each such file under `contents` among the settings:
a finished folder is of these bytes, wherever the file lies and whenever it was written. Sealed
parents need no mark, they are told by their fingerprints.
"""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from . import artifacts

Files = Callable[[Path], Iterable[Path]]
KEY = "contents"  # among the settings: option → sha256


def told_by(files: Files) -> dict[str, Any]:
    """Metadata of a field with a path, or a list of paths. files: path → all files it stands for,
    such as a recording with its sidecars."""
    return {KEY: files}


OF_FILE = told_by(lambda path: [path])


def hashes(config: Any) -> dict[str, str]:
    """Option ("images.atlas", "paths 2") → sha256 of what it names. What is no file or folder is
    left out: such options also take a word, or nothing."""
    return {option: _sha256(place, files) for option, place, files in _marked(config)}


def by_path(config: Any) -> dict[str, str]:
    """The same by the path, as it was given."""
    return {place: _sha256(place, files) for _, place, files in _marked(config)}


def _marked(config: Any, above: str = "") -> Iterator[tuple[str, str, Files]]:
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), above + field.name
        if dataclasses.is_dataclass(value):
            yield from _marked(value, f"{name}.")
        elif KEY in field.metadata:
            places = [value] if isinstance(value, str) else value
            for number, place in enumerate(places, start=1):
                if place and os.path.exists(os.path.expanduser(place)):
                    yield (name if len(places) == 1 else f"{name} {number}", place,
                           field.metadata[KEY])


def _sha256(place: str, files: Files) -> str:
    path = Path(os.path.abspath(os.path.expanduser(place)))
    found = {os.path.relpath(file, path.parent): _once(file, file.stat().st_size,
                                                       file.stat().st_mtime_ns)
             for file in sorted({*files(path)}) if file.is_file()}
    if found.keys() == {path.name}:
        return found[path.name]
    return hashlib.sha256(json.dumps([*found.items()]).encode()).hexdigest()


@functools.lru_cache(maxsize=4096)
def _once(path: Path, size: int, mtime_ns: int) -> str:
    """Of a file as it is now: `decode --watch` asks again every few seconds."""
    return artifacts.sha256(path)
