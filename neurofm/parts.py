"""A share of a command's work: `--part K/N`.

Parts run in any order, at once, on any machines that share the folder, and seal nothing. A call
without a part does what is missing, names the parts that lacked it, and seals: the bytes are those
of one call. Of each part that was begun a lock file stays in the folder, held while it is at work.
"""

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from . import artifacts, lock

_LAST = "last.json"  # N of the part that was begun last
_PATIENCE_S = 20.0  # a part waits so long for others that are just beginning
Opened = TypeVar("Opened")


@dataclass(frozen=True)
class Part:
    """The share `number` (from 1) of `total`."""

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> "Part | None":
        """"2/8" → the second of eight parts; "" → None, all of the work."""
        if not text:
            return None
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"part: wanted K/N with K from 1 to N, such as 2/8, got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    def holds(self, name: str) -> bool:
        """Whether a recording is in this part, by its name alone: the same on every machine,
        whatever else there is."""
        return _number(name, self.total) == self.number


@contextlib.contextmanager
def at(
    part: Part, out: Path, places: Path, command: str, begin: Callable[[bool], Opened]
) -> Iterator[Opened]:
    """Hold the lock of a part, and no more than for a moment that of the folder.

    Parameters
    ----------
    part
        The part.
    out
        Folder of the artifact.
    places
        Folder of the lock files.
    command
        Name of the command.
    begin
        begin(whether other parts are at work) is called in the folder's lock; it opens or claims
        the folder.

    Raises
    ------
    ValueError
        This part is at work already, parts of another N are, or a call for the whole is.
    """
    with lock.only_one(out, command, timeout_s=_PATIENCE_S):
        others = _held(places)
        if str(part) in others:
            raise ValueError(f"--out {out}: part {part} is at work already; wait for it, or start "
                             f"another part")
        if strange := [other for other in others if not other.endswith(f"/{part.total}")]:
            raise ValueError(f"--out {out}: part {strange[0]} is at work and may share recordings "
                             f"with part {part}; give all parts one N")
        opened = begin(bool(others))
        places.mkdir(exist_ok=True)
        ours = FileLock(places / f"part-{part.number}-of-{part.total}.lock")
        ours.acquire()
        artifacts.write_json(places / _LAST, {"parts": part.total})
    try:
        yield opened
    finally:
        ours.release()


def refuse_at_work(out: Path, places: Path) -> None:
    """Raise ValueError where a part is at work: the whole includes it."""
    if others := _held(places):
        raise ValueError(f"--out {out}: part {others[0]} is at work; wait for it, or end it")


def unfinished(places: Path, names: Iterable[str]) -> str:
    """"3/8 (12 recordings), 5/8 (1 recording)": which parts hold recordings that are not done.

    Parameters
    ----------
    places
        Folder of the lock files.
    names
        Names of the recordings that are not done.
    """
    if not (places / _LAST).is_file():
        return ""
    total = int(artifacts.read_json(places / _LAST)["parts"])
    counts = Counter(_number(name, total) for name in names)
    return ", ".join(f"{number}/{total} ({count} recording{'s' if count > 1 else ''})"
                     for number, count in sorted(counts.items()))


def _number(name: str, total: int) -> int:
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") % total + 1


def _held(places: Path) -> list[str]:
    """Parts whose lock is held: "2/8"."""
    held = []
    for path in sorted(places.glob("part-*.lock")):
        try:
            with FileLock(path, timeout=0):
                pass  # of a part that has ended
        except Timeout:
            held.append(path.stem.removeprefix("part-").replace("-of-", "/"))
    return held
