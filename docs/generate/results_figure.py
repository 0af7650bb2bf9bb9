"""Figures of results: scores with intervals, and chance."""

import re
from pathlib import Path

from neurofm.pages import figure
from neurofm.results import Results

from .results_table import _matches


def draw(result: Results, how: dict, path: Path) -> None:
    """Write an SVG: a row a score, best first; methods whose name matches `ours` in blue.

    Parameters
    ----------
    result
        What was found.
    how
        metric: which scores; where: {key: value}; ours: a pattern of methods; blue:
        what they are.
    path
        Of the SVG.
    """
    rows = [row for row in result.scores
            if _matches(row, {"metric": how["metric"], **how.get("where", {})})]
    rows.sort(key=lambda row: row["value"])
    fig, axes = figure.subplots(figsize=(7.2, 0.9 + 0.24 * len(rows)))
    for place, row in enumerate(rows):
        color = figure.COLORS[0] if re.search(how["ours"], row["method"]) else "0.45"
        if row["low"] is not None:
            axes.plot([row["low"], row["high"]], [place, place], color=color, lw=1.6)
        axes.plot(row["value"], place, "o", color=color, ms=5)
    chance = next((row["chance"] for row in rows if "chance" in row), None)
    if chance is not None:
        axes.axvline(chance, color="0.6", lw=1, ls="--")
        axes.annotate("chance", (chance, 1), xycoords=("data", "axes fraction"),
                      xytext=(3, 1), textcoords="offset points", fontsize=8.5, color="0.35")
    axes.set_yticks(range(len(rows)), [row["method"] for row in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.set_xlabel(f"{how['metric']}, 95 % interval\nblue: {how['blue']}")
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, metadata={"Date": None})
    figure.pyplot().close(fig)
