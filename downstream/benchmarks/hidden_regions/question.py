"""Predict hidden fMRI regions of held-out subjects, against ridge regression.

    neurofm evaluate hidden-regions --data runs/corpus --model runs/brainmae --out results/

Regions are hidden in each segment, or in the whole scan, where no other segment can help. Beside
the model stand the best linear prediction of the hidden regions from those seen in the same volume
(covariance of the training people, penalty chosen by the validation people) and the same model with
random weights.
"""

from dataclasses import dataclass, field

import pandas as pd
import torch

from neurofm import tsv
from neurofm.checkpoints.contracts import open_for
from neurofm.data.corpus import Corpus
from neurofm.data.windows import Split
from neurofm.limits import Count, InnerShare, limited
from neurofm.models.protocol import RegionModel
from neurofm.pages import table as tables
from neurofm.results import Results, comparison, score
from neurofm.run import Command, Job, Made

from ...scoring import brain_figures, statistics
from . import page, scores


@dataclass
@limited
class HiddenRegionsConfig:
    """Predict hidden regions and compare.

    Parameters
    ----------
    data
        Corpus of fMRI.
    model
        Checkpoint of a masked model of regions, such as a brainmae.
    out
        Folder of the results.
    split
        Split to evaluate: train, validation or test.
    shares
        Shares of the regions to hide, between 0 and 1.
    seed
        Seed of the hidden regions.
    n_runs
        Number of runs in the figure of states.
    """

    data: str
    model: str
    out: str
    split: Split = "test"
    shares: list[InnerShare] = field(default_factory=lambda: [0.2, 0.5, 0.8])
    seed: int = 0
    n_runs: Count = 12

    def __post_init__(self):
        if not self.shares:
            raise ValueError(f"shares are shares of the regions, between 0 and 1, got "
                             f"{self.shares}")


def ask(run: HiddenRegionsConfig, job: Job) -> Made:
    """Hide, predict, compare, draw."""
    corpus = Corpus.open(run.data)
    model = open_for(corpus, run.model, RegionModel,
                     "predicts hidden regions, such as a brainmae")
    windows = corpus.select(run.split)
    torch.manual_seed(run.seed)
    untrained = type(model)(model.config).eval()
    each = pd.concat([
        scores.score(model, untrained, corpus, windows, share, whole, run.seed)
        for whole in (False, True) for share in run.shares], ignore_index=True)
    table = scores.summarize(each)
    tsv.write(each, job.out / "subjects.tsv", float_format="%.4f")
    tsv.write(table, job.out / "table.tsv", float_format="%.4f")
    figures = page.draw(job.out / "hidden_regions.png", each)
    learned = brain_figures.draw(job.out, model, corpus, corpus.select("train"),
                                 windows[: run.n_runs])
    return Made(
        ["subjects.tsv", "table.tsv", *figures, *(path.name for _, path, _ in learned)],
        results=results(run, each, table),
        judged=corpus.judged(windows),
        page=page.page(run, corpus, table, learned, job.out),
        said=[tables.text(page.shown(table))],
    )


COMMAND = Command("evaluate hidden-regions", HiddenRegionsConfig, ask, makes="results",
                  reads=("data",), models=("model",))
main = COMMAND


def results(run: HiddenRegionsConfig, each: pd.DataFrame, table: pd.DataFrame) -> Results:
    """R² of each method, and the model's minus ridge's, for each share and way of hiding."""
    found = Results(
        "hidden-regions", run.data, run.model, ["model", "guess", "ridge", "random"],
        {"split": run.split, "shares": run.shares}, [run.seed], int(table["subjects"].max()),
        summary=page.finding(table))
    for row in table.to_dict("records"):
        part = {"n": row["subjects"], "hidden": row["hidden"], "share": row["share"]}
        for name in ("model", "ridge"):
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            found.scores.append(
                score(name, "R2", statistics.Estimate(row[f"r2_{name}"], low, high), **part))
        found.scores += [score(name, "R2", row[f"r2_{name}"], **part)
                         for name in ("guess", "random")]
        difference = statistics.Estimate(row["difference"], row["low"], row["high"])
        found.comparisons.append(
            comparison("model", "ridge", "R2", difference, row["p"], **part))
    return found
