"""Scores of all methods: of each scan and region, of each region, of each method.

Intervals are over subjects (a subject's scans are averaged first) and training seeds, as everywhere
(`scoring.statistics`); surrogates tell whether a region is predicted at all.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...scoring import series as metrics
from ...scoring import statistics, surrogates
from ...scoring.series import Series
from ...scoring.statistics import mean
from ...scoring.surrogates import Null

SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class Scores:
    """Of one method, by seed and scan."""

    r: Float[np.ndarray, "seed scan roi"]
    lagged: Float[np.ndarray, "seed scan lag roi"]  # R at `metrics.LAGS_S`
    coherence: Float[np.ndarray, "seed scan roi"]
    fc: Float[np.ndarray, "seed scan"]  # similarity of the matrices of correlations
    unrelated_coherence: Float[np.ndarray, " roi"]  # of moved predictions
    moved: Null
    others: Null

    @property
    def over_lags(self) -> Float[np.ndarray, " lag"]:
        """Mean r over seeds, scans and regions."""
        return mean(mean(mean(self.lagged)).T)

    @property
    def best_lag_s(self) -> Float[np.ndarray, " roi"]:
        """Lag at which the mean r over scans and seeds is largest; NaN where there is none."""
        return best_lag(mean(mean(self.lagged)))[0]


def best_lag(
    lagged: Float[np.ndarray, "lag roi"]
) -> tuple[Float[np.ndarray, " roi"], Float[np.ndarray, " roi"]]:
    """(lag in seconds, r) where r is largest; NaN where there is none. Of equals the one nearest
    to 0."""
    nearest = np.argsort(np.abs(metrics.LAGS_S), kind="stable")
    known = np.isfinite(lagged).any(axis=0)
    filled = np.where(np.isfinite(lagged), lagged, -np.inf)[nearest]
    at = np.argmax(filled, axis=0)
    lag = np.array(metrics.LAGS_S, dtype=float)[nearest][at]
    return np.where(known, lag, np.nan), np.where(known, filled.max(axis=0), np.nan)


def score(scans: list[Series], method: str, draws: int, seed: int) -> Scores:
    """All that is said of a method."""
    def each(measure):
        seeds = range(len(scans[0].predicted[method]))
        return np.array([[measure(one.predicted[method][k], one) for one in scans] for k in seeds])

    def fc(predicted: np.ndarray, one: Series) -> float:
        return metrics.similarity(metrics.connectivity(predicted),
                                  metrics.connectivity(one.measured))

    return Scores(
        each(lambda x, one: metrics.pearson(x, one.measured)),
        each(lambda x, one: metrics.lagged(x, one.measured, one.t_r)),
        each(lambda x, one: metrics.coherence(x, one.measured, one.t_r)),
        each(fc),
        surrogates.moved_coherence(scans, method, seed),
        surrogates.moved(scans, method, draws, seed),
        surrogates.others(scans, method, draws, seed + 1),
    )


def of_subjects(
    values: Float[np.ndarray, "seed scan *more"], subjects: list[str]
) -> Float[np.ndarray, "seed subject *more"]:
    """Mean over the scans of each subject, in the order of their names."""
    who = np.array(subjects)
    return np.stack([mean(np.moveaxis(values[:, who == name], 1, 0))
                     for name in sorted(set(subjects))], axis=1)


def scan_table(
    scans: list[Series], scores: dict[str, Scores], regions: list[str]
) -> pd.DataFrame:
    """A row a method, seed, scan and region."""
    parts = []
    for method, found in scores.items():
        for seed, k in np.ndindex(found.r.shape[:2]):
            lag_s, top = best_lag(found.lagged[seed, k])
            parts.append(pd.DataFrame({
                "method": method, "seed": seed, "scan": scans[k].name,
                "subject": scans[k].subject, "region": regions, "r": found.r[seed, k],
                "coherence": found.coherence[seed, k],
                "best_lag_s": lag_s, "r_at_best_lag": top,
            }))
    return pd.concat(parts, ignore_index=True)


def fc_table(
    scans: list[Series], scores: dict[str, Scores], reference: Float[np.ndarray, "roi roi"]
) -> pd.DataFrame:
    """A row a method, seed and scan; and of the mean matrix of training scans, which knows no
    EEG."""
    rows = [{"method": method, "seed": seed, "scan": scans[k].name, "subject": scans[k].subject,
             "fc_similarity": found.fc[seed, k]}
            for method, found in scores.items() for seed, k in np.ndindex(found.fc.shape)]
    rows += [{"method": "mean of training scans", "seed": 0, "scan": one.name,
              "subject": one.subject,
              "fc_similarity": metrics.similarity(reference, metrics.connectivity(one.measured))}
             for one in scans]
    return pd.DataFrame(rows)


def region_table(
    scans: list[Series], scores: dict[str, Scores], regions: list[str],
    ceilings: dict[str, Float[np.ndarray, "scan roi"]],
) -> pd.DataFrame:
    """A row a method and region: r with its interval over subjects, and both surrogates."""
    subjects, parts = [one.subject for one in scans], []
    for method, found in scores.items():
        each = of_subjects(found.r, subjects)
        of = [_interval(each[..., k : k + 1]) for k in range(len(regions))]
        columns: dict[str, Any] = {
            "method": method, "region": regions, "r": [e.mean for e in of],
            "low": [e.low for e in of], "high": [e.high for e in of],
        }
        for name, null in (("moved", found.moved), ("others", found.others)):
            if len(null.drawn):
                middle, top = np.quantile(null.drawn, [0.5, 0.95], axis=0)
                columns |= {f"{name}_median": middle, f"{name}_95": top}
            columns |= {f"p_{name}": null.p, f"p_{name}_holm": null.holm, f"q_{name}": null.q}
        columns |= {"best_lag_s": found.best_lag_s, "coherence": mean(mean(found.coherence)),
                    "coherence_unrelated": found.unrelated_coherence}
        for name, values in ceilings.items():
            top = mean(of_subjects(values[None], subjects)[0])
            columns |= {name: top, f"of_{name}": np.where(top > 0.05, columns["r"] / top, np.nan)}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def method_table(
    scans: list[Series], scores: dict[str, Scores],
    ceilings: dict[str, Float[np.ndarray, "scan roi"]], first: str,
) -> pd.DataFrame:
    """A row a method. first: the method from which the others are subtracted."""
    subjects, rows = [one.subject for one in scans], []
    r = {name: of_subjects(found.r, subjects) for name, found in scores.items()}
    for method, found in scores.items():
        whole = _interval(r[method])
        row = {"method": method, "seeds": len(found.r), "scans": len(scans),
               "subjects": len(set(subjects)), "regions": len(found.r[0, 0]), "r": whole.mean,
               "low": whole.low, "high": whole.high}
        for name in ("moved", "others"):
            null = getattr(found, name)
            row[f"significant_{name}"] = (int((null.holm < SIGNIFICANT).sum())
                                          if null.can_reach(SIGNIFICANT) else None)
        for name, values in (("coherence", found.coherence), ("fc", found.fc[..., None])):
            of = _interval(of_subjects(values, subjects))
            row |= {name: of.mean, f"{name}_low": of.low, f"{name}_high": of.high}
        row["coherence_unrelated"] = float(mean(found.unrelated_coherence))
        row["best_lag_s"] = float(best_lag(found.over_lags[:, None])[0][0])
        for name, values in ceilings.items():
            row[f"of_{name}"] = whole.mean / float(np.nanmean(mean(values)))
        if method != first:
            difference, p = statistics.difference(r[first], r[method])
            row |= {"difference": difference.mean, "difference_low": difference.low,
                    "difference_high": difference.high, "difference_p": p}
        rows.append(row)
    return pd.DataFrame(rows)


def mean_connectivity(measured: list[np.ndarray]) -> Float[np.ndarray, "roi roi"]:
    """Mean over scans of their regions' correlations."""
    return mean(np.stack([metrics.connectivity(one) for one in measured]))


def _interval(values: np.ndarray) -> statistics.Estimate:
    """Of [seed, subject, region]; NaN where nothing is known."""
    if not np.isfinite(values).any():
        return statistics.Estimate(np.nan, np.nan, np.nan)
    return statistics.interval(values)
