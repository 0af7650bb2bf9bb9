"""ReadError: a file cannot be read as a recording. What other libraries say of it becomes one."""

import contextlib
import gzip
import logging
import re
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neurofm import extras

_ADVICE = re.compile(r"\.?\s(?=(?:Please |You can )?(?i:pass|set|specify|use) "
                     r"[`'\"]*\w+=)")


class ReadError(ValueError):
    """Names the file and the cause; `reason` is the cause alone, for tables of failures."""

    def __init__(self, path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.reason = reason
        self.path = str(path)

    def of(self, recording) -> "ReadError":
        """The same of a recording: a fault in another file is its fault, by the file's name."""
        name = self.path.replace("\\", "/").rpartition("/")[2]
        here = name == str(recording).replace("\\", "/").rpartition("/")[2]
        return type(self)(recording, self.reason if here else f"{name}: {self.reason}")

    def __reduce__(self):
        return type(self), (self.path, self.reason)


def unreadable(path: Path, error: Exception, what: str = "") -> ReadError:
    """What the exception of another library means for a person. what: name of the format, where it
    is not the extension's."""
    if isinstance(error, extras.MissingError):
        return ReadError(path, str(error))
    if isinstance(error, EOFError | zlib.error) or "CRC" in str(error):
        return ReadError(path, "truncated or damaged: its packed content breaks off or differs "
                               "from its checksum; copy it again from the source")
    if isinstance(error, gzip.BadGzipFile):
        return ReadError(path, "is no gzip file, though its name ends with .gz; rename it, or copy "
                               "it again from the source")
    if isinstance(error, PermissionError):
        return ReadError(path, "cannot be opened: permission denied; ask its owner for the right "
                               "to read it")
    kind = what or "".join(path.suffixes[-2:] if path.suffix == ".gz" else [path.suffix])
    return ReadError(path, f"cannot be read as {kind or 'a recording'}: {sentence(error)}; it is "
                           f"damaged, truncated, or another format with this extension")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What libraries print and warn of damaged files is said by the error, or of no use."""
    nibabel = logging.getLogger("nibabel.global")
    before = nibabel.disabled
    nibabel.disabled = True
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        nibabel.disabled = before


def sentence(error: Exception) -> str:
    """An exception of another library in one line, without the path: that stands in front."""
    text = " ".join(str(error).split()) or type(error).__name__
    # What a caller in Python should pass is of no use to whoever types a command.
    text = _ADVICE.split(text)[0]
    text = re.sub(r"(file )?(\w*Path\()?['\"]?/[^\s'\")]+['\"]?\)?", "the file", text)
    return text if len(text) <= 160 else text[:157] + "…"
