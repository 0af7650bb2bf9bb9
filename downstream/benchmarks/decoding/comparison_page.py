"""The page of a comparison: what was found, in a sentence; then figures, tables, how it was done.

Whatever wins is reported as winning, and what cannot be told apart is said not to be.
"""

from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import pandas as pd

from neurofm import artifacts
from neurofm.pages import page as report
from neurofm.pages import table as tables
from neurofm.pages import words
from neurofm.pages.page import Page

from ...scoring import statistics
from ...scoring.exchanges import FEW_LABELINGS
from ...scoring.metrics import BINS
from . import printed
from .comparison import Comparison
from .comparison_figures import TITLES

LEVEL = 1 - statistics.LEVEL


@dataclass(frozen=True)
class About:
    """What the page tells besides the numbers."""

    title: str
    question: str = ""  # what is asked, in plain words
    model: str = ""  # model, parents: what was judged, fingerprints of it
    parents: dict[str, str] = field(default_factory=dict)
    # protocol, split: lines of how it was trained and on whom
    protocol: list[str] = field(default_factory=list)
    split: list[str] = field(default_factory=list)
    # what was done to signals, in pairs
    contract: list[tuple[str, str]] = field(default_factory=list)
    probe: list[str] = field(default_factory=list)  # lines on how well the person is recognized
    attribution: tuple[Path, str] | None = None  # (PNG, caption)
    curves: pd.DataFrame | None = None  # table of method, shots, mean, low, high
    # what the model knows besides the task, (heading, PNG, caption)
    learned: list[tuple[str, Path, str]] = field(default_factory=list)
    covariates: pd.DataFrame | None = None  # see `covariates.table`
    unit: str = ""  # of the numbers predicted, such as "years"


def finding(result: Comparison) -> str:
    """What was found, in a sentence or three."""
    best, score = result.best, TITLES[result.score]
    row = result.row(best)
    n, unit = int(row["units"]), result.unit
    is_network = best in result.networks
    word = _kind(result, best)
    said = (f"Best is {best} ({word}): {score} {_of_row(row, result)} over "
            f"{unit.counted(n)}")
    if result.classes:
        said += f", where chance is {words.number(row['chance'])}"
    else:
        by_chance = words.estimate(row["chance"])
        said += f", where exchanged numbers give {by_chance}"
    said += (f" ({words.p_is(row['p_chance'])} of chance{_at_least(row)})."
             if row["labelings"] else " (no p value against chance).")
    other = result.best_baseline if is_network else result.best_network
    if other is None:
        return said
    if is_network:
        gap = result.row(best)  # corrected for all the differences to the best baseline
        found = gap["difference"], gap["difference_low"], gap["difference_high"], gap["p_holm"]
        which = f"the best baseline, {other}"
    else:
        gap = result.row(other)
        found = -gap["difference"], -gap["difference_high"], -gap["difference_low"], gap["p_holm"]
        which = f"the best {_kind(result, other)}, {other}"
    mean, low, high, p = found
    if mean != mean:
        return f"{said} It shares no test window with {which}."
    note = "" if result.classes else " (negative: a smaller error)"
    said += (f" Its difference from {which}, is "
             f"{words.estimate(mean, low, high, signed=True)}{note}: ")
    # "Told apart" needs both, so that neither a lucky test nor a lucky interval is enough.
    if p < LEVEL and (low > 0 or high < 0):
        return f"{said}the difference is significant ({words.p_is(p)}, Holm-corrected)."
    said += f"the difference is not significant ({words.p_is(p)}, Holm-corrected"
    least = statistics.least_p(n)
    return f"{said}; with {unit.counted(n)} no p can be below {words.p_value(least)})." \
        if least >= LEVEL else f"{said})."


def _kind(result: Comparison, method: str) -> str:
    """Such as "network"."""
    kind = result.row(method)["kind"]
    return "automatic decoder" if kind == "automatic" else kind


