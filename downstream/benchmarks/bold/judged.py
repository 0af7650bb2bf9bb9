"""Everything that tables, figures and the page tell of an evaluation."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Float

from neurofm.data.windows import SPLITS
from neurofm.pages import words

from ...protocol.scans import Roles
from ...scoring.series import Series
from ...scoring.statistics import least_p
from . import scores as scoring
from .scores import SIGNIFICANT, Scores


@dataclass(frozen=True, eq=False)
class Judged:
    """All that was found of the judged scans."""

    scans: list[Series]  # those judged
    regions: list[str]
    scores: dict[str, Scores]
    first: str  # the method from which others are subtracted
    reference: Float[np.ndarray, "roi roi"]  # mean matrix of correlations of the training scans
    # see `ceiling.read`; empty = none
    ceilings: dict[str, Float[np.ndarray, "scan roi"]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what a reader must know

    def __post_init__(self):
        by_region = scoring.region_table(self.scans, self.scores, self.regions, self.ceilings)
        object.__setattr__(self, "by_region", by_region)
        object.__setattr__(self, "table", scoring.method_table(
            self.scans, self.scores, self.ceilings, self.first))
        object.__setattr__(self, "by_scan", scoring.scan_table(
            self.scans, self.scores, self.regions))
        object.__setattr__(self, "fc", scoring.fc_table(self.scans, self.scores, self.reference))

    by_region: pd.DataFrame = field(init=False)
    table: pd.DataFrame = field(init=False)
    by_scan: pd.DataFrame = field(init=False)
    fc: pd.DataFrame = field(init=False)

    @property
    def methods(self) -> list[str]:
        return [*self.scores]

    @property
    def subjects(self) -> list[str]:
        """Each once."""
        return sorted({one.subject for one in self.scans})

    @property
    def baseline(self) -> str | None:
        """The best of the other methods by mean r; None where there is no other."""
        others = self.table[self.table["method"] != self.first].dropna(subset="r")
        return None if others.empty else str(others.loc[others["r"].idxmax(), "method"])

    @property
    def median_scan(self) -> int:
        """Number of the scan whose mean r by the first method is in the middle."""
        r = np.nanmean(np.nan_to_num(self.scores[self.first].r.mean(axis=0)), axis=1)
        return int(np.argsort(r, kind="stable")[(len(r) - 1) // 2])


def finding(judged: Judged) -> str:
    """In a sentence: does the first method predict, and better than the best of the others?"""
    row = judged.table.set_index("method").loc[judged.first]
    said = f"{judged.first}: mean r {words.estimate(row['r'], row['low'], row['high'])}"
    if judged.baseline is None:
        return f"{said}; nothing was compared with it."
    other = judged.table.set_index("method").loc[judged.baseline]
    said += (f"; {judged.baseline}, the best of the others: "
             f"{words.estimate(other['r'], other['low'], other['high'])}. ")
    gap = words.estimate(other["difference"], other["difference_low"], other["difference_high"],
                         signed=True)
    if not np.isfinite(other["difference_low"]):
        return f"{said}The difference is {gap}: one subject says nothing of others."
    if other["difference_low"] <= 0 <= other["difference_high"]:
        return f"{said}The difference, {gap}, includes 0: the difference is not significant."
    better = judged.first if other["difference"] > 0 else judged.baseline
    n = len(judged.subjects)
    said += f"The difference, {gap}, excludes 0"
    if other["difference_p"] < SIGNIFICANT:
        return f"{said} ({words.p_is(other['difference_p'])}): {better} is better."
    return (f"{said} in favor of {better}, but exchanging them within subjects gives "
            f"{words.p_is(other['difference_p'])} (the least possible with "
            f"{words.count(n, 'subject')}: {words.p_value(least_p(n))}): not certain.")


def significant(judged: Judged) -> list[str]:
    """A sentence of the first method and one of the best other: in how many regions they are better
    than their surrogates."""
    said, table = [], judged.table.set_index("method", drop=False)
    for row in table.loc[[judged.first, *filter(None, [judged.baseline])]].itertuples():
        parts = [f"{int(count)} of {row.regions} regions better than {other}"
                 for count, other in ((row.significant_moved, "its predictions moved in time"),
                                      (row.significant_others, "other people's scans explain"))
                 if count is not None and count == count]
        said.append(f"{row.method}: " + (", ".join(parts) or "no test could be made")
                    + (f" (p < {SIGNIFICANT:g} after Holm)." if parts else "."))
    return said


def remarks(roles: Roles, scores: dict[str, Scores]) -> list[str]:
    """What the numbers cannot say here."""
    found = list(roles.notes)
    one = next(iter(scores.values()))
    n_rois = one.r.shape[-1]
    n = len(set(roles.test.data.subjects(roles.test.scans)))
    for role in SPLITS:
        part = getattr(roles, role)
        blind = [part.data.blind(scan)[slice(*part.bounds(scan))] for scan in part.scans.tolist()]
        if lost := sum(int(each.sum()) for each in blind):
            found.append(f"{role}: {lost} of {sum(map(len, blind))} volumes do not count, since "
                         f"the EEG before them is mostly bad")
    if n == 1:
        found.append("one subject is judged: there is no interval over subjects")
    elif n < 10:
        found.append(f"intervals from {n} subjects are rough")
    for null, title in ((one.moved, "moved predictions"), (one.others, "other people's scans")):
        if null.why:
            found.append(null.why)
        elif not null.can_reach(SIGNIFICANT):
            found.append(f"{title} give {len(null.drawn)} surrogates, so p is at least "
                         f"{words.p_value(null.least_p)}: after Holm over {n_rois} regions no "
                         f"region can be significant; raise permutations or judge more scans")
    if not np.isfinite(one.coherence).any():
        found.append("the judged parts are too short for coherence")
    return found
