"""The page of a comparison: what was found, in a sentence; then figures, tables, how it was done.

Whatever wins is reported as winning, and what cannot be told apart is said not to be.
"""

import time
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import pandas as pd

from neurofm import artifacts

from .. import report
from . import statistics
from .comparison import Comparison
from .comparison_figures import TITLES
from .exchanges import FEW_LABELLINGS
from .metrics import BINS

LEVEL = 1 - statistics.LEVEL


@dataclass(frozen=True)
class About:
    """What the page tells besides the numbers.

    question: what is asked, in plain words. model, parents: what was judged, fingerprints of it.
    protocol, split: lines of how it was trained and on whom. remarks: what a reader must know,
    said before the comparison's own notes. contract: what was done to signals, in pairs. probe:
    lines on how well the person is recognised. attribution: (PNG, caption). curves: table of
    method, shots, mean, low, high. unit: of the numbers predicted, such as "years".
    """

    title: str
    question: str = ""
    model: str = ""
    parents: dict[str, str] = field(default_factory=dict)
    protocol: list[str] = field(default_factory=list)
    split: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    contract: list[tuple[str, str]] = field(default_factory=list)
    probe: list[str] = field(default_factory=list)
    attribution: tuple[Path, str] | None = None
    curves: pd.DataFrame | None = None
    unit: str = ""


def finding(result: Comparison) -> str:
    """What was found, in a sentence or three."""
    best, score = result.best, TITLES[result.score]
    row = result.row(best)
    n = int(row["subjects"])
    is_network = best in result.networks
    word = "network" if is_network else "baseline"
    said = (f"Best is {best} ({word}): {score} {_of_row(row, result)} over {n} test "
            f"subject{'s' * (n != 1)}")
    if result.classes:
        said += f", where chance is {_number(row['chance'])}"
    else:
        said += f", where exchanged numbers give {_estimate(row['chance'], *[float('nan')] * 2)}"
    said += f" (p of chance {_is(row['p_chance'])}{_at_least(row)})."
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
        which = f"the best network, {other}"
    mean, low, high, p = found
    if mean != mean:
        return f"{said} It has no test window in common with {which}."
    said += (f" Its difference to {which}, is {_estimate(mean, low, high, signed=True)}"
             f"{'' if result.classes else ' (negative: a smaller error)'}: ")
    # "Told apart" needs both, so that neither a lucky test nor a lucky interval is enough.
    if p < LEVEL and (low > 0 or high < 0):
        return f"{said}they are told apart (p {_is(p)}, Holm-corrected)."
    said += f"they are not told apart (p {_is(p)}, Holm-corrected"
    least = statistics.least_p(n)
    return f"{said}; with {n} subjects no p can be below {_p(least)})." if least >= LEVEL \
        else f"{said})."


def shown(result: Comparison) -> pd.DataFrame:
    """The table as people read it, best first: an estimate and its interval in one cell."""
    table = result.table.set_index("method").loc[result.by_score].reset_index()
    few = table["labellings"] < FEW_LABELLINGS
    out = pd.DataFrame({
        "method": table["method"], "kind": table["kind"], "seeds": table["seeds"],
        "subjects": table["subjects"],
        f"{TITLES[result.score]} [95 %]": _cells(table, result.score, "low", "high"),
        # A range of a handful of values would be the score itself: left out.
        "by chance": _cells(table.assign(chance_low=table["chance_low"].mask(few)), "chance",
                            "chance_low", "chance_high"),
        "p of chance": table["p_chance"].map(_p),
    })
    if "difference" in table:
        out["to best baseline [95 %]"] = _cells(
            table, "difference", "difference_low", "difference_high", True)
        out["p (Holm)"] = [
            ("best baseline" if name == result.best_baseline else "–") if p != p else _p(p)
            for name, p in zip(table["method"], table["p_holm"], strict=True)
        ]
    return out


