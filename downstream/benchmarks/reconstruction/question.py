"""Reconstruct recordings of held-out subjects from tokens, against PCA and simple tokenizers.

    neurofm evaluate reconstruction --data corpus/ --model runs/tokenizer --out results/

Every window is encoded, decoded and compared with the original. Tokenizers of sources stand beside
principal component analysis (`sources`), tokenizers of single samples beside μ-law and quantiles
(`samples`). Further tokenizers of the same kind can be compared with the model.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from neurofm import tsv
from neurofm.checkpoints.contracts import check_contract, contract_of
from neurofm.checkpoints.tokenizer import open_tokenizer
from neurofm.data.corpus import Corpus
from neurofm.data.windows import Split
from neurofm.limits import Count, limited
from neurofm.pages import table as tables
from neurofm.results import Results, comparison, score
from neurofm.run import Command, Job, Made
from neurofm.tokenizers.tokenizer import Tokenizer

from ...scoring import statistics
from . import page, samples, sources
from .compared import Compared
from .figures import reconstruction_figure

METRICS = {"pearson": "", "pve": "%", "pve at edges": "%"}  # of subjects → unit
PART = ["device", "sensors"]  # columns that tell devices apart


@dataclass
@limited
class ReconstructionConfig:
    """Reconstruct recordings from tokens and compare them with the originals.

    Parameters
    ----------
    data
        A finished corpus.
    model
        Checkpoint of a tokenizer.
    out
        Folder of the results.
    models
        Further tokenizers of the same kind, name → checkpoint.
    split
        Split to evaluate: train, validation or test.
    batch_windows
        Windows per batch.
    seed
        Seed of the training windows that baselines are fitted on.
    """

    data: str
    model: str
    out: str
    models: dict[str, str] = field(default_factory=dict)
    split: Split = "test"
    batch_windows: Count = 16
    seed: int = 0

    def __post_init__(self):
        if "model" in self.models:
            raise ValueError("models: 'model' is the name of the tokenizer of --model; choose "
                             "another")


def ask(run: ReconstructionConfig, job: Job) -> Made:
    """Encode, decode, compare."""
    corpus = Corpus.open(run.data)
    tokenizers, notes = open_all(run, corpus)
    windows = corpus.select(run.split)
    found = (samples if tokenizers["model"].of_samples else sources).compare(
        tokenizers, corpus, windows, run.batch_windows, run.seed)
    tsv.write(found.table, job.out / "reconstruction.tsv")
    tsv.write(found.subjects, job.out / "subjects.tsv", float_format="%.5g")
    reconstruction_figure(tokenizers["model"], corpus, windows, job.out / "reconstruction.png")
    made = results(run, found)
    made.notes += notes
    return Made(
        ["reconstruction.tsv", "subjects.tsv", "reconstruction.png"], results=made,
        judged=corpus.judged(windows), page=page.page(run, corpus, found, made, job.out),
        said=[tables.text(page.shown(found.table)), *found.said])


COMMAND = Command("evaluate reconstruction", ReconstructionConfig, ask, makes="results",
                  reads=("data",), models=("model", "models"), free=frozenset({"batch_windows"}))
main = COMMAND


def open_all(
    run: ReconstructionConfig, corpus: Corpus
) -> tuple[dict[str, Tokenizer], list[str]]:
    """(Name → tokenizer, the model first; how the signals of others differ from the corpus's)."""
    model = open_tokenizer(run.model)
    check_contract(model, run.model, corpus)
    found, notes = {"model": model}, []
    for name, place in run.models.items():
        found[name] = other = open_tokenizer(place)
        if other.of_samples != model.of_samples:
            raise ValueError(
                f"models: wanted a tokenizer of {_kind(model)} beside {run.model}, {place} is one "
                f"of {_kind(other)}; ask for it by itself")
        if not other.of_samples:
            check_contract(other, place, corpus)
        elif differing := [line for line in contract_of(other).differences(corpus.contract)
                           if not line.startswith(("kinds:", "notch_hz:", "lowpass_hz:"))]:
            notes.append(f"{name} was made for other signals ({'; '.join(differing)})")
    return found, notes


def _kind(tokenizer: Tokenizer) -> str:
    return "single samples" if tokenizer.of_samples else "sources"


def results(run: ReconstructionConfig, found: Compared) -> Results:
    """Scores of each method, and the model's minus each other's on the same subjects."""
    methods = list(dict.fromkeys(found.subjects["method"]))
    made = Results("reconstruction", run.data, run.model, methods,
                   {"split": run.split, "fitted_on": found.fitted_on}, [run.seed],
                   found.subjects["subject"].nunique(), summary=page.finding(found))
    for (_, sensors), rows in found.subjects.groupby(PART, sort=False):
        part = {"sensors": sensors}
        for metric, unit in METRICS.items():
            if metric not in rows:
                continue
            each = rows.pivot(index="subject", columns="method", values=metric)
            value = {name: _scores(each[name]) for name in methods if each[name].notna().all()}
            made.scores += [
                score(name, metric, statistics.interval(own), unit=unit, n=len(each), **part)
                for name, own in value.items()]
            for name in [name for name in value if name != "model" and "model" in value]:
                gain, p = statistics.difference(value["model"], value[name])
                made.comparisons.append(
                    comparison("model", name, metric, gain, p, n=len(each), **part))
    made.scores += [score(name, "perplexity", value, level=level)
                    for name, levels in found.perplexity.items()
                    for level, value in enumerate(levels)]
    made.notes += found.notes
    return made


def _scores(values: pd.Series) -> np.ndarray:
    """[1, subject, 1], as `statistics` takes them."""
    return values.to_numpy(float)[None, :, None]
