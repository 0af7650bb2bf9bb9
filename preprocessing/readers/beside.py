"""Names that a header gives of files beside it: a name, and no path to anywhere else."""

import re
from pathlib import Path

from neurofm.terminal import printable

from .. import links
from .errors import ReadError


def named(path: Path, key: str, name: str) -> Path:
    """The file `name` beside the header `path`, which calls it so under `key`.

    Raises ReadError for a path: a header that came from elsewhere would have any file of this
    machine read as a signal.
    """
    if re.search(r"[/\\\0]", name) or name in ("", ".", "..") or re.match(r"[A-Za-z]:", name):
        raise ReadError(path, f"wanted {key} as the name of a file beside it, got "
                              f"{printable(name)!r}: other folders are never read; copy the file "
                              f"beside the header and correct {key}")
    if why := links.strange(path.parent / name):
        raise ReadError(path, f"{name} {why}")
    return path.parent / name
