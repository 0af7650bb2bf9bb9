"""How evenly features follow loudness: a toy question."""

from dataclasses import dataclass

import numpy as np
import torch

from neurofm.checkpoints.contracts import open_for
from neurofm.data.corpus import Corpus
from neurofm.models.protocol import Backbone
from neurofm.pages.page import Page, paragraph
from neurofm.results import Results, score
from neurofm.run import Command, Job, Made


@dataclass
class ToyQuestion:
    """Ask the toy question.

    Parameters
    ----------
    data
        A sealed corpus.
    model
        Checkpoint of a model with features.
    out
        Folder of the results.
    split
        People who are judged.
    """

    data: str
    model: str
    out: str
    split: str = "test"


@torch.no_grad()
def ask(run: ToyQuestion, job: Job) -> Made:
    corpus = Corpus.open(run.data)
    model = open_for(corpus, run.model, Backbone, "has features")
    windows = corpus.select(run.split)
    batch = corpus.batch(windows)
    loud = batch.signal.diff(dim=-1).abs().mean(dim=(1, 2)).numpy()
    feature = model.pooled(batch, model.config.pools[0])[:, 0].numpy()
    r = float(np.corrcoef(loud, feature)[0, 1])
    people = len(set(corpus.subjects(windows)))
    return Made(
        [], results=Results("toy-question", run.data, run.model, ["model"], {"split": run.split},
                            [], people, [score("model", "r", r, n=people)]),
        judged=corpus.judged(windows),
        page=Page("Toy question", run.model, [("Answer", paragraph(f"r = {r:.2f}"))]))


COMMAND = Command("evaluate toy-question", ToyQuestion, ask, makes="results", reads=("data",),
                  models=("model",))
