"""What weighs how much in a stacked decoder: each view's weight, and its score on held-out people.

Views are judged on the training people, each by models that had not learned from that person's fold
(`decoder.stack`): these scores chose the weights, so they are no test of the decoder.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neurofm.models.stacked_config import NETWORK, RECENTERED, in_words
from neurofm.pages import figure as figures
from neurofm.pages import page as pages
from neurofm.pages import table as tables
from neurofm.pages import words
from neurofm.results import score

from ..decoder.features import InMemory
from ..decoder.stack import Judged
from . import metrics, statistics

ABOUT = ("Each view is a linear model of its own; the decoder adds their outputs by these weights. "
         "Held out: a person was answered by models of the other folds' people. These answers "
         "chose the weights, so they are no test of the decoder: that is the score of the test "
         "subjects.")


def table(
    judged: Sequence[Judged], pooled: InMemory, windows: np.ndarray, n_classes: int
) -> pd.DataFrame:
    """A row a view, the weightiest first: name, view (in words), weight, loss, score.

    windows: training windows, in whose order the views answered. The score is the balanced
    accuracy over people, or Pearson's r of numbers.
    """
    rows = pooled.rows(windows)
    target, subjects = pooled.target[rows].numpy(), pooled.subjects[rows]

    def worth(answers: np.ndarray) -> float:
        if not n_classes:
            return metrics.score("pearson", target, answers)
        recall, _ = statistics.recalls(target, answers, subjects, n_classes)
        return statistics.balanced_accuracy(recall)

    return pd.DataFrame([
        {"name": each.name, "view": in_words(each.name), "weight": each.share, "loss": each.loss,
         "score": worth(each.answers)} for each in sorted(judged, key=lambda one: -one.share)])


def scores(found: pd.DataFrame, n_classes: int) -> list[dict]:
    """Rows of results.json: method "view NAME"."""
    metric = "held_out_balanced_accuracy" if n_classes else "held_out_pearson_r"
    return [score(f"view {row.name_}", what, value) for row in found.rename(
        columns={"name": "name_"}).itertuples()
            for what, value in (("weight", row.weight), ("held_out_loss", row.loss),
                                (metric, row.score))]


def said(found: pd.DataFrame, n_classes: int) -> list[str]:
    """A line a view."""
    width = max(map(len, found["view"]))
    what = "balanced accuracy" if n_classes else "Pearson r"
    return [f"{row.view:<{width}}  weight {row.weight:4.0%}   held out: loss {row.loss:.3f}, "
            f"{what} {row.score:.3f}" for row in found.itertuples()]


def section(found: pd.DataFrame, n_classes: int, figure: Path) -> str:
    """Text, figure and table of a page."""
    what = "Balanced accuracy" if n_classes else "Pearson r"
    loss = "Loss" if n_classes else "Unexplained variance"
    shown = pd.DataFrame({
        "View": found["view"], "Weight": [words.percent(value) for value in found["weight"]],
        f"{loss}, held out": found["loss"].round(3), f"{what}, held out": found["score"].round(3)})
    network = found["name"].str.startswith(NETWORK)
    colors = ((found["name"].str.endswith(RECENTERED).any(),
               " Orange: re-centered, each subject's average is taken away."),
              (network.any(), " Green: features of the pretrained model."))
    return "\n".join([
        pages.paragraph(ABOUT),
        pages.figure(figure, "Weight and held-out score of each view",
                     "Left: weight of each view in the answer. Right: its score alone on held-out "
                     "training subjects." + "".join(said for here, said in colors if here)),
        tables.html(shown)])


def draw(path: Path, found: pd.DataFrame, n_classes: int) -> None:
    """Bars of the weights, and the held-out scores beside them."""
    fig, (left, right) = figures.subplots(1, 2, figsize=(9.4, 0.9 + 0.3 * len(found)), sharey=True,
                                          width_ratios=[3, 2])
    place = np.arange(len(found))[::-1]
    color = ["C2" if name.startswith(NETWORK) else "C1" if name.endswith(RECENTERED) else "C0"
             for name in found["name"]]
    left.barh(place, 100 * found["weight"], color=color, height=0.7)
    left.set_yticks(place, found["view"])
    for row, value in zip(place, found["weight"], strict=True):
        left.annotate(words.percent(value), (100 * value, row), xytext=(3, 0), va="center",
                      textcoords="offset points", fontsize=8, color="0.35")
    left.set_xlim(0, 115 * max(float(found["weight"].max()), 0.01))
    left.set_xlabel("Weight (%)")
    right.hlines(place, 0, 1, color="0.92", linewidth=0.8, zorder=0)
    right.scatter(found["score"], place, color=color, s=28, zorder=3)
    chance = 1 / n_classes if n_classes else 0.0
    right.axvline(chance, color="0.6", linewidth=1)
    right.annotate("chance", (chance, place[0] + 0.55), xytext=(3, 0),
                   textcoords="offset points", fontsize=8, color="0.4")
    right.tick_params(axis="y", length=0)
    low = min(chance, float(found["score"].min())) - 0.05
    right.set_xlim(low, max(1.0, float(found["score"].max()) + 0.02))
    right.set_ylim(-0.7, len(found) - 0.1)
    right.set_xlabel("Balanced accuracy, held out" if n_classes else "Pearson r, held out")
    figures.save(fig, path)