def page(result: Comparison, about: About, figures: dict[str, Path]) -> str:
    """The page as HTML. figures: file name → where it is; those that are there are put in."""
    version = artifacts.code_version()
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    what = f"Model {about.model}. " if about.model else ""
    line = f"{what}Made {made} with neurofm {version['neurofm']}"
    parents = [(f"Fingerprint of the {name}", value) for name, value in about.parents.items()]
    return report.page(about.title, line, [
        ("", _lead(result, about)),
        ("Scores", _figure(figures, "comparison.png", "Scores of each method and subject",
                           _caption_compared(result))
         + _folded(shown(result), 14)
         + report.paragraph(_reading_the_table(result, about), "small")),
        ("To be kept in mind", report.bullets([*about.remarks, *result.notes])
         if about.remarks or result.notes else ""),
        ("Which methods are told apart", _differences(result, figures)),
        ("Other metrics", _secondary(result, about)),
        *_of_windows(result),
        ("How far probabilities can be taken at their word", _figure(
            figures, "calibration.png", "Calibration", _caption_calibration(result))),
        ("What is taken for what", _figure(
            figures, "confusion.png", "Confusion matrices",
            "Rows are true classes and add up to 1; in brackets the number of "
            f"{result.per}s (mean over seeds). First the best network, then the best baseline. The "
            "diagonal is each class's recall over all of them together, so its mean can differ "
            "a little from the score above, where subjects weigh alike.")),
        ("What was predicted", _figure(
            figures, "numbers.png", "Predicted against true numbers",
            f"A dot a {result.per}; on the dashed line the prediction is right. Dots along a "
            f"flatter line than it mean predictions drawn towards the middle of the training "
            f"people.")),
        ("With a few labelled examples of a new person", _curves(about, figures)),
        ("Where on the head, and at which frequencies", "" if about.attribution is None
         else report.figure(*_attribution(about))),
        ("Is the person recognised?", report.bullets(about.probe) if about.probe else ""),
        ("Who was trained on and who was judged", report.bullets(about.split)
         if about.split else ""),
        ("How it was done", report.bullets([*about.protocol, *_method(result)])),
        ("What was done to the signals", report.pairs(about.contract) if about.contract else ""),
        ("What was compared", report.pairs([
            ("Methods", ", ".join(result.table["method"])), *parents])),
    ])


def _lead(result: Comparison, about: About) -> str:
    made = ""
    if result.leaked:
        names = ", ".join(result.leaked[:8]) + (", …" if len(result.leaked) > 8 else "")
        made += report.paragraph(
            f"LEAK: {len(result.leaked)} of {len(result.people)} test subjects ({names}) were in "
            f"the training data of the model. Scores of networks below are not of unseen people, "
            f"and no network may be called better on the ground of this page (column "
            f"seen_in_pretraining of predictions.parquet).", "leak")
    if about.question:
        made += report.paragraph(about.question)
    return made + report.paragraph(finding(result), "lead")


def _figure(figures: dict[str, Path], name: str, alt: str, caption: str) -> str:
    return report.figure(figures[name], alt, caption) if name in figures else ""


def _curves(about: About, figures: dict[str, Path]) -> str:
    if about.curves is None or not len(about.curves):
        return ""
    made = _figure(figures, "curves.png", "Score against number of labelled examples",
                   "Mean over test subjects; bars are 95 % intervals over subjects. 0: no example "
                   "of this person. Bars stand a little beside each other so that all are seen.")
    table = about.curves
    out = pd.DataFrame({"method": table["method"], "examples a class": table["shots"],
                        "score [95 %]": _cells(table, "mean", "low", "high")})
    if "gain" in table:
        out["pretrained minus this [95 %]"] = _cells(table, "gain", "gain_low", "gain_high", True)
    return made + _folded(out, 10)


def _attribution(about: About) -> tuple[Path, str, str]:
    path, caption = about.attribution
    return path, "Relevance of sensors and frequencies", caption


def _caption_compared(result: Comparison) -> str:
    several = (result.table["seeds"] > 1).any()
    return (f"Methods, best first. Large marks: {TITLES[result.score]} with its 95 % interval over "
            f"subjects{' and seeds' if several else ''}. Small marks: one test subject each"
            f"{' (mean over seeds)' if several else ''}; a thin line follows a person from method "
            f"to method: parallel lines mean that people differ more than methods do. Intervals "
            f"that overlap do not mean that methods are alike: see the paired differences.")


