"""What the judges say: a value for each person and measure, and means over people with intervals.

Every source is compared with the second real halves. Intervals are 95 % bootstrap intervals over
people (`scoring.statistics`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...scoring import envelopes, fingerprint, spectra, statistics
from .measured import REAL, Measured

LEAST_PEOPLE = 3  # for judges that need others
LEAST_CHANNELS = 3  # for judges of how channels hang together


@dataclass(frozen=True)
class Measure:
    """One number that is told of a source."""

    name: str
    words: str  # for people, with the unit
    better: str = ""  # "low", "high", or "" where neither is
    main: bool = False  # it says how close a source is

    @property
    def short(self) -> str:
        """The words without unit."""
        return self.words.split(", ")[0]

    @property
    def unit(self) -> str:
        """"" where there is none."""
        return self.words.partition(", ")[2]


@dataclass(frozen=True, eq=False)
class Judged:
    """Every measure of every person in every source."""

    values: pd.DataFrame  # a row a source, subject and judge (measure)
    table: pd.DataFrame  # a row a source
    measures: list[Measure]
    distances: dict[str, dict[str, Float[np.ndarray, "generated real"]]]  # judge → source → matrix
    names: list[str]  # of the sources, `REAL` first, the other half last
    n_people: int
    n_channels: int

    def of(self, source: str, judge: str) -> Float[np.ndarray, " person"]:
        """Values of the people, in their order; empty where the judge says nothing of a source."""
        rows = self.values[(self.values["source"] == source) & (self.values["judge"] == judge)]
        return rows["value"].to_numpy(float)


def measures(bands: list[str], n_channels: int) -> list[Measure]:
    """All that are told of a source, in the order of the page."""
    found = []
    for name, words, unit in (("psd_l2", "spectra (L2)", "dB"),
                              ("psd_cosine", "spectra (cosine)", "1 − cosine")):
        found += [Measure(name, f"{words}, {unit}", "low", True),
                  Measure(f"{name}_others", f"{words} to others, {unit}"),
                  Measure(f"{name}_difference", f"{words} others − own, {unit}", "high"),
                  Measure(f"{name}_top1", f"{words} nearest is own, share", "high")]
    for name, unit in (("rate", "1/s"), ("interval", "s"), ("lifetime", "ms")):
        found += [Measure(f"burst_{name}", f"burst {name}, {unit}"),
                  Measure(f"burst_{name}_error", f"burst {name} error, {unit}", "low", True)]
    for name, words in (("fingerprint", "fingerprint"),
                        ("fingerprint_single", "fingerprint of single channels")):
        main = name == "fingerprint"
        found += [Measure(name, f"{words}, 1 − r", "low", main),
                  Measure(f"{name}_others", f"{words} to others, 1 − r"),
                  Measure(f"{name}_top1", f"{words} nearest is own, share", "high", main)]
    if n_channels >= LEAST_CHANNELS:
        for band in bands:
            found += [Measure(f"envelope_{band}", f"{band} envelopes, r of matrices", "high", True),
                      Measure(f"envelope_{band}_mean", f"{band} envelopes, mean correlation")]
    return found


def judge(
    measured: dict[str, list[Measured]], people: list[str], bands: list[str], n_permutations: int,
    seed: int,
) -> Judged:
    """All judges of all sources."""
    real, n_channels = measured[REAL], len(measured[REAL][0].spectrum)
    rows: list = []
    extra: dict[str, dict] = {name: {} for name in measured}
    matrices: dict[str, Any] = {}
    for source, own in measured.items():
        each = _bursts(own, real, source)
        if source != REAL:
            apart = _distances(own, real)
            for name, distance in apart.items():
                matrices.setdefault(name, {})[source] = distance
                each[name] = np.diagonal(distance)
                if len(people) >= LEAST_PEOPLE:
                    said, p = _among_others(name, distance, n_permutations, seed)
                    each, extra[source] = each | said, extra[source] | {f"{name}_p": p}
        if n_channels >= LEAST_CHANNELS:
            said, of_group = _envelopes(own, real, bands, source)
            each, extra[source] = each | said, extra[source] | of_group
        rows += [{"source": source, "subject": person, "judge": name, "value": float(value)}
                 for name, values in each.items()
                 for person, value in zip(people, values, strict=True)]
    values = pd.DataFrame(rows)
    known = measures(bands, n_channels)
    table = _table(values, known, extra, measured)
    table["chance_top1"] = 1 / len(people) if len(people) >= LEAST_PEOPLE else np.nan
    return Judged(values, table, known, matrices, list(measured), len(people), n_channels)


def _distances(own: list[Measured], real: list[Measured]) -> dict[str, np.ndarray]:
    found = dict(zip(("psd_l2", "psd_cosine"),
                     spectra.distances(np.stack([x.spectrum for x in own]),
                                       np.stack([x.spectrum for x in real])), strict=True))
    for name, kind in (("fingerprint", "all"), ("fingerprint_single", "single")):
        found[name] = fingerprint.distances(np.stack([x.features[kind] for x in own]),
                                            np.stack([x.features[kind] for x in real]))
    return found


def _among_others(
    name: str, distance: np.ndarray, n_permutations: int, seed: int
) -> tuple[dict[str, np.ndarray], float]:
    """Distance to others, whether one's own is nearest, and p: for spectra of the mean distance,
    for fingerprints of the number recognized."""
    hits, others = fingerprint.hits(distance), fingerprint.others(distance)
    said = {f"{name}_others": others, f"{name}_top1": np.diagonal(hits)}
    if name.startswith("psd"):
        said[f"{name}_difference"] = others - np.diagonal(distance)
        return said, fingerprint.p_of_exchange(-distance, n_permutations, seed)
    return said, fingerprint.p_of_exchange(hits, n_permutations, seed)


def _bursts(own: list[Measured], real: list[Measured], source: str) -> dict[str, np.ndarray]:
    each = {}
    for name in own[0].bursts:
        values = np.array([x.bursts[name] for x in own])
        each[f"burst_{name}"] = values
        if source != REAL:
            each[f"burst_{name}_error"] = np.abs(values - [x.bursts[name] for x in real])
    return each


def _envelopes(
    own: list[Measured], real: list[Measured], bands: list[str], source: str
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """(of each person, of the mean matrices)."""
    each, of_group = {}, {}
    for band in bands:
        a, b = ([x.envelopes[band] for x in some] for some in (own, real))
        each[f"envelope_{band}_mean"] = np.array([envelopes.pairs(x).mean() for x in a])
        if source != REAL:
            each[f"envelope_{band}"] = np.array([envelopes.agreement(x, y)
                                                 for x, y in zip(a, b, strict=True)])
            of_group[f"envelope_{band}_group"] = envelopes.agreement(np.mean(a, axis=0),
                                                                     np.mean(b, axis=0))
    return each, of_group


def _table(
    values: pd.DataFrame, known: list[Measure], extra: dict[str, dict], measured: dict
) -> pd.DataFrame:
    rows = []
    for source, own in measured.items():
        row = {"source": source, "people": len(own),
               "seconds": float(np.mean([x.seconds for x in own]))}
        mine = values[values["source"] == source]
        for measure in known:
            found = interval(mine.loc[mine["judge"] == measure.name, "value"].to_numpy(float))
            row |= {measure.name: found.mean, f"{measure.name}_low": found.low,
                    f"{measure.name}_high": found.high}
        rows.append(row | extra[source])
    return pd.DataFrame(rows)


def interval(values: Float[np.ndarray, " person"]) -> statistics.Estimate:
    """Mean over people who have the value, with its interval; NaN without any."""
    values = values[np.isfinite(values)]
    if not len(values):
        return statistics.Estimate(np.nan, np.nan, np.nan)
    return statistics.interval(values[None, :, None])
