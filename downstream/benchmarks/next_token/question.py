"""Predict the next token of held-out subjects, against unigram, bigram and autoregression.

    neurofm evaluate next-token --data runs/corpus --model runs/meg_gpt --out results/

The score is the cross-entropy of the next token, in nats, on the last samples of each window (as
many as the model's context). Beside the model stand how often tokens come (unigram), how often they
follow each other (bigram), and a linear prediction of the next sample (autoregression) whose value,
in equally frequent bins, says how often each token came at it; all of the training people. One
autoregression reads what the tokens so far mean, as the model does; the other reads the signal
itself, which tokens only round: where signals hold much less than half their sampling rate, that
says more than any token.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from neurofm import tsv
from neurofm.checkpoints.contracts import open_for
from neurofm.data.corpus import Corpus
from neurofm.data.windows import Split
from neurofm.limits import Count, limited
from neurofm.models.protocol import NextTokenModel
from neurofm.pages import page as pages
from neurofm.pages import table as tables
from neurofm.pages import words
from neurofm.pages.page import Page
from neurofm.results import Results, comparison, score
from neurofm.run import Command, Job, Made

from ...scoring.statistics import Estimate
from . import scores
from .simple import Simple


@dataclass
@limited
class NextTokenConfig:
    """Predict the next token and compare.

    Parameters
    ----------
    data
        A finished corpus.
    model
        Checkpoint of a model that predicts the next token, such as a meg_gpt.
    out
        Folder of the results.
    split
        Split to evaluate: train, validation or test.
    order
        Order of the autoregression, samples.
    windows
        Largest number of training windows for the baselines.
    seed
        Seed of the choice of these windows.
    batch_windows
        Windows per batch.
    """

    data: str
    model: str
    out: str
    split: Split = "test"
    order: Count = 80
    windows: Count = 500
    seed: int = 0
    batch_windows: Count = 4


def ask(run: NextTokenConfig, job: Job) -> Made:
    """Predict, compare, write."""
    corpus = Corpus.open(run.data)
    model = open_for(corpus, run.model, NextTokenModel,
                     "predicts the next token, such as a meg_gpt")
    training = np.random.default_rng(run.seed).permutation(corpus.select("train"))[: run.windows]
    simple = Simple.of(model, corpus, np.sort(training), run.order, run.batch_windows)
    windows = corpus.select(run.split)
    each = scores.score(model, simple, corpus, windows, run.batch_windows)
    table = scores.summarize(each)
    tsv.write(each, job.out / "subjects.tsv", index=True, float_format="%.4f")
    tsv.write(table, job.out / "table.tsv", float_format="%.4f")
    return Made(
        ["subjects.tsv", "table.tsv"], results=results(run, each, table),
        judged=corpus.judged(windows), page=page(run, corpus, table),
        said=[tables.text(shown(table))],
    )


COMMAND = Command("evaluate next-token", NextTokenConfig, ask, makes="results", reads=("data",),
                  models=("model",), free=frozenset({"batch_windows"}))
main = COMMAND


def results(run: NextTokenConfig, each: pd.DataFrame, table: pd.DataFrame) -> Results:
    """Nats of every prediction, the model's minus each other's, and the model's accuracy."""
    n = len(each)
    found = Results("next-token", run.data, run.model, table["prediction"].tolist(),
                    {"split": run.split, "order": run.order, "windows": run.windows}, [run.seed], n,
                    summary=finding(table))
    for row in table.to_dict("records"):
        nats = Estimate(row["nats"], row["low"], row["high"])
        found.scores.append(score(row["prediction"], "cross-entropy", nats, unit="nats", n=n))
        if row["prediction"] != "model":
            gain = Estimate(row["model minus it"], row["from"], row["to"])
            found.comparisons.append(
                comparison("model", row["prediction"], "cross-entropy", gain, unit="nats", n=n))
    found.scores.append(score("model", "top-1 accuracy", float(each["top1"].mean()), n=n))
    return found


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it, on the terminal and on the page."""
    return pd.DataFrame({
        "prediction": table["prediction"], "subjects": table["subjects"],
        "nats [95 %]": tables.estimates(table, "nats", "low", "high"),
        "model minus it [95 %]": tables.estimates(
            table, "model minus it", "from", "to", signed=True)})


def page(run: NextTokenConfig, corpus: Corpus, table: pd.DataFrame) -> Page:
    return Page("Next token", f"{run.model} on {run.data}, {run.split} split", [
        ("", pages.paragraph(finding(table), "lead")),
        ("Cross-entropy of the next token", tables.html(shown(table)) + pages.paragraph(
            "Nats per token, mean over subjects; in brackets: 95 % bootstrap intervals over "
            "subjects. Lower is better. Model minus it: paired over subjects; below 0 the model is "
            "better.", "small")),
        ("Signals", tables.pairs(words.contract_in_words(corpus.contract))),
    ])


def finding(table: pd.DataFrame) -> str:
    """The model against the best of the other predictions, in a sentence."""
    own = table.set_index("prediction").loc["model", "nats"]
    best = table[table["prediction"] != "model"].sort_values("nats").iloc[0]
    gain = words.estimate(best["model minus it"], best["from"], best["to"], signed=True)
    return (f"Cross-entropy of the next token: model {own:.3f} nats; best of the others "
            f"({best['prediction']}) {best['nats']:.3f}, model minus it {gain}.")
