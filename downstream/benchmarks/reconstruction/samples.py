"""Tokenizers of single samples, beside μ-law and quantiles with as many tokens.

Quantiles are those of the training people. "Edge" is the first samples after each border of the
tokenizer's own windows, where its state may be cold; the beginning of a recording's window is left
out, because nothing comes before it.
"""

import numpy as np
import pandas as pd
import torch

from neurofm.data.corpus import Corpus
from neurofm.nn.quantizer import perplexity
from neurofm.tokenizers.mu_law import MuLaw, MuLawConfig
from neurofm.tokenizers.quantile import Quantile, QuantileConfig
from neurofm.tokenizers.tokenizer import Tokenizer

from .compared import Compared

EDGE = 10  # samples
AT_MOST = 400  # training windows that quantiles are fitted on


def compare(
    tokenizers: dict[str, Tokenizer], corpus: Corpus, windows: np.ndarray, at_once: int = 16,
    seed: int = 0,
) -> Compared:
    """All tokenizers and both baselines: tokens in use, variance explained (mean over subjects, the
    lowest subject, at edges) and perplexity.

    tokenizers: by name, "model" gives the baselines their number of tokens.
    """
    n = tokenizers["model"].config.n_codes - 1
    training = np.flatnonzero((corpus.recordings["split"] == "train").to_numpy()[
        corpus.windows["recording"].to_numpy()])
    some = np.random.default_rng(seed).permutation(training)[:AT_MOST]
    quantile = Quantile(QuantileConfig(n_tokens=n)).eval()
    if len(some):
        quantile.finish(corpus.batch(np.sort(some[i : i + 16])) for i in range(0, len(some), 16))
    every = {**tokenizers, f"mu_law ({n})": MuLaw(MuLawConfig(n_tokens=n)).eval(),
             f"quantile ({n})": quantile}
    rows, subjects, levels = [], [], {}
    for name, tokenizer in every.items():
        each, uses = score(tokenizer, corpus, windows, at_once)
        levels[name] = [float(perplexity(uses.double()))]
        rows.append({"tokenizer": name, "tokens in use": int((uses > 0).sum()),
                     "subjects": len(each), "pve": each["pve"].mean(),
                     "lowest subject": each["pve"].min(), "pve at edges":
                     each["pve at edges"].mean(), "perplexity": levels[name][0]})
        subjects.append(each.reset_index(names="subject").assign(method=name))
    found = pd.concat(subjects, ignore_index=True).assign(device=0, sensors="all")
    notes = [] if len(some) else ["the corpus has no training subjects: quantiles are those of a "
                                  "normal distribution"]
    return Compared(
        pd.DataFrame(rows),
        found[["device", "sensors", "method", "subject", "pve", "pve at edges"]], levels,
        "training subjects" if len(some) else "nothing", notes=notes)


@torch.no_grad()
def score(
    tokenizer: Tokenizer, corpus: Corpus, windows: np.ndarray, at_once: int
) -> tuple[pd.DataFrame, torch.Tensor]:
    """(Percent of each subject's variance explained, everywhere and at edges; how often each token
    was used)."""
    uses = torch.zeros(tokenizer.config.n_codes, dtype=torch.int64)
    squares = np.zeros((len(windows), 4))  # error, power, and both at edges
    length, margin = tokenizer.window_length, tokenizer.margin
    for start in range(0, len(windows), at_once):
        batch = corpus.batch(windows[start : start + at_once])
        tokens, signal = tokenizer.reconstruct(batch)
        error = torch.square(batch.signal - signal) * batch.valid[..., None]
        power = torch.square(batch.signal) * batch.valid[..., None]
        uses += torch.bincount(tokens.ids[batch.valid].flatten(), minlength=len(uses))
        place = torch.arange(batch.signal.shape[-1])
        edge = (place >= max(length, EDGE)) & ((place - margin) % (length - margin or 1) < EDGE)
        rows = slice(start, start + len(batch))
        squares[rows, 0], squares[rows, 1] = error.sum((1, 2)), power.sum((1, 2))
        squares[rows, 2] = error[..., edge].sum((1, 2))
        squares[rows, 3] = power[..., edge].sum((1, 2))
    by_subject = pd.DataFrame(squares).groupby(corpus.subjects(windows)).sum()
    each = pd.DataFrame({"pve": 100 * (1 - by_subject[0] / by_subject[1]), "pve at edges":
                         100 * (1 - by_subject[2] / by_subject[3]) if length > 1 else np.nan})
    return each, uses
