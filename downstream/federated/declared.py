"""The number of trials that each site has declared: it may never count for more.

Sites declare it with their keys (`averaging.declared`). Where nothing is agreed, what a site says
in its first round counts as declared, and is kept in the server's folder.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from neurofm import artifacts

MOST = 10**9  # trials of any site


class Declared:
    """agreed: site → trials; empty = by the first answer of each site, kept in `file`."""

    def __init__(self, file: Path, agreed: Mapping[str, int]):
        self.file, self.agreed = file, dict(agreed)
        self.found: dict[str, int] = dict(agreed)
        if not agreed and file.exists():
            self.found = json.loads(file.read_text())

    def checked(self, site: str, trials: object) -> int:
        """The number of trials that a site says; ValueError where that cannot be."""
        if isinstance(trials, bool) or not isinstance(trials, int):
            raise ValueError(f"wanted a whole number of trials, got {type(trials).__name__}")
        if not 0 < trials <= MOST:
            raise ValueError(f"wanted a number of trials from 1 to {MOST:,}, got "
                             f"{'more' if trials > 0 else 'fewer'}")
        if self.agreed and site not in self.agreed:
            raise ValueError("is not among the sites of averaging.declared")
        if trials > self.found.get(site, MOST):
            raise ValueError(f"says that it trained on {trials} trials, and has declared "
                             f"{self.found[site]}")
        return trials

    def keep(self, said: Iterable[tuple[str, int]]) -> None:
        """Remember what sites said in the first round that counted."""
        new = {site: trials for site, trials in said if site not in self.found}
        if new and not self.agreed:
            self.found |= new
            artifacts.write_json(self.file, self.found)
