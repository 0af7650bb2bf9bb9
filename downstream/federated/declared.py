"""The number of trials that each site has declared: it may never count for more.

Sites declare it with their keys (`averaging.declared`). Where nothing is agreed, what a site says
in its first round counts as declared, and is kept in the server's folder.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from neurofm import artifacts, json_file

MOST = 10**9  # trials of any site


class Declared:
    """agreed: site → trials; empty = by the first answer of each site, kept in `file`."""

    def __init__(self, file: Path, agreed: Mapping[str, int]):
        self.file, self.agreed = file, dict(agreed)
        self.found: dict[str, int] = dict(agreed)
        if not agreed and file.exists():
            self.found = json_file.read(file)
            for site, trials in self.found.items():
                with json_file.shaped(file, "the number of trials of each site"):
                    _number(trials, f"{site}: ")

    def checked(self, site: str, trials: object) -> int:
        """The number of trials that a site says; ValueError where that cannot be."""
        said = _number(trials)
        if self.agreed and site not in self.agreed:
            raise ValueError("is not among the sites of averaging.declared")
        if said > self.found.get(site, MOST):
            raise ValueError(f"says that it trained on {said} trials, and has declared "
                             f"{self.found[site]}")
        return said

    def keep(self, said: Iterable[tuple[str, int]]) -> None:
        """Remember what sites said in the first round that counted."""
        new = {site: trials for site, trials in said if site not in self.found}
        if new and not self.agreed:
            self.found |= new
            artifacts.write_json(self.file, self.found)


def _number(trials: object, where: str = "") -> int:
    if isinstance(trials, bool) or not isinstance(trials, int):
        raise ValueError(f"{where}wanted a whole number of trials, got {type(trials).__name__}")
    if not 0 < trials <= MOST:
        raise ValueError(f"{where}wanted a number of trials from 1 to {MOST:,}, got "
                         f"{'more' if trials > 0 else 'fewer'}")
    return trials
