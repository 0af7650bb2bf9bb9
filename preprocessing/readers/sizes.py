"""How much memory a file will take, told by its header before anything else of it is read.

A packed file of some megabytes can unpack to gigabytes, and a header of some bytes can promise
terabytes. Both end here, with the name of the file.
"""

import base64
import gzip
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import ReadError

GB = 10**9
_TEXT = 20  # bytes of memory that numpy needs for one byte of a table of numbers
_COMPRESSED = 15  # type of an element of a .mat
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Limit:
    """`gb`: largest recording that is read."""

    gb: float = 16.0

    def __post_init__(self):
        if not 0 < self.gb < math.inf:
            raise ValueError(f"max_recording_gb must be > 0, got {self.gb}")

    @property
    def n_bytes(self) -> int:
        return int(self.gb * GB)

    def check(self, path: str | Path, n_bytes: float, mapped: bool = False) -> None:
        """Raise ReadError for a recording of more bytes than are allowed or, unless it lies in a
        file on disk (`mapped`), than memory is free."""
        wanted = _in_words(n_bytes)
        if n_bytes > self.n_bytes:
            raise ReadError(path, f"would take {wanted} once it is read, more than the {self.gb:g} "
                                  f"GB that a recording may have: it is damaged or of another "
                                  f"kind; if it is that long, raise --max_recording_gb")
        if not mapped and n_bytes > (free := free_bytes()):
            raise ReadError(path, f"would take {wanted} of memory, but {_in_words(free)} are free: "
                                  f"read it on a larger machine, or split it")


def _in_words(n_bytes: float) -> str:
    return f"{n_bytes / GB:.3g} GB"


def free_bytes() -> float:
    """Memory that is free for this process; infinite where that is not known. A container's use
    counts files that are kept in memory as long as nobody needs it; that is free."""
    free = math.inf
    try:
        import psutil

        free = psutil.virtual_memory().available
        allowed = (_CGROUP / "memory.max").read_text().strip()
        if allowed != "max":
            used = int((_CGROUP / "memory.current").read_text())
            told = dict(line.split() for line in
                        (_CGROUP / "memory.stat").read_text().splitlines())
            used -= int(told.get("inactive_file", 0)) + int(told.get("active_file", 0))
            free = min(free, max(int(allowed) - max(used, 0), 0))
    except (ImportError, OSError, ValueError):
        pass  # no container, or not Linux
    return free


def check_packed(path: Path, limit: Limit) -> None:
    """Raise ReadError for a .gz that unpacks to more than is allowed; raises what gzip raises where
    it is damaged: libraries stop where the header says, before its checksum."""
    n = 0
    with gzip.open(path) as file:
        while part := file.read(2**22):
            n += len(part)
            if n > limit.n_bytes:
                limit.check(path, n)


def check_text(path: Path, limit: Limit) -> None:
    """Raise ReadError for a table of numbers that is too large for `numpy.genfromtxt`."""
    if path.suffix == ".gz":
        check_packed(path, Limit(limit.gb / _TEXT))
    limit.check(path, _TEXT * path.stat().st_size)


def check_npy(path: Path, limit: Limit) -> None:
    """Raise ReadError where the header of a .npy promises more than the file holds or is allowed;
    ValueError where it is none."""
    with open(path, "rb") as file:
        shape, dtype = npy_header(file)
        held = path.stat().st_size - file.tell()
    promised = _n_bytes(shape, dtype)
    if promised > held and not dtype.hasobject:
        raise ReadError(path, f"truncated, or its header is damaged: that promises shape {shape}, "
                              f"{promised} bytes, the file holds {held}; copy it again from the "
                              f"source")
    limit.check(path, promised)


def check_npz(path: Path, limit: Limit) -> None:
    """The same for all arrays of a .npz, packed or not."""
    total = 0
    with zipfile.ZipFile(path) as archive:
        for each in archive.infolist():
            with archive.open(each) as file:
                shape, dtype = npy_header(file)
            promised = _n_bytes(shape, dtype)
            if promised > each.file_size and not dtype.hasobject:
                raise ReadError(path, f"{each.filename} is truncated, or its header is damaged: "
                                      f"that promises shape {shape}, {promised} bytes, the file "
                                      f"holds {each.file_size}; copy it again from the source")
            total += max(promised, each.file_size)
            limit.check(path, total)


def check_gifti(path: Path, limit: Limit) -> None:
    """The same for a .gii, whose arrays are packed one by one, as text (GIFTI 1.0)."""
    total = 0
    for each in re.finditer(rb"<Data>([^<]*)</Data>", path.read_bytes()):
        try:
            packed = base64.b64decode(each[1])
            unpacking = zlib.decompressobj()
            while packed:
                total += len(unpacking.decompress(packed, 2**22))
                packed = unpacking.unconsumed_tail
                limit.check(path, total)
        except ValueError as error:
            if isinstance(error, ReadError):
                raise
        except zlib.error:  # an array that is not packed
            total += len(each[1])
    limit.check(path, total)


def check_mat(path: Path, limit: Limit) -> None:
    """The same for a .mat or .set of MATLAB 5 to 7, whose variables are packed one by one (MAT-File
    Level 5 file format); other versions are not packed."""
    with open(path, "rb") as file:
        head = file.read(128)
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        if order is None:
            return
        total = 0
        while len(tag := file.read(8)) == 8:
            kind, n = struct.unpack(f"{order}II", tag)
            if kind != _COMPRESSED:
                file.seek(n, 1)
                continue
            unpacking, left = zlib.decompressobj(), n
            while left > 0 and (part := file.read(min(left, 2**16))):
                left -= len(part)
                while part:
                    total += len(unpacking.decompress(part, 2**22))
                    part = unpacking.unconsumed_tail
                    if total > limit.n_bytes:
                        limit.check(path, total)
        limit.check(path, total)


def npy_header(file) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of a .npy; ValueError where it is none."""
    if file.read(1) == b"\x80":
        raise ValueError("it is a pickle, which is never loaded")
    file.seek(0)
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"version {version} of the format is not known")
    shape, _, dtype = read(file)
    if any(n < 0 for n in shape):
        raise ValueError(f"its header promises shape {shape}")
    return shape, dtype


def _n_bytes(shape: Sequence[int], dtype: np.dtype) -> int:
    return math.prod(shape) * max(dtype.itemsize, 1)