def page(result: Comparison, about: About, out: Path) -> Page:
    """The page. out: where the figures lie; those that are there are put in."""
    figures = {path.name: path for path in Path(out).glob("*.png")}
    version = artifacts.code_version()
    what = f"Model {about.model}. " if about.model else ""
    line = f"{what}Made with neurofm {version['neurofm']}"
    parents = [(f"Fingerprint of the {name}", value) for name, value in about.parents.items()]
    return Page(about.title, line, [
        ("", _lead(result, about)),
        ("Scores", _figure(figures, "comparison.png",
                           f"Scores of each method and {result.unit.one}",
                           _caption_compared(result))
         + tables.folded(printed.shown(result), 14)
         + report.paragraph(_reading_the_table(result, about), "small")),
        ("Differences between methods", _differences(result, figures)),
        ("Other metrics", _secondary(result, about)),
        *_of_windows(result),
        ("Calibration", _figure(
            figures, "calibration.png", "Calibration", _caption_calibration(result))),
        ("Confusion matrices", _figure(
            figures, "confusion.png", "Confusion matrices",
            "Rows are true classes and add up to 1; in brackets the number of "
            f"{result.per}s (mean over seeds). First the best network, then the best baseline. The "
            "diagonal is each class's recall over all of them together, so its mean can differ "
            f"a little from the score above, where {result.unit.many} weigh alike.")),
        ("What was predicted", _figure(
            figures, "numbers.png", "Predicted against true numbers",
            f"One dot per {result.per}; dashed line: correct prediction. A flatter slope means "
            "predictions shrunk toward the mean of the training subjects.")),
        ("Learning curves: a few labeled examples of a new subject", _curves(about, figures)),
        ("Attribution: sensors and frequencies", "" if about.attribution is None
         else report.figure(*_attribution(about))),
        ("Covariates", _covariates(about)),
        *((heading, report.figure(path, heading, caption))
          for heading, path, caption in about.learned),
        ("Subject identification", report.bullets(about.probe) if about.probe else ""),
        ("Subjects", report.bullets(about.split)
         if about.split else ""),
        ("Methods", report.bullets([*about.protocol, *_method(result)])),
        ("Preprocessing", tables.pairs(about.contract) if about.contract else ""),
        ("Inputs", tables.pairs([
            ("Methods", ", ".join(result.table["method"])), *parents])),
    ])


def _lead(result: Comparison, about: About) -> str:
    made = ""
    if about.question:
        made += report.paragraph(about.question)
    return made + report.paragraph(finding(result), "lead")


def _figure(figures: dict[str, Path], name: str, alt: str, caption: str) -> str:
    return report.figure(figures[name], alt, caption) if name in figures else ""


def _curves(about: About, figures: dict[str, Path]) -> str:
    if about.curves is None or not len(about.curves):
        return ""
    made = _figure(figures, "curves.png", "Score against number of labeled examples",
                   "Mean over test subjects; bars: 95 % intervals over subjects. 0: no example "
                   "of the subject. Bars are shifted sideways for legibility.")
    table = about.curves
    out = pd.DataFrame({"method": table["method"], "examples a class": table["shots"],
                        "score [95 %]": tables.estimates(table, "mean", "low", "high")})
    if "gain" in table:
        out["pretrained minus this [95 %]"] = tables.estimates(
            table, "gain", "gain_low", "gain_high", signed=True)
    return made + tables.folded(out, 10)


def _covariates(about: About) -> str:
    if about.covariates is None or not len(about.covariates):
        return ""
    return tables.html(about.covariates, dense=True) + report.paragraph(
        "r is Spearman's, of a method's answers and the covariate among people of one label "
        "(of the label itself: of all people): 0 where predictions do not depend on it. "
        "low_half and high_half are the score in people below and above the covariate's median.",
        "small")


def _attribution(about: About) -> tuple[Path, str, str]:
    assert about.attribution is not None
    path, caption = about.attribution
    return path, "Relevance of sensors and frequencies", caption


