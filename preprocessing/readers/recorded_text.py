"""Text inside recordings: annotations of EDF+ and BDF+, markers of BrainVision, in any encoding.

EDF+ wants UTF-8, BrainVision what its header states; recorders in many countries write latin-1.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import text
from . import edf_header

_NOT_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")


def words(path: Path, stated: str = "") -> dict[str, str]:
    """What MNE's reader is told of the encoding; nothing where it is UTF-8, as MNE expects."""
    if path.suffix.lower() not in (".edf", ".bdf"):
        return {}
    content = _annotations(path)
    encoding = text.encoding_of(content, stated)
    if encoding == "cp1252" and not stated and _NOT_CP1252.search(content):
        encoding = "latin-1"  # of another language; latin-1 reads any byte
    return {} if encoding == "utf-8" else {"encoding": encoding}


@contextmanager
def plain_header(path: Path, stated: str = "") -> Iterator[Path]:
    """A header of BrainVision whose markers are UTF-8, as MNE wants them; any other path as it is.

    The copy leads to the signal where it lies, so it need not outlive the opening.
    """
    found = plain_markers(path, stated)
    if found is None:
        yield path
        return
    markers, content = found
    header = text.read(path, stated)
    for key, value in (("Codepage", "UTF-8"), ("MarkerFile", markers.name),
                       ("DataFile", str(path.absolute().parent / _named(path, "DataFile")))):
        line = f"{key}={value}".replace("\\", r"\\")  # of a path of Windows
        header = re.sub(rf"^{key}=.*$", line, header, flags=re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / path.name).write_text(header, encoding="utf-8")
        (Path(folder) / markers.name).write_text(content, encoding="utf-8")
        yield Path(folder) / path.name


def plain_markers(path: Path, stated: str = "") -> tuple[Path, str] | None:
    """The marker file of a header and its text, where it is not in the encoding that it states."""
    content = _markers(path)
    if content is None:
        return None
    return path.parent / _named(path, "MarkerFile"), re.sub(
        "Codepage=.*", "Codepage=UTF-8", text.decoded(content, stated))


def guessed(path: Path, stated: str = "") -> str:
    """Encoding that text in a recording is taken to have, where nothing says so; else ""."""
    content = _markers(path)
    if content is None and path.suffix.lower() in (".edf", ".bdf"):
        content = _annotations(path)
    encoding = text.encoding_of(content or b"")
    return "" if stated or encoding == "utf-8" else encoding


def _annotations(path: Path) -> bytes:
    """Bytes of the annotation channels of an EDF+ or BDF+, without those that fill them up."""
    try:
        header = edf_header.read(path)
    except ValueError:
        return b""  # the reader says what is wrong
    return b"".join(part.replace(b"\0", b"") for record in edf_header.annotations(path, header)
                    for part in record)


def _markers(path: Path) -> bytes | None:
    """The marker file of a BrainVision header, where it is not in the encoding that it states."""
    if path.suffix.lower() not in (".vhdr", ".ahdr"):
        return None
    name = _named(path, "MarkerFile")
    file = path.parent / name
    if not name or not file.is_file():
        return None
    content = file.read_bytes()
    codepage = re.search(rb"Codepage=(\S+)", content)
    named = codepage[1].decode("ascii", "replace") if codepage else "utf-8"
    try:
        content.decode("cp1252" if named.upper() == "ANSI" else named)
    except (UnicodeDecodeError, LookupError):
        return content
    return None


def _named(path: Path, key: str) -> str:
    """Name of the file that a header leads to; "" where it names none."""
    said = re.search(rf"^{key}=(.*?)\s*$", text.read(path), re.MULTILINE)
    return said[1].replace("$b", path.stem) if said else ""
