"""Predictions of several methods → scores with intervals, differences, ranks.

    result = compare(predictions, classes, methods, baselines, per="window")

What is compared is balanced accuracy, or the mean absolute error of numbers, over test subjects,
or over the folds of a single one (`unit.py`); other metrics stand beside it. Statistics are in
`statistics.py`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ...scoring import metrics, scores, statistics
from ...scoring import unit as units_of
from ...scoring.scores import Named
from ...scoring.unit import Unit
from . import notes
from .methods import is_automatic


@dataclass(frozen=True, eq=False)
class Comparison:
    """Scores of several methods, their differences and ranks."""

    classes: tuple[str, ...]
    per: str
    networks: tuple[str, ...]
    named: dict[str, Named]
    # what intervals, differences and ranks are over: subjects, or one subject's folds; units: their
    # names
    unit: Unit
    units: np.ndarray
    table: pd.DataFrame  # a row a method, in the order asked for
    each: pd.DataFrame  # a row a method and unit
    differences: pd.DataFrame  # a row a pair of methods
    # of all methods; best_network (or automatic decoder), best_baseline: None where there is none
    best: str
    best_network: str | None
    best_baseline: str | None
    # over units, in the order of the table; None for one method or one unit
    ranks: statistics.Ranks | None
    alike: list[list[str]]  # methods that are not told apart, as lists of names, best first
    # the same with a window as the unit that is scored, where per is "subject"
    by_window: "Comparison | None"
    notes: list[str]  # what a reader must know

    @property
    def score(self) -> str:
        """Name of what is compared, as in the table."""
        return "balanced_accuracy" if self.classes else "mae"

    @property
    def better(self) -> int:
        return 1 if self.classes else -1

    @property
    def secondary(self) -> dict[str, metrics.Metric]:
        known = metrics.CLASSIFICATION if self.classes else metrics.REGRESSION
        return {name: metric for name, metric in known.items() if name != self.score}

    @property
    def by_score(self) -> list[str]:
        """Methods, best first."""
        order = np.argsort(-self.better * self.table[self.score].to_numpy(), kind="stable")
        return [self.table["method"].iloc[k] for k in order]

    def row(self, method: str) -> pd.Series:
        return self.table.set_index("method").loc[method]

    def difference(self, method: str, other: str) -> pd.Series:
        """Their row of `differences`, turned so that it is method − other."""
        table = self.differences
        found = table[(table["method"] == method) & (table["other"] == other)]
        if len(found):
            return found.iloc[0]
        row = table[(table["method"] == other) & (table["other"] == method)].iloc[0].copy()
        row["method"], row["other"] = method, other
        for name in [name for name in ("difference", "difference_r") if name in row]:
            low, high = f"{name}_low", f"{name}_high"
            row[name], row[low], row[high] = -row[name], -row[high], -row[low]
        return row


def compare(
    predictions: pd.DataFrame, classes: tuple[str, ...], methods: list[str],
    baselines: Collection[str] = frozenset(), per: str = "window",
    fold: tuple[str, str] = ("fold", "folds"),
) -> Comparison:
    """predictions: a row a method, seed and test window: method, seed, window, subject, recording,
    label, predicted, p_CLASS of each class, seen_in_pretraining. classes: empty where labels are
    numbers. baselines: which of the methods are. per: what is scored, each "window" or each
    "subject", whose windows' probabilities (numbers) are averaged first. fold: what folds are, one
    and many in words.

    Raises ValueError, naming the method, for predictions that cannot be compared.
    """
    if per not in ("window", "subject"):
        raise ValueError(f"per must be 'window' or 'subject', got {per!r}")
    methods = list(dict.fromkeys(methods))
    networks = tuple(name for name in methods if name not in baselines)
    unit = units_of.of(predictions, fold, per)
    named, units = scores.read(predictions, tuple(classes), methods, unit)  # checks, then merges
    by_window = None
    if per == "subject":
        by_window = compare(predictions, classes, methods, baselines, "window")
        named, units = scores.read(scores.merged(predictions, classes), tuple(classes), methods,
                                   unit)
    table = _table(named, methods, networks)
    score, better = ("balanced_accuracy", 1) if classes else ("mae", -1)
    order = [methods[k] for k in np.argsort(-better * table[score].to_numpy(), kind="stable")]
    best_baseline = next((name for name in order if name not in networks), None)
    differences = _differences(named)
    ranks, alike = _ranks(named, differences, better)
    result = Comparison(
        tuple(classes), per, networks, named, unit, units, table, _each(named, unit, units),
        differences, order[0], next((name for name in order if name in networks), None),
        best_baseline, ranks, alike, by_window, [],
    )
    if best_baseline is not None and len(methods) > 1:
        _to_best_baseline(result)
    result.notes.extend(notes.of(result))
    folds = predictions["fold"].nunique() if "fold" in predictions else 1
    if folds > 1 and not unit.person:
        result.notes.append(
            f"scores pool {folds} {fold[1]}, and their models share most training data; "
            "intervals and tests assume independent test subjects, which is only approximate "
            "(Bengio & Grandvalet 2004)")
    return result


def _table(named: dict[str, Named], methods: list[str], networks: tuple[str, ...]) -> pd.DataFrame:
    by_chance = _chances(named)
    rows = []
    for name, method in named.items():
        score = statistics.interval(method.score)
        chance, p = by_chance[name]
        row = {"method": name, "kind": "automatic" if is_automatic(name) else
               "network" if name in networks else "baseline",
               "seeds": len(method.said), "subjects": len(np.unique(method.subjects)),
               "units": len(method.units), "windows": len(method.windows),
               "balanced_accuracy" if method.classes else "mae": score.mean,
               "low": score.low, "high": score.high, "chance": chance.mean,
               "chance_low": chance.low, "chance_high": chance.high, "p_chance": p,
               "labelings": min(chance.count, 10**15), "exchanged": chance.unit}
        for key, metric in (metrics.CLASSIFICATION if method.classes
                            else metrics.REGRESSION).items():
            if key == "mae":  # already there
                continue
            found, over = scores.estimate(metric, method)
            row |= {key: found.mean, f"{key}_low": found.low, f"{key}_high": found.high,
                    f"{key}_subjects": over}
        rows.append(row)
    return pd.DataFrame(rows)


def _chances(named: dict[str, Named]) -> dict[str, tuple[statistics.Chance, float]]:
    """Chance of each method; those that named the same windows share the exchanged labels."""
    groups: dict[bytes, list[str]] = {}
    for name, method in named.items():
        groups.setdefault(method.windows.tobytes(), []).append(name)
    found: dict[str, Any] = {}
    for names in groups.values():
        one = named[names[0]]
        if one.classes:
            shares = np.stack([
                np.stack([(named[name].named == k).mean(axis=0) for k in range(len(one.classes))],
                         axis=1) for name in names
            ], axis=2)
            chances = statistics.chances(one.target, shares, one.subjects, one.recordings,
                                         units=one.unit_of, folds=one.folds)
        else:
            chances = statistics.chances_of_numbers(
                one.target, [named[name].said for name in names], one.subjects, one.recordings,
                units=one.unit_of, folds=one.folds)
        found |= dict(zip(names, chances, strict=True))
    return found


def _each(named: dict[str, Named], unit: Unit, units: np.ndarray) -> pd.DataFrame:
    rows = []
    for name, method in named.items():
        score = method.score.mean(axis=0)
        for place, code in enumerate(method.units):
            own = method.unit_of == code
            row = {"method": name, **({"subject": unit.person} if unit.person else {}),
                   unit.column: units[code], "windows": int(own.sum())}
            if method.classes:
                row["balanced_accuracy"] = statistics.of_subjects(method.score)[place]
                row |= {f"recall_{c}": score[place, k] for k, c in enumerate(method.classes)}
            else:
                row |= {"mae": score[place, 0], "label": method.target[own].mean(),
                        "predicted": method.said[:, own].mean()}
            rows.append(row)
    return pd.DataFrame(rows)


def _differences(named: dict[str, Named]) -> pd.DataFrame:
    """Every pair of methods on the windows that both named."""
    rows = []
    for first, second in combinations(named, 2):
        one, other = named[first], named[second]
        if not np.array_equal(one.windows, other.windows):
            windows = np.intersect1d(one.windows, other.windows)
            one, other = one.among(windows), other.among(windows)
        if not len(one.windows):
            continue
        found, p = statistics.difference(one.score, other.score)
        row = {"method": first, "other": second, "units": len(one.units),
               "windows": len(one.windows), "difference": found.mean, "difference_low": found.low,
               "difference_high": found.high, "p_permutation": p,
               "p_wilcoxon": statistics.wilcoxon(one.score, other.score)}
        rows.append(row if one.classes else row | _difference_of_r(one, other))
    table = pd.DataFrame(rows, columns=None if rows else [
        "method", "other", "difference", "difference_low", "difference_high", "p_permutation",
        "p_wilcoxon"])
    for name in ("p_permutation", "p_wilcoxon"):
        table[f"{name}_holm"] = statistics.holm(table[name].to_numpy(float))
    return table


def _difference_of_r(one: Named, other: Named) -> dict[str, float]:
    """Pearson's r minus another method's: the same units drawn for both."""
    metric, n = metrics.REGRESSION["pearson"], len(one.units)
    mean, drawn = [], []
    for place, method in enumerate((one, other)):
        tables = method.counted(metric)
        mean.append(np.mean([metric.compute(table.sum(axis=0)) for table in tables]))
        drawn.append(scores.drawn(metric, tables, training=1 + place))
    low, high = statistics.quantiles(drawn[0] - drawn[1], n)
    return {"difference_r": float(mean[0] - mean[1]), "difference_r_low": low,
            "difference_r_high": high}


def _to_best_baseline(result: Comparison) -> None:
    """Columns of the table: the difference of each method to the best baseline."""
    table, best = result.table, result.best_baseline
    pairs = set(zip(result.differences["method"], result.differences["other"], strict=True))
    compared = [name for name in table["method"]
                if {(name, best), (best, name)} & pairs]
    rows = {name: result.difference(name, best) for name in compared if best is not None}
    for column, key in {"difference": "difference", "difference_low": "difference_low",
                        "difference_high": "difference_high", "p_difference": "p_permutation",
                        "p_wilcoxon": "p_wilcoxon"}.items():
        table[column] = [rows[name][key] if name in rows else np.nan for name in table["method"]]
    table["p_holm"] = statistics.holm(table["p_difference"].to_numpy(float))


def _ranks(
    named: dict[str, Named], differences: pd.DataFrame, better: int
) -> tuple[statistics.Ranks | None, list[list[str]]]:
    """Ranks over units on the windows that all methods named."""
    names = list(named)
    common = named[names[0]].windows
    for method in named.values():
        if not np.array_equal(common, method.windows):
            common = np.intersect1d(common, method.windows)
    if len(names) < 2 or not len(common):
        return None, []
    each = np.stack([statistics.of_subjects(m.among(common).score) for m in named.values()])
    if each.shape[1] < 2:
        return None, []
    found = statistics.ranks(better * each)
    p = np.zeros((len(names), len(names)))
    for row in differences.itertuples():
        a, b = names.index(row.method), names.index(row.other)
        p[a, b] = p[b, a] = row.p_wilcoxon_holm
    order = np.argsort(found.mean, kind="stable")
    return found, [[names[k] for k in order[first : last + 1]]
                   for first, last in statistics.alike(order, p)]

