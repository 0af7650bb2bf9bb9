"""How well a tokenizer of single samples reconstructs people it has never seen, beside others.

Beside it stand μ-law and quantiles with as many tokens (quantiles of the training people), and any
other tokenizers that are named. "Edge" is the first samples after each border of the tokenizer's
own windows, where its state may be cold; the begin of a recording's window is left out, for before
it there is nothing.
"""

import numpy as np
import pandas as pd
import torch

from neurofm.data.corpus import Corpus
from neurofm.tokenizers.mu_law import MuLaw, MuLawConfig
from neurofm.tokenizers.quantile import Quantile, QuantileConfig
from neurofm.tokenizers.sample_tokenizer import SampleTokenizer

EDGE = 10  # samples
AT_MOST = 400  # training windows that quantiles are taken of


def compare(
    tokenizers: dict[str, SampleTokenizer], corpus: Corpus, windows: np.ndarray, at_once: int = 16
) -> pd.DataFrame:
    """A row a tokenizer: tokens in use, percentage of variance explained (mean over subjects, the
    lowest, at window edges), and how many equally frequent tokens would carry as much (perplexity).

    tokenizers: by name, the first one is what the baselines have as many tokens as.
    """
    first = next(iter(tokenizers.values()))
    n = first.config.n_codes - 1
    training = np.flatnonzero((corpus.recordings["split"] == "train").to_numpy()[
        corpus.windows["recording"].to_numpy()])
    some = np.random.default_rng(0).permutation(training)[:AT_MOST]
    quantile = Quantile(QuantileConfig(n_tokens=n)).eval()
    if len(some):
        quantile.finish(corpus.batch(np.sort(some[i : i + 16])) for i in range(0, len(some), 16))
    every = {**tokenizers, f"mu_law ({n})": MuLaw(MuLawConfig(n_tokens=n)).eval(),
             f"quantile ({n})": quantile}
    return pd.DataFrame([{"tokenizer": name, **score(one, corpus, windows, at_once)}
                         for name, one in every.items()])


@torch.no_grad()
def score(
    tokenizer: SampleTokenizer, corpus: Corpus, windows: np.ndarray, at_once: int
) -> dict[str, float]:
    """See `compare`."""
    uses = torch.zeros(tokenizer.config.n_codes, dtype=torch.int64)
    squares = np.zeros((len(windows), 4))  # error, power, and both at edges
    length = tokenizer.config.window_length
    margin = getattr(tokenizer.config, "margin", 0)
    for start in range(0, len(windows), at_once):
        batch = corpus.batch(windows[start : start + at_once])
        tokens = tokenizer.encode(batch)
        error = torch.square(batch.signal - tokenizer.decode(tokens)) * batch.valid[..., None]
        power = torch.square(batch.signal) * batch.valid[..., None]
        uses += torch.bincount(tokens.ids[batch.valid].flatten(), minlength=len(uses))
        place = torch.arange(batch.signal.shape[-1])
        edge = (place >= max(length, EDGE)) & ((place - margin) % (length - margin or 1) < EDGE)
        rows = slice(start, start + len(batch))
        squares[rows, 0], squares[rows, 1] = error.sum((1, 2)), power.sum((1, 2))
        squares[rows, 2] = error[..., edge].sum((1, 2))
        squares[rows, 3] = power[..., edge].sum((1, 2))
    by_subject = pd.DataFrame(squares).groupby(corpus.subjects(windows)).sum()
    pve = 100 * (1 - by_subject[0] / by_subject[1])
    share = uses.double() / uses.sum()
    return {
        "tokens in use": int((uses > 0).sum()), "subjects": len(by_subject),
        "pve": pve.mean(), "lowest subject": pve.min(),
        "pve at edges": (100 * (1 - by_subject[2] / by_subject[3])).mean()
        if length > 1 else float("nan"),
        "perplexity": float(torch.exp(-(share * share.clamp_min(1e-12).log()).sum())),
    }
