"""What a reader of a comparison must know: said on the page, in the table's file and at the end."""

import numpy as np

from ...scoring import statistics
from ...scoring.exchanges import FEW_LABELINGS
from ...scoring.scores import Named


def of(result) -> list[str]:
    """In lines. result: a `Comparison`, whose notes these become."""
    table, unit = result.table, result.unit
    n, most = int(table["units"].max()), int(table["windows"].max())
    found = [unit.note(n)] if unit.person else []
    short = table[table["windows"] < most]
    if len(short):
        found.append(
            f"{', '.join(short['method'])} named fewer of the {most} test windows "
            f"({', '.join(str(v) for v in sorted(set(short['windows'])))}: other layouts); "
            f"differences are on the test windows that both named"
        )
    if n == 1:
        found.append("with one test subject nothing can be said of other people: there is no "
                     "interval and no test; protocols that test several blocks of time, sessions "
                     "or runs of this person (within; sessions with rotate) have them, of this "
                     "person")
    elif len(table) > 1 and statistics.least_p(n) >= 0.05:
        found.append(f"with {unit.counted(n)} no difference between methods can have a p below "
                     f"{statistics.least_p(n):.3g}: look at the intervals")
    if 1 < n < 10:
        found.append(f"intervals from {unit.counted(n)} are rough: of simulated studies with 3, 4 "
                     f"and 6 independent {unit.many} 77, 90 and 93 of 100 had the truth in their "
                     f"interval, instead of 95")
    if not result.classes:
        found.append(_of_the_median(result.named[result.best], unit.many))
    found += _of_chance(table, len(result.classes))
    networks = table[table["kind"] == "network"]
    if len(networks) and networks["seeds"].min() < 5:
        seeds = int(networks["seeds"].min())
        found.append(f"{seeds} seed{'s' * (seeds > 1)} of a network: intervals say little of what "
                     f"another training would give")
    if any("recentered" in name for name in table["method"]) or (table["kind"] ==
                                                                 "automatic").any():
        found.append("recentered methods and automatic decoders use all of a test subject's "
                     "windows, without labels; the others name each window by itself")
    for name, method in result.named.items():
        if method.classes and result.per == "window":
            lacking = int(np.isnan(method.score[0]).any(axis=1).sum())
            if lacking:
                found.append(f"{lacking} of {unit.counted(len(method.units))} have no window of "
                             f"some class ({name}); classes still weigh alike, each over the "
                             f"{unit.many} that have it")
                break
    return found


def _of_the_median(one: Named, many: str) -> str:
    constant = np.array([one.target[one.unit_of == unit].mean() for unit in one.units])
    error = np.abs(constant - np.median(constant)).mean()
    return (f"naming the test {many}' own median for everybody would have a mean absolute error of "
            f"{error:.3g}")


def _of_chance(table, n_classes: int) -> list[str]:
    """What exchanged labels can and cannot say here."""
    found = []
    none = table[table["labelings"] == 0]
    if len(none):
        units = none["exchanged"].iloc[0]
        level = f" (1/{n_classes})" if n_classes else ""
        found.append(
            f"no p of chance can be given: labels could only be exchanged between {units}, and "
            f"these stand on the training side of one fold and on the test side of another; "
            f"whoever knows such a one again is right, whatever its label means. An interval above "
            f"chance{level} says that they are told apart, not that it is for the label"
        )
    few = table[(table["labelings"] > 0) & (table["labelings"] < FEW_LABELINGS)]
    if len(few):
        ways, unit = int(few["labelings"].iloc[0]), few["exchanged"].iloc[0]
        found.append(
            f"labels can be exchanged between {unit} in {ways} ways only, so p of chance cannot "
            f"fall below 1/{ways} = {1 / ways:.3g}, and no 95 % range of chance can be given; "
            f"whether an interval reaches down to chance says more"
        )
    return found
