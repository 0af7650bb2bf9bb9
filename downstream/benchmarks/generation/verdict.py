"""Sentences about who is closest and who is worse than a linear model, from the numbers alone."""

import numpy as np
import pandas as pd

from neurofm.pages import words

from ...scoring import statistics
from .measured import OTHER, REAL
from .table import Judged, Measure


def closest(judged: Judged) -> str:
    """Which source is best on how many of the main measures; the ceiling does not take part."""
    sources = [name for name in judged.names if name not in (REAL, OTHER)]
    best: dict[str, list[str]] = {name: [] for name in sources}
    n = 0
    for measure in [m for m in judged.measures if m.main]:
        mean = {name: _mean(judged, name, measure) for name in sources}
        mean = {name: value for name, value in mean.items() if np.isfinite(value)}
        if not mean or len({round(value, 9) for value in mean.values()}) == 1:
            continue  # all alike: nobody is closest
        top = max(mean.values()) if measure.better == "high" else min(mean.values())
        for name, value in mean.items():
            if abs(value - top) < 1e-9:
                best[name].append(measure.short)
        n += 1
    order = sorted(sources, key=lambda name: -len(best[name]))
    parts = [f"{name} on {len(best[name])} ({', '.join(best[name])})" for name in order
             if best[name]]
    none = [name for name in order if not best[name]]
    text = f"Closest to the real second halves, by mean, of {n} measures: " + "; ".join(parts)
    return text + (f"; on none: {', '.join(none)}." if none else ".")


def beside(judged: Judged, models: list[str], baselines: list[str]) -> pd.DataFrame:
    """A row a model, baseline and main measure: both means, how much better the model is over
    people who have both, its interval, and what that says."""
    rows = []
    for model in models:
        for baseline in baselines:
            for measure in [m for m in judged.measures if m.main]:
                gain = _gain(judged, model, baseline, measure)
                if gain is not None:
                    said = ("better" if gain.low > 0 else "worse" if gain.high < 0
                            else "not told apart")
                    rows.append({"model": model, "baseline": baseline, "measure": measure.words,
                                 "of the model": cell(_mean(judged, model, measure)),
                                 "of the baseline": cell(_mean(judged, baseline, measure)),
                                 "better by": cell(gain.mean, gain.low, gain.high),
                                 "model is": said, "short": measure.short})
    return pd.DataFrame(rows)


def sentences(beside: pd.DataFrame) -> list[str]:
    """One for each model and baseline."""
    found: list[str] = []
    if beside.empty:
        return found
    for (model, baseline), rows in beside.groupby(["model", "baseline"], sort=False):
        parts = []
        for said in ("worse", "better", "not told apart"):
            some = rows.loc[rows["model is"] == said, "short"]
            how = said if said == "not told apart" else f"{said} than it"
            parts.append(f"{how} on {len(some)}"
                         + (f" ({', '.join(some)})" if len(some) else ""))
        found.append(f"{model} beside {baseline}: {'; '.join(parts)}.")
    return found


def doubts(judged: Judged, models: list[str]) -> list[str]:
    """What the reader must know before believing any of it."""
    found = []
    if judged.n_people < 3:
        found.append(f"{judged.n_people} of the at least 3 people that judges need which compare "
                     f"with others: there is no distance to others, no recognition and no p.")
    elif (least := statistics.least_p(judged.n_people)) > 0.05:
        found.append(f"{judged.n_people} people: intervals are wide, and no paired test of so few "
                     f"can reach p < {words.p_value(least)}.")
    if judged.n_channels < 3:
        found.append(f"{judged.n_channels} channel(s) in common: correlations of envelopes across "
                     f"channels need 3, so there are none.")
    for model in models:
        for measure in judged.measures:
            values = judged.of(model, measure.name)
            if len(values) and (lost := int((~np.isfinite(values)).sum())):
                found.append(f"{model}: no {measure.words} in {lost} of {len(values)} people.")
    return found


def shown(judged: Judged) -> pd.DataFrame:
    """The main measures of every source, for the terminal."""
    rows = judged.table.set_index("source")
    main = [m for m in judged.measures if m.main]
    return pd.DataFrame({"measure": [m.words for m in main], **{
        name: [cell(*(rows.at[name, f"{m.name}{end}"] for end in ("", "_low", "_high")))
               for m in main] for name in judged.names}})


def cell(mean: float, low: float = np.nan, high: float = np.nan) -> str:
    """Three significant digits: measures have different scales."""
    return words.estimate(mean, low, high, decimals=words.three_digits(mean))


def _mean(judged: Judged, source: str, measure: Measure) -> float:
    return float(judged.table.set_index("source").at[source, measure.name])


def _gain(
    judged: Judged, model: str, baseline: str, measure: Measure
) -> statistics.Estimate | None:
    """How much better the model is, over people who have both; None where fewer than two do."""
    found = difference(judged, model, baseline, measure)
    if found is None or measure.better == "high":
        return found and found[0]
    return statistics.Estimate(-found[0].mean, -found[0].high, -found[0].low)


def difference(
    judged: Judged, model: str, baseline: str, measure: Measure
) -> tuple[statistics.Estimate, float] | None:
    """(The model's value minus the baseline's, p), over people who have both; None where fewer than
    two do."""
    own, other = judged.of(model, measure.name), judged.of(baseline, measure.name)
    if len(own) != len(other) or not len(own):
        return None
    both = np.isfinite(own) & np.isfinite(other)
    if both.sum() < 2:
        return None
    return statistics.difference(own[both][None, :, None], other[both][None, :, None])
