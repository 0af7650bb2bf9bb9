"""Predictions of several methods as arrays, and every metric of them with its interval.

`read` checks the table of predictions and cuts it by method; everything after is arrays with the
subjects, recordings and folds as numbers that mean the same in all methods.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from . import statistics
from .metrics import Metric
from .statistics import DRAWS, Estimate
from .unit import Unit

COLUMNS = ("method", "seed", "window", "subject", "recording", "label", "predicted")


@dataclass(frozen=True, eq=False)
class Named:
    """What one method said."""

    windows: np.ndarray  # ascending
    target: np.ndarray  # class indices or numbers, [window]
    said: np.ndarray  # probabilities [seed, window, class] or numbers [seed, window]
    named: np.ndarray
    subjects: np.ndarray  # subjects, recordings, folds: as numbers, [window]
    recordings: np.ndarray
    folds: np.ndarray
    unit_of: np.ndarray  # of these, subjects or folds: what intervals are over
    classes: tuple[str, ...]  # empty where numbers are predicted

    def among(self, windows: np.ndarray) -> "Named":
        """The same on these windows only."""
        if np.array_equal(windows, self.windows):
            return self
        keep = np.isin(self.windows, windows)
        return dataclasses.replace(
            self, windows=self.windows[keep], target=self.target[keep], said=self.said[:, keep],
            named=self.named[:, keep], subjects=self.subjects[keep],
            recordings=self.recordings[keep], folds=self.folds[keep],
            unit_of=self.unit_of[keep],
        )

    @cached_property
    def units(self) -> np.ndarray:
        """Units there are, ascending."""
        return np.unique(self.unit_of)

    @cached_property
    def who(self) -> np.ndarray:
        """Place among `units` of each window's unit."""
        return np.searchsorted(self.units, self.unit_of)

    def counted(self, metric: Metric) -> list[np.ndarray]:
        """The metric's table [unit, …] of each seed, the rough one where there is one."""
        count = metric.rough or metric.count
        if count not in self._tables:
            self._tables[count] = [count(self.target, said, self.who, len(self.units))
                                   for said in self.said]
        return self._tables[count]

    @cached_property
    def _tables(self) -> dict[object, list[np.ndarray]]:
        return {}

    @cached_property
    def score(self) -> np.ndarray:
        """What methods are compared by: recall [seed, unit, class], or the mean absolute error
        [seed, unit, 1]."""
        if self.classes:
            return np.stack([
                statistics.recalls(self.target, one, self.unit_of, len(self.classes))[0]
                for one in self.named
            ])
        windows = np.bincount(self.who)
        return np.stack([np.bincount(self.who, np.abs(one - self.target)) / windows
                         for one in self.said])[..., None]


def read(
    predictions: pd.DataFrame, classes: tuple[str, ...], methods: list[str], unit: Unit
) -> tuple[dict[str, Named], np.ndarray]:
    """(method → Named, names of the units). Raises ValueError for what cannot be compared."""
    wanted = [*COLUMNS, *(f"p_{name}" for name in classes)]
    if missing := [name for name in wanted if name not in predictions]:
        raise ValueError(f"predictions: no column {missing}; wanted {wanted}, "
                         f"got {list(predictions.columns)}")
    if not methods:
        raise ValueError("no method to compare: methods is empty")
    there = set(predictions["method"].unique())
    if absent := sorted(set(methods) - there):
        raise ValueError(f"predictions: none of {absent}; there are those of {sorted(there)}")
    if column := next((name for name in wanted if predictions[name].isna().any()), None):
        raise ValueError(f"predictions: {int(predictions[column].isna().sum())} rows without a "
                         f"{column}; wanted a value in every row")
    if classes:
        unknown = sorted({str(v) for name in ("label", "predicted")
                          for v in set(predictions[name].unique()) - set(classes)})
        if unknown:
            raise ValueError(f"predictions: labels {unknown[:8]} are none of {list(classes)}; "
                             f"give all classes that there are")
    elif texts := [name for name in ("label", "predicted")
                   if not pd.api.types.is_numeric_dtype(predictions[name])]:
        raise ValueError(f"predictions: wanted numbers in {texts}, as no classes are given, got "
                         f"values such as {predictions[texts[0]].iloc[0]!r}")
    # Names as numbers once: comparing strings a million times is most of the work otherwise.
    subject, names = pd.factorize(predictions["subject"].astype(str), sort=True)
    fold, in_turn = pd.factorize(predictions["fold"].astype(str)) if "fold" in predictions \
        else (np.zeros(len(predictions), dtype=int), [])
    short = predictions[["method", "seed", "window", *wanted[len(COLUMNS):]]].assign(
        subject=subject, recording=pd.factorize(predictions["recording"])[0], fold=fold,
        **{name: pd.Categorical(predictions[name], categories=list(classes)).codes if classes
           else predictions[name] for name in ("label", "predicted")},
    )
    found, rows = {}, short.groupby("method", sort=False).indices
    for name in methods:
        part = short.iloc[rows[name]].sort_values(["seed", "window"], kind="stable")
        found[name] = _named(name, part, classes, unit)
    return found, np.asarray(in_turn if unit.person else names)


