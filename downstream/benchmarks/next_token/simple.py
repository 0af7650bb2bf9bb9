"""Simple predictions of the next token, from the training people: how often tokens come, how often
they follow each other, and autoregressions of what they mean and of the signal itself."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from neurofm.data.corpus import Corpus
from neurofm.models.protocol import NextTokenModel

BINS = 256  # of the linear prediction
AUTOREGRESSIONS = ("autoregression", "autoregression of the signal")
SMOOTHING = 0.1  # added to each count


@dataclass(frozen=True, eq=False)
class Linear:
    """An autoregression, and how often each token came at what it predicts."""

    weights: Float[Tensor, " order"]  # of an autoregression, the latest sample last
    border: Float[Tensor, " border"]  # between bins of what it predicts
    share: Float[Tensor, "bin code"]  # logarithm of how often each token came at each bin

    @classmethod
    def of(cls, rows, order: int, n: int) -> "Linear":
        """rows: () → iterator of (signal, labels), [row, time] each; read three times. n: codes."""
        square, product = torch.zeros(order, order).double(), torch.zeros(order).double()
        for signal, _ in rows():
            past = signal.double().unfold(1, order, 1)[:, :-1].flatten(0, 1)
            square += past.T @ past
            product += past.T @ signal.double()[:, order:].flatten()
        ridge = 1e-6 * square.diagonal().mean() * torch.eye(order)
        weights = torch.linalg.solve(square + ridge, product).float()
        found = torch.cat([predicted(signal, weights).flatten()[::7] for signal, _ in rows()])
        border = torch.quantile(found[:: max(1, len(found) // 1_000_000)],
                                torch.arange(1, BINS) / BINS)
        count = torch.zeros(BINS * n)
        for signal, labels in rows():
            of = torch.bucketize(predicted(signal, weights), border) * n + labels[:, order:]
            count += torch.bincount(of.flatten(), minlength=BINS * n)
        return cls(weights, border, _log(count.view(BINS, n)))

    def shares(self, signal: Float[Tensor, "row time"]) -> Float[Tensor, "row later code"]:
        """Logarithms, of each sample from the order-th on."""
        return self.share[torch.bucketize(predicted(signal, self.weights), self.border)]


@dataclass(frozen=True, eq=False)
class Simple:
    """Of the training people: how often tokens come, and follow each other; autoregressions."""

    unigram: Float[Tensor, " code"]
    bigram: Float[Tensor, "code code"]
    linear: dict[str, Linear]

    @classmethod
    def of(
        cls, model: NextTokenModel, corpus: Corpus, windows: np.ndarray, order: int, at_once: int
    ) -> "Simple":
        n = model.config.n_codes
        unigram, bigram = torch.zeros(n), torch.zeros(n * n)
        for _, _, labels in _rows(model, corpus, windows, at_once):
            unigram += torch.bincount(labels.flatten(), minlength=n)
            pair = labels[:, :-1] * n + labels[:, 1:]
            bigram += torch.bincount(pair.flatten(), minlength=n * n)
        linear = {}
        for which, name in enumerate(AUTOREGRESSIONS):
            def rows(which=which):
                for found in _rows(model, corpus, windows, at_once):
                    yield found[which], found[2]

            linear[name] = Linear.of(rows, order, n)
        return cls(_log(unigram), _log(bigram.view(n, n)), linear)


def _log(count: Tensor) -> Tensor:
    """Counts → logarithms of shares."""
    count = count + SMOOTHING
    return (count / count.sum(dim=-1, keepdim=True)).log()


def _rows(model: NextTokenModel, corpus: Corpus, windows: np.ndarray, at_once: int):
    """(what tokens mean, signal, labels) of the channels of some windows after the others,
    [row, time]."""
    for start in range(0, len(windows), at_once):
        batch = corpus.batch(windows[start : start + at_once])
        tokens = model.tokenizer.encode(batch)
        yield (model.tokenizer.decode(tokens)[batch.valid], batch.signal[batch.valid],
               tokens.ids[..., 0][batch.valid])


def predicted(
    signal: Float[Tensor, "row time"], weights: Float[Tensor, " order"]
) -> Float[Tensor, "row later"]:
    """What the autoregression says of each sample from the order-th on."""
    return F.conv1d(signal[:, None], weights[None, None])[:, 0, :-1].contiguous()
