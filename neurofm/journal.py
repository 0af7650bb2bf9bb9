"""Which files of an unfinished folder are finished: a line each, sha256 and name.

A command that goes on from files which an interrupted call has left keeps those whose bytes are
still what was written, and makes the others again. Sealing removes the journal. Parts that work
at once write a journal each, since not every file system appends for several machines.
"""

import os
from pathlib import Path

from .hashes import sha256

NAME = ".finished"


class Journal:
    """Of a folder; several processes of a machine may note files of one.

    Parameters
    ----------
    out
        The folder.
    name
        Where finished files are noted, relative to it.
    others
        Glob of journals that are read too.

    Examples
    --------
    >>> journal = Journal(out)  # doctest: +SKIP
    >>> if (digest := journal.kept(name)) is None:  # doctest: +SKIP
    ...     journal.note(name, digest := write(out / name))
    """

    def __init__(self, out: str | Path, name: str = NAME, others: str = ""):
        self.out, self.path, self.known = Path(out), Path(out) / name, dict[str, str]()
        for path in {self.path, *(self.out.glob(others) if others else ())}:
            if path.is_file():
                for line in path.read_bytes().decode(errors="surrogateescape").split("\n"):
                    digest, _, file = line.partition("  ")
                    self.known[file] = digest

    def kept(self, name: str) -> str | None:
        """sha256 of a file that is as it was noted; None where it is to be made (again)."""
        if name not in self.known or not (self.out / name).is_file():
            return None
        digest = sha256(self.out / name)
        return digest if digest == self.known[name] else None

    def note(self, name: str, digest: str) -> None:
        """The file is finished."""
        self.known[name] = digest
        number = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(number, f"\n{digest}  {name}\n".encode(errors="surrogateescape"))
        finally:
            os.close(number)
