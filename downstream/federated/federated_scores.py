"""What a federation is worth, site by site: against training alone, and against everything pooled.

Only people who had no part in any weight or statistic are judged. Intervals and p are those of
`scoring.statistics`: people are drawn, differences are of the same people.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from neurofm.pages import table as tables
from neurofm.pages import words

from ..scoring import statistics
from ..scoring.predictions import recalls_of

ALL = "all sites"


@dataclass(frozen=True, eq=False)
class Scores:
    """sites: a row a site (and all of them) and method; people: a row a person and method."""

    sites: pd.DataFrame
    people: pd.DataFrame
    classes: tuple[str, ...]
    methods: list[str]
    against: str | None


def score(table: pd.DataFrame, classes: tuple[str, ...], methods: list[str]) -> Scores:
    """table: predictions (`predictions.table_of`) with columns method, site, seed."""
    against = "local" if "local" in methods and len(methods) > 1 else None
    names = sorted(table["site"].unique())
    rows = [row for name in [*names, ALL]
            for row in _of_site(table if name == ALL else table[table["site"] == name], name,
                                classes, methods, against)]
    return Scores(pd.DataFrame(rows), _people(table, classes, methods), classes, methods, against)


def recall(table: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    """[seed, subject, class] of one method; people of different sites are different people."""
    whose = table.assign(subject=table["site"] + "/" + table["subject"])
    return np.stack([recalls_of(part, classes)[0] for _, part in whose.groupby("seed")])


def _of_site(table, name, classes, methods, against) -> list[dict]:
    each = {method: recall(table[table["method"] == method], classes) for method in methods}
    rows = []
    for method, values in each.items():
        n = values.shape[1]
        found = statistics.interval(values) if n > 1 else _alone(values)
        row = {"site": name, "method": method, "people": n,
               "windows": int((table["method"] == method).sum() // len(values)),
               "balanced_accuracy": found.mean, "low": found.low, "high": found.high}
        if against and method != against:
            gain, p = (statistics.difference(values, each[against]) if n > 1 else
                       (_alone(values, each[against]), np.nan))
            row |= {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high, "p": p}
        rows.append(row)
    return rows


def _alone(values, other=None) -> statistics.Estimate:
    """One person: a number without an interval."""
    mean = statistics.balanced_accuracy(values)
    return statistics.Estimate(
        mean - (0 if other is None else statistics.balanced_accuracy(other)), np.nan, np.nan)


def _people(table, classes, methods) -> pd.DataFrame:
    rows = []
    for (method, site), part in table.groupby(["method", "site"]):
        scores = statistics.of_subjects(recall(part, classes))
        rows += [{"method": method, "site": site, "subject": subject, "balanced_accuracy": value}
                 for subject, value in zip(sorted(part["subject"].unique()), scores, strict=True)]
    return pd.DataFrame(rows)


def finding(scores: Scores) -> str:
    """In a sentence: does the federation help?"""
    rows = scores.sites.set_index(["site", "method"])
    whole = rows.loc[(ALL, scores.methods[0])]
    n_sites = scores.people["site"].nunique()
    said = (f"{scores.methods[0]}: balanced accuracy {_accuracy(whole)} over "
            f"{words.count(int(whole['people']), 'subject')} of {words.count(n_sites, 'site')}")
    if scores.against is None or scores.methods[0] == scores.against:
        return said + "."
    alone = rows.loc[(ALL, scores.against)]
    low, high = whole["gain_low"], whole["gain_high"]
    gain = words.estimate(whole["gain"], low, high, signed=True)
    said += (f"; each site by itself: {_accuracy(alone)}. The gain, {gain} "
             f"({words.p_is(whole['p'])}), ")
    if not np.isfinite(low) or low <= 0 <= high:
        return said + "includes 0: the difference is not significant."
    return said + ("excludes 0: sites gain from the federation." if low > 0 else
                   "is negative: sites do better alone.")


def _accuracy(row: pd.Series) -> str:
    return words.estimate(row["balanced_accuracy"], row["low"], row["high"])


def shown(scores: Scores) -> pd.DataFrame:
    """The table of sites as people read it."""
    table = scores.sites
    out = pd.DataFrame({
        "site": table["site"], "method": table["method"], "subjects": table["people"],
        "windows": table["windows"],
        "balanced accuracy [95 %]": tables.estimates(table, "balanced_accuracy", "low", "high")})
    if "gain" in table:
        out["gain over local [95 %]"] = tables.estimates(
            table, "gain", "gain_low", "gain_high", signed=True)
        out["p"] = table["p"].map(words.p_value)
    return out
