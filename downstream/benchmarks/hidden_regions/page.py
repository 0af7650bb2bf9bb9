"""Figure and page of the question: a dot a person, model against ridge regression."""

from pathlib import Path

import pandas as pd

from neurofm.data.corpus import Corpus
from neurofm.pages import page as report
from neurofm.pages import table as tables
from neurofm.pages import words
from neurofm.pages.figure import COLORS, save, subplots
from neurofm.pages.page import Page

from ...decoder.labeled import sensors_of


def draw(path: Path, scores: pd.DataFrame) -> list[str]:
    """Model against ridge, a dot a person; returns the names of the files."""
    kinds = list(dict.fromkeys(scores["hidden"]))
    figure, axes = subplots(1, len(kinds), figsize=(4.2 * len(kinds), 4), squeeze=False,
                            sharex=True, sharey=True)
    low = min(0.0, scores["ridge"].min(), scores["model"].min())
    for axis, kind in zip(axes[0], kinds, strict=True):
        part = scores[scores["hidden"] == kind]
        for k, (share, rows) in enumerate(part.groupby("share")):
            axis.plot(rows["ridge"], rows["model"], "o", ms=4, alpha=0.8, color=COLORS[k],
                      label=f"{words.percent(share)} hidden")
        axis.plot([low, 1], [low, 1], color="0.7", lw=0.8, zorder=0)
        axis.set(xlabel="R² of ridge regression", title=f"hidden in {kind}"
                 if kind == "segments" else f"hidden in the {kind}")
    axes[0][0].set_ylabel("R² of the model")
    axes[0][0].legend(fontsize=8)
    save(figure, path)
    return [path.name]


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it, on the terminal and on the page."""
    return pd.DataFrame({
        "hidden in": table["hidden"], "share": table["share"].map(words.percent),
        "subjects": table["subjects"],
        "R² model [95 %]": tables.estimates(table, "r2_model", "model_low", "model_high"),
        "R² ridge [95 %]": tables.estimates(table, "r2_ridge", "ridge_low", "ridge_high"),
        "R² linear part of the model": table["r2_guess"], "R² random weights": table["r2_random"],
        "model minus ridge [95 %]": tables.estimates(
            table, "difference", "low", "high", signed=True),
        "p": table["p"].map(words.p_value)})


def page(run, corpus: Corpus, table: pd.DataFrame, learned: list[tuple[str, Path, str]],
         out: Path) -> Page:
    """Table, figure, what the model has learned, and the signals. learned: (heading, PNG,
    caption)."""
    layout = sensors_of(corpus.layout(int(corpus.select(run.split)[0])))
    about = f"{run.model} on {run.data}, {run.split} split, {layout}"
    return Page("Hidden regions", about, [
        ("", report.paragraph(finding(table), "lead")),
        (f"Hidden regions of the {run.split} subjects", tables.html(shown(table), dense=True)
         + report.paragraph(
             "R² is the share of a hidden region's variance that is predicted, mean over subjects; "
             "in brackets: 95 % bootstrap intervals over subjects. Ridge regression sees the "
             "other regions of the same volume. So does the model where a region is hidden in the "
             "whole scan; hidden in segments, it also sees the region itself in other segments.",
             "small")),
        ("", report.figure(out / "hidden_regions.png", "R² of model and ridge regression",
                           "One dot per subject.")),
        *((heading, report.figure(path, heading, caption)) for heading, path, caption in learned),
        ("Signals", tables.pairs(words.contract_in_words(corpus.contract))),
    ])


def finding(table: pd.DataFrame) -> str:
    """Model against ridge in a sentence for each way of hiding, at the middle share."""
    said = []
    for hidden, rows in table.groupby("hidden", sort=False):
        row = rows.iloc[len(rows) // 2]
        where = "segments" if hidden == "segments" else f"the {hidden}"
        difference = words.estimate(row["difference"], row["low"], row["high"], signed=True)
        said.append(f"{words.percent(row['share'])} of regions hidden in {where}: model R² "
                    f"{row['r2_model']:.3f}, ridge regression {row['r2_ridge']:.3f}, difference "
                    f"{difference}.")
    return " ".join(said)