def _caption_calibration(result: Comparison) -> str:
    return (f"Above: of the {result.per}s that a method names with a given probability, the share "
            f"that it names rightly. On the dashed line probabilities mean what they say; below it "
            f"the method is too sure of itself, above it not sure enough. Bars: 95 % intervals "
            f"over subjects. Below: how many {result.per}s there are (mean over seeds). error: "
            f"mean distance to the line, weighed by number ({BINS} bins).")


def _reading_the_table(result: Comparison, about: About) -> str:
    each = result.table.iloc[0]
    unit = f", in {about.unit}" if about.unit else ""
    text = (f"{TITLES[result.score].capitalize()}{unit}"
            f"{' (0 to 1, more is better)' if result.classes else ' (less is better)'}; in "
            f"brackets the range that holds the value for other people of this kind in 95 of 100 "
            f"such studies. By chance: the same predictions scored with labels exchanged between "
            f"{each['exchanged']} ({_ways(each)}); in brackets their 95 % range; p of chance: "
            f"share of exchanges that score as well (each method for itself, not corrected).")
    if "difference" in result.table:
        text += (" To best baseline: this method minus the best baseline, person by person"
                 f"{'' if result.classes else ' (negative: a smaller error)'}; p by exchanging the "
                 "two methods within subjects, Holm-corrected for the number of methods compared.")
    return text


def _ways(row: pd.Series) -> str:
    n = int(row["labellings"])
    if n < 10**15:
        how = "all gone through" if n <= 2000 else "1,000 drawn"
        return f"{n:,} ways, {how}"
    return "more ways than could be counted, 1,000 drawn"


def _differences(result: Comparison, figures: dict[str, Path]) -> str:
    if not len(result.differences):
        return ""
    made = ""
    if result.ranks is not None:
        p = result.ranks.p
        friedman = "" if p != p else (
            f" That all methods rank alike has p {_is(p)} (Friedman).")
        told = ("Black bars join methods that are not told apart (Wilcoxon signed ranks over "
                "subjects, Holm-corrected over all pairs, p ≥ .05)." if result.alike else
                "All methods are told apart (Wilcoxon signed ranks over subjects, Holm-corrected "
                "over all pairs, p < .05), so no bar joins any.")
        made += _figure(figures, "ranks.png", "Average ranks of the methods",
                        f"For each subject the methods are ranked; here are the mean ranks, best "
                        f"to the left. {told}{friedman}")
    pairs = {frozenset(pair) for pair in zip(result.differences["method"],
                                             result.differences["other"], strict=True)}
    table = pd.DataFrame([result.difference(*pair) for pair in combinations(result.by_score, 2)
                          if frozenset(pair) in pairs])
    out = pd.DataFrame({
        "method": table["method"], "minus": table["other"],
        f"difference of {TITLES[result.score]} [95 %]": _cells(
            table, "difference", "difference_low", "difference_high", True),
    })
    if "difference_r" in table:
        out["difference of r [95 %]"] = _cells(
            table, "difference_r", "difference_r_low", "difference_r_high", True)
    for test in ("permutation", "wilcoxon"):
        out[f"p {test}"] = table[f"p_{test}"].map(_p)
        out["(Holm)" if test == "permutation" else "(Holm) "] = table[f"p_{test}_holm"].map(_p)
    least, most = table["subjects"].min(), table["subjects"].max()
    over = f"{most}" if least == most else f"{least} to {most}"
    return made + _folded(out, 10) + report.paragraph(
        f"Every pair on the windows that both named ({over} test subjects). p permutation: the "
        f"two methods exchanged within subjects; p Wilcoxon: signed ranks of the subjects' "
        f"differences; (Holm): corrected for all {len(table)} pairs. All of it: differences.tsv.",
        "small")


