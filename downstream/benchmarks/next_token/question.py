"""How well a MEGGPT knows what comes next in people it has never seen, beside simple predictions.

    neurofm evaluate next-token --corpus runs/corpus --model runs/meg_gpt --out results/

Cross-entropy of the next token, in nats, on the last samples of each window (as many as the model's
context). Beside the model stand how often tokens come (unigram), how often they follow each other
(bigram), and a linear prediction of the next sample (autoregression) whose value, in equally
frequent bins, says how often each token came at it; all of the training people. One autoregression
reads what the tokens so far mean, as the model does; the other the signal itself, which tokens only
round: where signals hold much less than half their sampling rate, that says more than any token.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from neurofm import artifacts, checkpoints, config
from neurofm.checkpoints.contracts import check_contract
from neurofm.data.corpus import Corpus
from neurofm.models.meg_gpt import MEGGPT

from ...scoring import statistics

BINS = 256  # of the linear prediction
AUTOREGRESSIONS = ("autoregression", "autoregression of the signal")
SMOOTHING = 0.1  # added to each count


@dataclass
class NextTokenConfig:
    """Next token config.

    Parameters
    ----------
    corpus
        A sealed corpus.
    model
        Checkpoint of a MEGGPT.
    out
        Folder of the results.
    split
        Whose windows are predicted.
    order
        Samples that the autoregression reads.
    windows
        Training windows that the simple predictions are made of, at most.
    batch_windows
        At a time.
    """

    corpus: str
    model: str
    out: str
    split: str = "test"
    order: int = 80
    windows: int = 500
    batch_windows: int = 4

    def __post_init__(self):
        if min(self.order, self.windows, self.batch_windows) < 1:
            raise ValueError(f"order, windows and batch_windows must be at least 1, got "
                             f"{self.order}, {self.windows} and {self.batch_windows}")


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return next_token(config.parse(NextTokenConfig, argv, command="evaluate next-token"))


def next_token(run: NextTokenConfig) -> int:
    """Predict, compare, write, seal; prints the table."""
    out, corpus = Path(run.out), Corpus.open(run.corpus)
    parents = {"data": corpus.fingerprint, "model": checkpoints.fingerprint(run.model)}
    if artifacts.finished(out, "results", config=config.resolved(run), parents=parents):
        print(f"{out} is finished: nothing to do")
        return 0
    model = checkpoints.load(run.model)
    if not isinstance(model, MEGGPT):
        raise ValueError(f"{run.model}: wanted a MEGGPT, which predicts the next token, this is a "
                         f"{type(model).__name__}")
    check_contract(model, run.model, corpus)
    artifacts.claim(out, {**parents, **config.resolved(run)})
    training = np.random.default_rng(0).permutation(corpus.select("train"))[: run.windows]
    simple = Simple.of(model, corpus, np.sort(training), run.order, run.batch_windows)
    each = score(model, simple, corpus, corpus.select(run.split), run.batch_windows)
    table = summarise(each)
    out.mkdir(parents=True, exist_ok=True)
    each.to_csv(out / "subjects.tsv", sep="\t", float_format="%.4f")
    table.to_csv(out / "table.tsv", sep="\t", index=False, float_format="%.4f")
    artifacts.seal(out, "results", config=config.resolved(run), parents=parents,
                   files=["subjects.tsv", "table.tsv"])
    print(table.to_string(index=False, float_format="{:.3f}".format))
    if len(seen := checkpoints.seen(checkpoints.read_ledger(run.model), corpus.recordings)):
        used = corpus.recordings["recording"].iloc[np.unique(
            corpus.windows["recording"].to_numpy()[corpus.select(run.split)])]
        if n := int(used.isin(seen["recording"]).sum()):
            print(f"note: {n} of {len(used)} recordings are in the model's training data: what is "
                  f"said of them is not generalisation")
    return 0


@dataclass(frozen=True, eq=False)
class Linear:
    """Linear.

    Parameters
    ----------
    weights
        Of an autoregression, the latest sample last.
    border
        Between bins of what it predicts.
    share
        Logarithm of how often each token came at each bin.
    """

    weights: Float[Tensor, " order"]
    border: Float[Tensor, " border"]
    share: Float[Tensor, "bin code"]

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
        cls, model: MEGGPT, corpus: Corpus, windows: np.ndarray, order: int, at_once: int
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


def _rows(model: MEGGPT, corpus: Corpus, windows: np.ndarray, at_once: int):
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


@torch.no_grad()
def score(
    model: MEGGPT, simple: Simple, corpus: Corpus, windows: np.ndarray, at_once: int
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


def summarise(each: pd.DataFrame) -> pd.DataFrame:
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


if __name__ == "__main__":
    sys.exit(main())
