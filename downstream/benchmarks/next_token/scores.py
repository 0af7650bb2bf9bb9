"""Cross-entropy of the next token, subject by subject, and what it is on average."""

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurofm.data.corpus import Corpus
from neurofm.models.protocol import NextTokenModel

from ...scoring import statistics
from .simple import AUTOREGRESSIONS, Simple


@torch.no_grad()
def score(
    model: NextTokenModel, simple: Simple, corpus: Corpus, windows: np.ndarray, at_once: int
) -> pd.DataFrame:
    """Mean cross-entropy of each subject (rows) by each prediction (columns); top1 of the model."""
    rows, context = [], model.config.context
    order = len(simple.linear[AUTOREGRESSIONS[0]].weights)
    for start in range(0, len(windows), at_once):
        part = windows[start : start + at_once]
        batch = corpus.batch(part)
        tokens = model.tokenizer.encode(batch)
        labels = tokens.ids[..., 0]
        scores = model.logits(labels[..., -context - 1 : -1], batch.geometry, batch.valid,
                              model.numbers(batch.subject))
        n = min(scores.shape[2], labels.shape[-1] - order)
        wanted, before = labels[..., -n:], labels[..., -n - 1 : -1]
        shares = {"model": scores[:, :, -n:].float().log_softmax(dim=-1)}
        for name, signal in zip(AUTOREGRESSIONS, (model.tokenizer.decode(tokens), batch.signal),
                                strict=True):
            linear = simple.linear[name].shares(signal.flatten(0, 1))
            shares[name] = linear.view(*labels.shape[:2], *linear.shape[1:])[:, :, -n:]
        shares |= {"bigram": simple.bigram[before],
                   "unigram": simple.unigram.expand(*wanted.shape, -1)}
        hit = (scores[:, :, -n:].argmax(dim=-1) == wanted).float()
        for row, window in enumerate(part.tolist()):
            valid = batch.valid[row]
            lost = {name: -_of(share[row][valid], wanted[row][valid])
                    for name, share in shares.items()}
            rows.append({"subject": corpus.subjects(np.array([window]))[0], **lost,
                         "top1": hit[row][valid].mean().item()})
    return pd.DataFrame(rows).groupby("subject", sort=True).mean()


def _of(share: Float[Tensor, "channel time code"], wanted: Int[Tensor, "channel time"]) -> float:
    return share.gather(-1, wanted[..., None]).mean().item()


def summarize(each: pd.DataFrame) -> pd.DataFrame:
    """A row a prediction: cross-entropy, mean over subjects with 95 % bootstrap intervals, and the
    model's minus it."""
    value = {name: each[name].to_numpy()[None, :, None] for name in each if name != "top1"}
    rows = []
    for name, own in value.items():
        found = statistics.interval(own)
        row = {"prediction": name, "subjects": len(each), "nats": found.mean, "low": found.low,
               "high": found.high}
        if name != "model":
            gain, _ = statistics.difference(value["model"], own)
            row |= {"model minus it": gain.mean, "from": gain.low, "to": gain.high}
        rows.append(row)
    return pd.DataFrame(rows)
