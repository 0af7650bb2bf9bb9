"""sha256 of files, hashed once and remembered.

What was hashed is remembered in the user's cache folder (NEUROFM_CACHE, or neurofm in
XDG_CACHE_HOME or ~/.cache), and not beside the artifact: such a note would travel with a copy and
vouch for bytes that nobody has hashed, anybody who may write into a shared folder could write it,
and often nobody may. A note is a line: name, size, mtime, inode, ctime and sha256. A copy has
another inode and ctime, and a ctime cannot be set. Files of less than a megabyte are hashed each
time, which costs less than to remember them.
"""

import contextlib
import functools
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: processes may hash a file twice
    fcntl = None  # type: ignore[assignment]

REMEMBERED_BYTES = 2**20  # smaller files are hashed each time
SETTLED_NS = 2 * 10**9  # a file younger than the clock's grain could change unseen
_LARGEST_NOTES = 2**26  # bytes of a file of notes: then it is begun anew

Stamp = tuple[int, int, int, int]  # size, mtime_ns, inode, ctime_ns


def sha256(path: str | Path) -> str:
    """Of the bytes of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of(folder: str, name: str, found: os.stat_result, anew: bool = False) -> str:
    """Of a file in a folder, from memory where it has been hashed as it stands.

    folder: its real path. found: what `os.stat` says of the file. anew: read it even if it is
    remembered; once, until `forget`.
    """
    path, stamp = f"{folder}/{name}", _stamp(found)
    if anew:
        digest = _read_now(path, stamp) if _settled(stamp) else sha256(path)
        _remember(folder, name, stamp, digest)
        return digest
    if found.st_size < REMEMBERED_BYTES:
        return sha256(path)
    notes = _notes(folder)
    if (known := notes.find(name, stamp)) is not None:
        return known
    with notes.alone(name):
        if (known := notes.find(name, stamp)) is not None:  # by another process, meanwhile
            return known
        digest = sha256(path)
        _remember(folder, name, stamp, digest)
    return digest


def is_remembered(folder: str, name: str) -> bool:
    """Whether a file of a folder has been hashed as it stands."""
    try:
        stamp = _stamp(os.stat(f"{folder}/{name}"))
    except OSError:
        return False
    return _notes(folder).find(name, stamp) is not None


def forget() -> None:
    """What was read anew is read again when that is asked for."""
    _read_now.cache_clear()


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns


def _settled(stamp: Stamp) -> bool:
    return time.time_ns() - max(stamp[1], stamp[3]) > SETTLED_NS


@functools.lru_cache(maxsize=2**20)
def _read_now(path: str, stamp: Stamp) -> str:
    """A command opens an artifact several times, and reads a file anew once."""
    return sha256(path)


def _remember(folder: str, name: str, stamp: Stamp, digest: str) -> None:
    if (_settled(stamp) and stamp[0] >= REMEMBERED_BYTES
            and _stamp(os.stat(f"{folder}/{name}")) == stamp):
        _notes(folder).add(name, stamp, digest)


class _Notes:
    """What is remembered of one folder: lines that processes append to one file."""

    def __init__(self, path: Path | None):
        self.path, self.read_to = path, 0
        self.known: dict[tuple[str, Stamp], str] = {}

    def find(self, name: str, stamp: Stamp) -> str | None:
        found = self.known.get((name, stamp))
        if found is None and self._read():
            found = self.known.get((name, stamp))
        return found

    def add(self, name: str, stamp: Stamp, digest: str) -> None:
        self.known[name, stamp] = digest
        if self.path is None:
            return
        line = b"\t".join([os.fsencode(name), *(b"%d" % n for n in stamp), digest.encode()])
        with contextlib.suppress(OSError):  # no room: then it is hashed again next time
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(number, line + b"\n")
            finally:
                os.close(number)

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Of loader processes and ranks that want one file at once, one hashes and others wait."""
        place = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:4], "big") // 4
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # no room, or a file system without locks
                if fcntl is not None and self.path is not None:
                    self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    lock = stack.enter_context(open(f"{self.path}.lock", "a"))
                    fcntl.lockf(lock, fcntl.LOCK_EX, 1, place)
            yield

    def _read(self) -> bool:
        """Whether others have added lines; a cut one is none."""
        if self.path is None:
            return False
        try:
            size = self.path.stat().st_size
            if size > _LARGEST_NOTES:
                self.path.unlink()
                return False
            if size == self.read_to:
                return False
            begin = self.read_to if size > self.read_to else 0
            with open(self.path, "rb") as file:
                file.seek(begin)
                told = file.read()
        except OSError:
            return False
        whole = told[:told.rfind(b"\n") + 1]
        self.read_to = begin + len(whole)
        for line in whole.split(b"\n"):
            with contextlib.suppress(ValueError):
                name, n_bytes, mtime, inode, ctime, digest = line.split(b"\t")
                stamp = int(n_bytes), int(mtime), int(inode), int(ctime)
                self.known[os.fsdecode(name), stamp] = digest.decode()
        return True


@functools.lru_cache(maxsize=64)
def _notes(folder: str) -> _Notes:
    own = cache_folder()  # without one nothing is remembered beyond this process
    return _Notes(own and own / "hashes" / hashlib.sha256(os.fsencode(folder)).hexdigest()[:32])


def cache_folder() -> Path | None:
    """The user's, of neurofm; None where there is no home."""
    own = os.environ.get("NEUROFM_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "neurofm")
    return None if own.startswith("~") else Path(own)