def _caption_compared(result: Comparison) -> str:
    several, unit = (result.table["seeds"] > 1).any(), result.unit
    return (f"Methods, best first. Large marks: {TITLES[result.score]} with its 95 % interval "
            f"over {unit.many}{(' and seeds' if several else '')}. Small marks: one "
            f"{('' if unit.person else 'test ')}{unit.one} "
            f"each{(' (mean over seeds)' if several else '')}; a thin line follows a {unit.one} "
            f"from method to method: parallel lines mean that {unit.many} differ more than "
            "methods. Overlapping intervals do not mean equal methods: see the paired "
            "differences.")


def _caption_calibration(result: Comparison) -> str:
    return (f"Above: share of correct {result.per}s at a given predicted probability. On the "
            "dashed line probabilities are calibrated; below it the method is overconfident, "
            f"above it underconfident. Bars: 95 % intervals over {result.unit.many}. Below: "
            f"number of {result.per}s (mean over seeds). error: mean distance from the line, "
            f"weighted by number ({BINS} bins).")


def _reading_the_table(result: Comparison, about: About) -> str:
    each, unit = result.table.iloc[0], result.unit
    of = f", in {about.unit}" if about.unit else ""
    which = (f"other {unit.many} of this subject" if unit.person
             else "other people of this kind")
    scale = " (0 to 1, more is better)" if result.classes else " (less is better)"
    text = (f"{TITLES[result.score].capitalize()}{of}{scale}; "
            f"in brackets: 95 % interval for {which}. ")
    if each["labelings"]:
        text += ("Chance: the same predictions scored with labels permuted between "
                 f"{each['exchanged']} ({printed.ways(each)}); in brackets their 95 % range; p "
                 "of chance: share of permutations that score as well (per method, not "
                 "corrected).")
    else:
        text += ("Chance: score of predictions that ignore the label. No labels can be "
                 "permuted here, so there is no p of chance (see below).")
    if "difference" in result.table:
        text += (f" To best baseline: this method minus the best baseline, {unit.one} by "
                 f"{unit.one}{'' if result.classes else ' (negative: a smaller error)'}; p by "
                 f"exchanging the two methods within {unit.many}, Holm-corrected for the number of "
                 f"methods compared.")
    return text


def _differences(result: Comparison, figures: dict[str, Path]) -> str:
    if not len(result.differences):
        return ""
    made, unit = "", result.unit
    if result.ranks is not None:
        p = result.ranks.p
        friedman = "" if p != p else (
            f" Friedman test of equal ranks: {words.p_is(p)}.")
        how = f"Wilcoxon signed ranks over {unit.many}, Holm-corrected over all pairs"
        told = (f"Black bars join methods that do not differ significantly ({how}, p ≥ 0.05)."
                if result.alike else
                f"All methods differ significantly ({how}, p < 0.05): there are no bars.")
        made += _figure(figures, "ranks.png", "Average ranks of the methods",
                        f"Mean rank of each method over {unit.one}s, best on the left. "
                        f"{told}{friedman}")
    pairs = {frozenset(pair) for pair in zip(result.differences["method"],
                                             result.differences["other"], strict=True)}
    table = pd.DataFrame([result.difference(*pair) for pair in combinations(result.by_score, 2)
                          if frozenset(pair) in pairs])
    out = pd.DataFrame({
        "method": table["method"], "minus": table["other"],
        f"difference of {TITLES[result.score]} [95 %]": tables.estimates(
            table, "difference", "difference_low", "difference_high", signed=True),
    })
    if "difference_r" in table:
        out["difference of r [95 %]"] = tables.estimates(
            table, "difference_r", "difference_r_low", "difference_r_high", signed=True)
    for test in ("permutation", "wilcoxon"):
        out[f"p {test}"] = table[f"p_{test}"].map(words.p_value)
        corrected = table[f"p_{test}_holm"].map(words.p_value)
        out["(Holm)" if test == "permutation" else "(Holm) "] = corrected
    least, most = table["units"].min(), table["units"].max()
    over = unit.counted(most) if least == most else f"{least} to {unit.counted(most)}"
    return made + tables.folded(out, 10) + report.paragraph(
        f"Every pair, on the windows that both decoded ({over}). p permutation: the two methods "
        f"exchanged within {unit.many}; p Wilcoxon: signed ranks of the differences; (Holm): "
        f"corrected for all {len(table)} pairs. Full table: differences.tsv.",
        "small")


