"""Figures of a federation: scores of each site and person, and how rounds went."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from neurofm.pages.figure import COLORS, save, subplots

from .federated_scores import ALL, Scores

_LOOK = {"federated": (COLORS[0], "o"), "local": ("0.35", "s"), "pooled": (COLORS[2], "D")}


def draw(out: Path, scores: Scores, rounds: pd.DataFrame) -> None:
    """sites.png and rounds.png in `out`."""
    sites(out / "sites.png", scores)
    losses(out / "rounds.png", rounds)


def sites(path: Path, scores: Scores) -> None:
    """Per site: a dot a person, the mean with its interval above them, methods side by side."""
    names = [*sorted(scores.people["site"].unique()), ALL]
    figure, axis = subplots(figsize=(1.8 + 1.7 * len(names), 4.2))
    width = 0.8 / len(scores.methods)
    for k, method in enumerate(scores.methods):
        color, marker = _LOOK[method]
        for place, name in enumerate(names):
            at = place + (k - (len(scores.methods) - 1) / 2) * width
            people = scores.people[scores.people["method"] == method]
            if name != ALL:
                own = people[people["site"] == name]["balanced_accuracy"].to_numpy()
                beside = 0.15 * width * (np.arange(len(own)) % 5 - 2)
                axis.scatter(at + 0.1 * width + beside, own, s=12, color=color, alpha=0.35, lw=0)
            row = scores.sites[(scores.sites["site"] == name)
                               & (scores.sites["method"] == method)].iloc[0]
            axis.plot([at, at], [row["low"], row["high"]], color=color, lw=2.5)
            axis.scatter(at, row["balanced_accuracy"], s=48, color=color, marker=marker,
                         edgecolor="white", zorder=3, label=method if place == 0 else None)
    axis.axhline(1 / len(scores.classes), color="0.5", lw=0.9, ls=(0, (4, 3)), zorder=0)
    axis.axvline(len(names) - 1.5, color="0.85", lw=1)
    axis.annotate("chance", (1.0, 1 / len(scores.classes)), xycoords=("axes fraction", "data"),
                  ha="right", va="bottom", fontsize=8, color="0.35")
    counts = scores.sites.drop_duplicates("site").set_index("site")["people"]
    axis.set_xticks(range(len(names)), [
        f"{name}\n{counts[name]} {'person' if counts[name] == 1 else 'people'}" for name in names])
    axis.set_ylabel("balanced accuracy")
    axis.set_ylim(max(-0.02, min(0.35, axis.get_ylim()[0])), 1.02)
    figure.legend(loc="outside upper center", ncols=len(scores.methods))
    save(figure, path)


def losses(path: Path, rounds: pd.DataFrame) -> None:
    """Training and validation loss over rounds, mean over folds and seeds, each fold faint; marks
    where a site's answer did not count."""
    figure, axis = subplots(figsize=(8, 3.2))
    for name, color, words in (("loss", "0.45", "training trials, as each site trained"),
                                ("val_loss", COLORS[0], "validation people, weights that came")):
        for _, one in rounds.groupby(["fold", "seed"]):
            axis.plot(one["round"], one[name], color=color, lw=0.6, alpha=0.25)
        mean = rounds.groupby("round")[name].mean()
        axis.plot(mean.index, mean, color=color, lw=2, label=words)
    lost = rounds[[bool(json.loads(text)) for text in rounds["rejected"]]]
    if len(lost):
        axis.plot(lost["round"], lost["val_loss"], "x", color=COLORS[1],
                  label="an answer was rejected or missing")
    axis.set(xlabel="round", ylabel="loss")
    axis.xaxis.get_major_locator().set_params(integer=True)
    if len(rounds):
        axis.legend(fontsize=8)
    save(figure, path)
