"""What the frame gives the body of a command (`Job`), and what the body gives back (`Made`)."""

import contextlib
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import artifacts, repository, seen
from .pages.figure import with_svg
from .results import FILE_NAME as RESULTS
from .results import Results
from .terminal import printable

if TYPE_CHECKING:
    import pandas as pd

    from .pages.page import Page

OK, FAILED, STOPPED, INTERRUPTED = 0, 3, 85, 130
PAGE = "report.html"


class Stopped(Exception):
    """The run was asked to stop and has saved its state; the same command continues.

    Attributes
    ----------
    signaled
        By SIGTERM or SIGUSR1, and not by a setting alone.
    """

    def __init__(self, message: str, signaled: bool = True):
        super().__init__(message)
        self.signaled = signaled


@dataclass
class Made:
    """What a body has written and the frame is to seal."""

    files: list[str]  # names relative to the folder
    # sha256 of those that were hashed while they were written
    known_hashes: dict[str, str] = field(default_factory=dict)
    # what a reader of the artifact needs besides the settings; kept in the manifest's config
    facts: dict = field(default_factory=dict)
    # of a command that makes results; the frame adds flags, command and versions, and writes it
    results: Results | None = None
    # the people whom `results` judge: a row a recording (recording, dataset, subject). Required
    # with results: the models' ledgers are held against it. None where nobody is judged.
    judged: "pd.DataFrame | None" = None
    # title and sections; the frame puts warnings first and writes report.html
    page: "Page | None" = None
    status: int = OK  # OK, or FAILED where some recordings failed
    said: list[str] = field(default_factory=list)  # lines on the terminal
    next: str = ""  # the last one: a command that goes on from here


@dataclass
class Job:
    """What the frame gives a body."""

    command: Any  # the `Command`, which imports this module
    out: Path  # the folder, locked and claimed
    parents: dict[str, str]  # role → fingerprint of what was opened
    config: dict  # the resolved configuration, as plain values
    models: dict[str, str]
    words: list[str] = field(default_factory=list)
    made_from: dict = field(default_factory=dict)

    @property
    def is_main(self) -> bool:
        return rank() == 0

    def say(self, *words: object) -> None:
        """Print a line (the first process of several alone)."""
        if self.is_main:
            print(*(printable(str(word)) for word in words), flush=True)

    def claim(self) -> None:
        """Begin the folder, or continue it: of a `shared` command alone, before it writes."""
        artifacts.claim(self.out, self.made_from)

    def flags(self, judged: "pd.DataFrame | None") -> list[seen.Flag]:
        """LEAK and DOUBT of the models that were opened, against the people judged."""
        ledgers = {role: repository.read_ledger(place) for role, place in self.models.items()}
        return seen.flags(ledgers, judged)

    def seal(self, made: Made) -> int:
        """Write results and page, seal the folder, say what must be known. Returns the status."""
        flags = self.flags(made.judged)
        files = with_svg(self.out, made.files)
        if made.results is not None:
            made.results.flags += [flag for flag in flags if flag not in made.results.flags]
            words = shlex.join(self.words).replace(str(self.out), "OUT")  # not where it lies
            made.results.command = f"neurofm {self.command.name} {words}".strip()
            made.results.versions = {**versions(), **made.results.versions}
            made.results.save(self.out)
            files.append(RESULTS)
        notes = [*map(str, flags), *(made.results.notes if made.results else [])]
        summary = [made.results.summary] if made.results and made.results.summary else []
        if made.page is not None:
            (self.out / PAGE).write_text(made.page.with_warnings(notes).html())
            files.append(PAGE)
        artifacts.seal(
            self.out, self.command.makes, config={**self.config, **made.facts},
            parents=self.parents, files=sorted(set(files)), known_hashes=made.known_hashes)
        self.command.tidy(self.out)
        for line in [*made.said, *summary, *notes]:
            self.say(line)
        if made.page is not None:
            self.say(f"page: {self.out / PAGE}")
        if made.next:
            self.say(f"next: {made.next}")
        return made.status


def rank() -> int:
    """Of this process among those that a launcher started; 0 where it is alone."""
    return int(os.environ.get("RANK") or 0)


def versions() -> dict[str, str]:
    """neurofm with its commit, Python, and the libraries that decide numbers."""
    import platform
    from importlib import metadata

    found = {**artifacts.code_version(), "python": platform.python_version()}
    for name in ("torch", "numpy", "mne", "scikit-learn"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