def _secondary(result: Comparison, about: About) -> str:
    table = result.table.set_index("method").loc[result.by_score].reset_index()
    out = pd.DataFrame({"method": table["method"]})
    over = {}
    for name, metric in result.secondary.items():
        arrow = "↑" if metric.better > 0 else "↓"
        unit = f" ({metric.unit})" if metric.unit else ""
        out[f"{metric.title}{unit}\u00a0{arrow}"] = _cells(
            table, name, f"{name}_low", f"{name}_high")
        over.setdefault(int(table[f"{name}_subjects"].iloc[0]), []).append(metric.title)
    lines = []
    for n, titles in over.items():
        lines.append(f"{', '.join(titles)}: " + (
            f"mean over the {n} subjects who have every class" if n else
            f"of all test {result.per}s together"
            f"{'' if result.classes else ', subjects weighing alike'}"))
    extra = "" if result.classes else (
        " R² below 0: the mean of the test subjects' own numbers would have been closer.")
    if result.classes:
        extra += (" Intervals of the calibration error lie high, as drawing the same people again "
                  "makes it larger.")
    return _folded(out, 14) + report.paragraph(
        f"↑ more is better, ↓ less is better; brackets: 95 % intervals over subjects and seeds. "
        f"{'. '.join(lines)}.{extra}", "small")


def _of_windows(result: Comparison) -> list[tuple[str, str]]:
    if result.by_window is None:
        return []
    one = result.by_window
    return [("Scored window by window", _folded(shown(one), 14) + report.paragraph(
        "The same predictions with every window scored by itself instead of the mean over a "
        "subject's windows; intervals and chance still over subjects. Secondary: what is said of "
        "a person is the question.", "small"))]


def _method(result: Comparison) -> list[str]:
    lines = []
    if result.per == "subject":
        lines.append("Probabilities of a subject's windows were averaged, so a subject has one "
                     "prediction." if result.classes else
                     "Predictions of a subject's windows were averaged, so a subject has one.")
    if result.classes:
        lines.append("Balanced accuracy: mean over classes of the mean over test subjects (who "
                     "have the class) of their recall, mean over seeds.")
    else:
        lines.append("Mean absolute error: mean over test subjects of the mean over their windows, "
                     "mean over seeds.")
    lines += [
        "Intervals: subjects and training seeds drawn with replacement, independently, 2,000 "
        "times; quantiles taken further out than 2.5 % for few subjects (expanded percentiles, "
        "Hesterberg 2015). Windows are never drawn: those of one person are not independent.",
        f"Chance: labels exchanged between {result.table['exchanged'].iloc[0]}, the largest units "
        f"that could have been otherwise; {_ways(result.table.iloc[0])}.",
        "The best baseline was picked by its test score, in its favour.",
    ]
    return lines


def _cells(
    table: pd.DataFrame, mean: str, low: str, high: str, signed: bool = False
) -> list[str]:
    return [_estimate(*values, signed=signed)
            for values in zip(table[mean], table[low], table[high], strict=True)]


def _estimate(mean: float, low: float, high: float, signed: bool = False) -> str:
    """The mean and its interval, if there is one, with as many decimals as make sense: nobody's
    error is known to a thousandth of a year."""
    if mean != mean:
        return "–"
    known = [mean] if low != low else [mean, low, high]
    most = max(map(abs, known))
    decimals = 3 if most < 2 else 2 if most < 10 else 1
    first, *ends = (_number(value, decimals, signed) for value in known)
    return f"{first} [{', '.join(ends)}]" if ends else first


def _number(value: float, decimals: int = 3, signed: bool = False) -> str:
    text = f"{value:{'+' if signed else ''}.{decimals}f}"
    if float(text) == 0:
        text = text.replace("-", "+" if signed else "")
    return text.replace("-", "−")


def _folded(frame: pd.DataFrame, at_most: int) -> str:
    """A small table with intervals under their estimates; one with more rows scrolls."""
    two = frame.map(lambda cell: cell.replace(" [", "\n[") if isinstance(cell, str) else cell)
    return report.table(two, scroll=len(two) > at_most, dense=True)


def _p(value: float) -> str:
    return "–" if value != value else "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") \
        if value < 1 else "1"


def _is(value: float) -> str:
    return _p(value) if value < 0.001 else f"= {_p(value)}"


def _of_row(row: pd.Series, result: Comparison) -> str:
    text = _estimate(row[result.score], row["low"], row["high"])
    return text if "[" in text else f"{text} (no interval from one subject)"


def _at_least(row: pd.Series) -> str:
    ways = int(row["labellings"])
    return f", the least that {ways} exchanges allow" \
        if ways < FEW_LABELLINGS and abs(row["p_chance"] - 1 / ways) < 1e-9 else ""