def _secondary(result: Comparison, about: About) -> str:
    table = result.table.set_index("method").loc[result.by_score].reset_index()
    out = pd.DataFrame({"method": table["method"]})
    over: dict[int, list[str]] = {}
    many = result.unit.many
    for name, metric in result.secondary.items():
        arrow = "↑" if metric.better > 0 else "↓"
        unit = f" ({metric.unit})" if metric.unit else ""
        out[f"{metric.title}{unit}\u00a0{arrow}"] = tables.estimates(
            table, name, f"{name}_low", f"{name}_high")
        over.setdefault(int(table[f"{name}_subjects"].iloc[0]), []).append(metric.title)
    lines = []
    for n, titles in over.items():
        lines.append(f"{', '.join(titles)}: " + (
            f"mean over the {n} {many} that have every class" if n else
            f"of all test {result.per}s together"
            f"{'' if result.classes else f', {many} weighing alike'}"))
    extra = "" if result.classes else (
        f" R² below 0: worse than predicting the mean of the test {many}.")
    if result.classes:
        extra += (" Intervals of the calibration error are biased upward by resampling.")
    return tables.folded(out, 14) + report.paragraph(
        f"↑ more is better, ↓ less is better; brackets: 95 % intervals over {many} and seeds. "
        f"{'. '.join(lines)}.{extra}", "small")


def _of_windows(result: Comparison) -> list[tuple[str, str]]:
    if result.by_window is None:
        return []
    one = result.by_window
    return [("Scored window by window", tables.folded(printed.shown(one), 14) + report.paragraph(
        "The same predictions with every window scored by itself instead of the mean over a "
        "subject's windows; intervals and chance still over subjects. Secondary: the question "
        "is asked per subject.", "small"))]


def _method(result: Comparison) -> list[str]:
    lines, many = [], result.unit.many
    if result.per == "subject":
        lines.append("Probabilities of a subject's windows were averaged, so a subject has one "
                     "prediction." if result.classes else
                     "Predictions of a subject's windows were averaged, so a subject has one.")
    if result.classes:
        lines.append(f"Balanced accuracy: mean over classes of the mean over test {many} (that "
                     f"have the class) of their recall, mean over seeds.")
    else:
        lines.append(f"Mean absolute error: mean over test {many} of the mean over their windows, "
                     f"mean over seeds.")
    lines += [
        f"Intervals: {many} and training seeds resampled with replacement, independently, 2,000 "
        f"times; wider quantiles than 2.5 % for few {many} (expanded percentiles, Hesterberg "
        "2015). Windows are not resampled: those of one "
        f"{('stretch of time' if result.unit.person else 'person')} are not independent.",
        f"Chance: labels permuted between {result.table['exchanged'].iloc[0]}, the largest "
        f"exchangeable units; {printed.ways(result.table.iloc[0])}."
        if result.table["labelings"].iloc[0] else
        "Chance: score of predictions that ignore the label; no labels could be permuted.",
        "The best baseline was selected by its test score, which favors it.",
    ]
    return lines


def _of_row(row: pd.Series, result: Comparison) -> str:
    text = words.estimate(row[result.score], row["low"], row["high"])
    return text if "[" in text else f"{text} (no interval from one subject)"


def _at_least(row: pd.Series) -> str:
    ways = int(row["labelings"])
    return f", the least that {ways} exchanges allow" \
        if ways < FEW_LABELINGS and abs(row["p_chance"] - 1 / ways) < 1e-9 else ""
