"""How a decoder's score falls on worse recordings: figure and section of a page."""

from pathlib import Path

import numpy as np
import pandas as pd

from neurofm.checkpoints.robustness import HEADS, Condition, Robustness, in_words
from neurofm.pages import figure as figures
from neurofm.pages import page as pages
from neurofm.pages import table as tables
from neurofm.pages import words


def section(found: Robustness, figure: Path) -> str:
    """Text, figure and table."""
    caption = ("Score of the validation subjects with part of the band (x), part of the channels "
               "(colors) and artifacts" + (
                   "; bars are the 95 % intervals over subjects." if found.has_intervals else "."))
    return "\n".join([
        pages.paragraph(found.about()),
        pages.figure(figure, "Score against the end of the band", caption),
        tables.html(pd.DataFrame(found.rows(), columns=HEADS))])


def draw(path: Path, found: Robustness) -> None:
    """Score against the band, a line for each share of channels and one with artifacts."""
    fig, axis = figures.subplots(figsize=(6.4, 3.4))
    bands = list(dict.fromkeys(each.lacks.lowpass_hz for each in found.conditions))
    places = {hz: k for k, hz in enumerate(sorted(bands, key=lambda hz: hz or np.inf))}
    groups: dict[tuple, list[Condition]] = {}
    for each in found.conditions:
        groups.setdefault((each.lacks.channels, each.lacks.artifacts), []).append(each)
    for number, ((channels, artifacts), own) in enumerate(groups.items()):
        own = sorted(own, key=lambda each: places[each.lacks.lowpass_hz])
        x = np.array([places[each.lacks.lowpass_hz] for each in own]) + 0.08 * number
        score = np.array([each.score for each in own])
        ends = np.array([[each.score - each.low, each.high - each.score] for each in own]).T
        name = f"{words.percent(channels or 1.0)} of the channels"
        name += f", {words.percent(artifacts)} artifacts" if artifacts else ""
        axis.errorbar(x, score, np.nan_to_num(ends), marker="o", capsize=3, label=name,
                      linestyle="--" if artifacts else "-")
    axis.axhline(found.chance, color="0.6", linewidth=1)
    axis.annotate("chance", (1.0, found.chance), xycoords=("axes fraction", "data"),
                  xytext=(4, 0), textcoords="offset points", va="center", color="0.4", fontsize=9)
    axis.set_xticks(list(places.values()),
                    [f"{hz:g} Hz" if hz else "whole band" for hz in places])
    axis.set_xlim(-0.3, len(places) - 0.5)
    axis.set_xlabel("Band up to")
    axis.set_ylabel(in_words(found.metric).capitalize())
    axis.legend(loc="center left", bbox_to_anchor=(1.12, 0.5))
    figures.save(fig, path)
