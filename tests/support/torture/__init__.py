"""The torture archive: a folder a kind of file that laboratories have, each with what must become
of it.

A kind is a function that fills its folder and returns the file in question. `good`: the file is in
the corpus, and its windows are those of the truth; `fails`: it is in failures.tsv, with these words
in the reason; `passed`: it is no recording, and listed as passed over with these words. Any other
file in the folder must be listed as passed over too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

GOOD, FAILS, PASSED, EITHER = "good", "fails", "passed", "either"
Build = Callable[[Path], Path]


@dataclass(frozen=True)
class Kind:
    name: str  # of its folder
    build: Build
    becomes: str  # GOOD, FAILS, PASSED; EITHER of the first two for each file in a folder
    words: str  # in the reason
    truth: str  # what its windows are, by name


class Kinds(dict[str, Kind]):
    """Name → kind, in the order of the file that lists them."""

    def good(self, truth: str = "eight") -> Callable[[Build], Build]:
        return self._add(GOOD, truth=truth)

    def fails(self, words: str) -> Callable[[Build], Build]:
        return self._add(FAILS, words)

    def passed(self, words: str) -> Callable[[Build], Build]:
        return self._add(PASSED, words)

    def _add(self, becomes: str, words: str = "", truth: str = "") -> Callable[[Build], Build]:
        def keep(build: Build) -> Build:
            name = build.__name__
            assert name not in self, name
            self[name] = Kind(name, build, becomes, words, truth)
            return build

        return keep

    def make(self, root: Path) -> dict[str, str]:
        """Fill `root` with all kinds; name of kind → the file in question, from `root` on."""
        files = {}
        for name, kind in self.items():
            folder = root / name
            folder.mkdir(parents=True)
            files[name] = kind.build(folder).relative_to(root).as_posix()
        return files