def _named(method: str, part: pd.DataFrame, classes: tuple[str, ...], unit: Unit) -> Named:
    n = part["seed"].nunique()
    windows = part["window"].to_numpy().reshape(n, -1) if len(part) % n == 0 else None
    if windows is None or (windows != windows[0]).any() or len(set(windows[0])) < windows.shape[1]:
        raise ValueError(f"predictions of {method}: wanted every seed to name the same windows, "
                         f"each once over all folds; got {len(part)} rows of {n} seed(s) and "
                         f"{part['window'].nunique()} windows")
    one = part.iloc[: windows.shape[1]]
    if classes:
        said = part[[f"p_{name}" for name in classes]].to_numpy(float).reshape(n, -1, len(classes))
        target = one["label"].to_numpy(int)
        named = part["predicted"].to_numpy(int).reshape(n, -1)
    else:
        said = named = part["predicted"].to_numpy(float).reshape(n, -1)
        target = one["label"].to_numpy(float)
    if not (np.isfinite(said).all() and np.isfinite(target).all()):
        raise ValueError(f"predictions of {method}: wanted finite numbers, got infinite ones")
    subjects, recordings, folds, units = (
        one[name].to_numpy() for name in ("subject", "recording", "fold", unit.column))
    return Named(windows[0], target, said, named, subjects, recordings, folds, units, classes)


def merged(predictions: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """A row a subject, method and seed: mean of the probabilities (or numbers) of the windows.

    A subject's numbers (ages at several sessions) are averaged like the predictions. Raises
    ValueError where a subject has several classes: then windows are what is told apart.
    """
    labels = predictions.groupby("subject")["label"].nunique()
    if classes and (labels > 1).any():
        raise ValueError(
            f"per='subject' wants one label a subject; {labels.idxmax()} has {labels.max()}: "
            f"compare per='window'"
        )
    said = [f"p_{name}" for name in classes] or ["predicted"]
    rows = predictions.groupby(["method", "seed", "subject"], sort=False, as_index=False).agg(
        {**dict.fromkeys(said, "mean"), "label": "first" if classes else "mean",
         **({"seen_in_pretraining": "max"} if "seen_in_pretraining" in predictions else {})}
    )
    if classes:
        rows["predicted"] = np.array(classes)[rows[said].to_numpy().argmax(axis=1)]
    names = np.unique(rows["subject"].astype(str))
    rows["window"] = np.searchsorted(names, rows["subject"].astype(str))
    rows["recording"] = rows["subject"]
    return rows


def estimate(metric: Metric, method: Named, seed: int = 0) -> tuple[Estimate, int]:
    """(a metric with its interval over units and seeds, number of units it is a mean over).

    Over units that have every class, where at least half have; else 0 units: of all their windows
    together.
    """
    n = len(method.units)
    if not metric.pooled:
        whole = _with_every_class(method)
        if len(whole) >= max(2, n / 2):
            own = [np.flatnonzero(method.who == s) for s in whole]
            values = np.array([[_of_one(metric, method, said, rows) for rows in own]
                               for said in method.said])[..., None]
            return statistics.interval(values, seed=seed), len(whole)
    tables, everything = method.counted(metric), np.arange(len(method.windows))
    rough = np.mean([metric.compute(table.sum(axis=0)) for table in tables])
    mean = rough if metric.rough is None else np.mean(
        [_of_one(metric, method, said, everything) for said in method.said])
    # What rough tables lose to ties that are none is given back to their draws.
    again = drawn(metric, tables, seed) + (mean - rough)
    return Estimate(float(mean), *statistics.quantiles(again, n)), 0


def drawn(
    metric: Metric, tables: list[np.ndarray], seed: int = 0, training: int = 1
) -> np.ndarray:
    """A pooled metric of units and seeds drawn again, [draw]. tables: [unit, …] a seed. seed: of
    the units drawn, training: of the seeds drawn."""
    n = len(tables[0])
    draws = DRAWS // 2 if metric.rough else DRAWS
    units = statistics.resampled(n, draws, seed)
    seeds = statistics.resampled(len(tables), draws, training) / len(tables)
    total = np.zeros(draws)
    for weight, table in zip(seeds.T, tables, strict=True):
        again = (units @ table.reshape(n, -1)).reshape(draws, *table.shape[1:])
        total += weight * metric.compute(again)
    return total


def _with_every_class(method: Named) -> np.ndarray:
    has = np.zeros((len(method.units), len(method.classes)), dtype=bool)
    has[method.who, method.target] = True
    return np.flatnonzero(has.all(axis=1))


def _of_one(metric: Metric, method: Named, said: np.ndarray, rows: np.ndarray) -> float:
    target = method.target[rows]
    nobody = np.zeros(len(target), dtype=int)
    return float(metric.compute(metric.count(target, said[rows], nobody, 1)[0]))
