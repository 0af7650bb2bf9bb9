"""How well a BrainMAE fills in hidden regions of people it has never seen, beside ridge regression.

    neurofm evaluate hidden-regions --corpus runs/corpus --model runs/brainmae --out results/

Regions are hidden in each segment, or all through the scan, where no other segment can help. Beside
the model stands the best linear prediction of the hidden regions from those seen in the same
volume, with the covariance of the training people and a penalty that the validation people choose;
and the same model from random weights.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from neurofm import artifacts, checkpoints, config
from neurofm.checkpoints.contracts import check_contract
from neurofm.data.corpus import Corpus
from neurofm.models.brainmae import BrainMAE
from neurofm.pages import page as report
from neurofm.pages import words
from neurofm.pages.figure import COLOURS, pyplot

from ...decoder.labelled import sensors_of
from ...scoring import brain_figures, statistics

PENALTIES = (1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)


@dataclass
class FillInConfig:
    """Fill in config.

    Parameters
    ----------
    corpus
        A sealed corpus of fMRI.
    model
        Checkpoint of a BrainMAE.
    out
        Folder of the results.
    split
        Whose scans are filled in.
    shares
        Of the regions that are hidden.
    seed
        Of which ones.
    n_runs
        Runs whose states are drawn.
    """

    corpus: str
    model: str
    out: str
    split: str = "test"
    shares: list[float] = field(default_factory=lambda: [0.2, 0.5, 0.8])
    seed: int = 0
    n_runs: int = 12

    def __post_init__(self):
        if not self.shares or not all(0 < share < 1 for share in self.shares):
            raise ValueError(f"shares are shares of the regions, between 0 and 1, got "
                             f"{self.shares}")


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return fill_in(config.parse(FillInConfig, argv, command="evaluate hidden-regions"))


def fill_in(run: FillInConfig) -> int:
    """Hide, fill in, compare, write table and page, seal."""
    out, corpus = Path(run.out), Corpus.open(run.corpus)
    parents = {"data": corpus.fingerprint, "model": checkpoints.fingerprint(run.model)}
    if artifacts.finished(out, "results", config=config.resolved(run), parents=parents):
        print(f"{out} is finished: nothing to do")
        return 0
    model = checkpoints.load(run.model)
    if not isinstance(model, BrainMAE):
        raise ValueError(f"{run.model}: wanted a BrainMAE, which fills in regions, this is a "
                         f"{type(model).__name__}")
    check_contract(model, run.model, corpus)
    windows = corpus.select(run.split)
    artifacts.claim(out, {**parents, **config.resolved(run)})
    torch.manual_seed(run.seed)
    untrained = BrainMAE(model.config).eval()
    scores = pd.concat([score(model, untrained, corpus, windows, share, whole, run.seed)
                        for whole in (False, True) for share in run.shares], ignore_index=True)
    table = summarise(scores)
    remarks = _remarks(run, corpus, windows)
    scores.to_csv(out / "subjects.tsv", sep="\t", index=False, float_format="%.4f")
    table.to_csv(out / "table.tsv", sep="\t", index=False, float_format="%.4f")
    _draw(out / "fill_in.png", scores)
    learned = brain_figures.draw(out, model, corpus, corpus.select("train"), windows[: run.n_runs])
    (out / "report.html").write_text(_page(run, corpus, table, remarks, learned, out))
    artifacts.seal(out, "results", config=config.resolved(run), parents=parents,
                   files=["subjects.tsv", "table.tsv", "fill_in.png", "report.html",
                          *(path.name for _, path, _ in learned)])
    print(table.to_string(index=False, float_format="{:.3f}".format))
    for remark in remarks:
        print(f"note: {remark}")
    print(f"page: {out / 'report.html'}")
    return 0


@torch.no_grad()
def score(
    model: BrainMAE, untrained: BrainMAE, corpus: Corpus, windows: np.ndarray, share: float,
    whole: bool, seed: int,
) -> pd.DataFrame:
    """A row a subject: R² of the hidden regions by the model, by its linear guess alone (NaN where
    it has none), by the untrained one and by ridge; 1 − squared error / squares, over the hidden
    regions of all of the subject's windows. whole: the same regions are hidden in all segments."""
    ridge = Ridge.of(corpus, share, seed)
    rows = []
    for window in windows.tolist():
        batch = corpus.batch(np.array([window]), geometry="head")
        names = corpus.layout(window).names
        seg = model.cut(batch)
        hidden = hide(seg.valid.shape[1], len(names), share, whole, seed + window)
        found = {"model": model.fill_in(batch, hidden[None])[0],
                 "guess": model.guess(batch, hidden[None])[0],
                 "random": untrained.fill_in(batch, hidden[None])[0],
                 "ridge": ridge.fill_in(seg.volumes, hidden, names)}
        counted = (hidden.T[None, :, :, None] & (seg.measured & seg.valid[..., None])[:, None])
        row = {"subject": corpus.subjects(np.array([window]))[0],
               "squares": float(torch.square(seg.volumes)[counted].sum())}
        for name, filled in found.items():
            row[name] = float(torch.square(seg.volumes - filled)[counted].sum())
        rows.append(row)
    each = pd.DataFrame(rows).groupby("subject", sort=True).sum()
    table = pd.DataFrame({name: 1 - each[name] / each["squares"]
                          for name in ("model", "guess", "random", "ridge")})
    if not model.config.n_factors:
        table["guess"] = np.nan
    return table.reset_index().assign(share=share, hidden="whole scan" if whole else "segments")


def hide(
    n_segments: int, n_regions: int, share: float, whole: bool, seed: int
) -> Bool[Tensor, "segment region"]:
    """Which regions are hidden in each segment."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(1 if whole else n_segments, n_regions, generator=generator)
    rank = drawn.argsort(dim=1).argsort(dim=1)
    return (rank < round(share * n_regions)).expand(n_segments, -1)


@dataclass(frozen=True, eq=False)
class Ridge:
    """The best linear prediction of regions from others in the same volume.

    Parameters
    ----------
    names
        Of the regions of `covariance`.
    penalty
        Added to its diagonal.
    """

    names: list[str]
    covariance: Float[np.ndarray, "region region"]
    penalty: float

    @classmethod
    def of(cls, corpus: Corpus, share: float, seed: int) -> "Ridge":
        """From the training people; the penalty is the one by which the validation people (without
        any: the training people) are filled in best at this share."""
        training = corpus.select("train")
        names = list(corpus.layout(training[0]).names)
        whole = [w for w in training.tolist() if set(corpus.layout(w).names) >= set(names)]
        volumes = np.concatenate([_measured(corpus, w, names) for w in whole], axis=1)
        covariance = volumes @ volumes.T / volumes.shape[1]
        chosen_by = corpus.select("validation")
        chosen_by = chosen_by if len(chosen_by) else training
        error = dict.fromkeys(PENALTIES, 0.0)
        for window in chosen_by.tolist():
            own = [name for name in corpus.layout(window).names if name in names]
            x = _measured(corpus, window, own)
            hidden = hide(1, len(own), share, True, seed + window)[0].numpy()
            for penalty in PENALTIES:
                found = cls(names, covariance, penalty).predict(x, hidden, own)
                error[penalty] += float(np.square(found - x[hidden]).mean())
        return cls(names, covariance, min(error, key=error.get))

    def predict(
        self, x: Float[np.ndarray, "region volume"], hidden: Bool[np.ndarray, " region"],
        names: list[str],
    ) -> Float[np.ndarray, "hidden volume"]:
        """The hidden regions of some volumes. names: of the regions of x."""
        place = {name: k for k, name in enumerate(self.names)}
        if lost := [name for name in names if name not in place]:
            raise ValueError(f"ridge regression knows the regions of the training people alone, "
                             f"not {', '.join(lost[:5])}: it needs one atlas")
        at = np.array([place[name] for name in names])
        seen = self.covariance[np.ix_(at[~hidden], at[~hidden])]
        seen = seen + self.penalty * np.eye(len(seen))
        return self.covariance[np.ix_(at[hidden], at[~hidden])] @ np.linalg.solve(seen, x[~hidden])

    def fill_in(
        self, volumes: Float[Tensor, "1 region segment volume"],
        hidden: Bool[Tensor, "segment region"], names: tuple[str, ...],
    ) -> Float[Tensor, "1 region segment volume"]:
        """All segments; regions that were seen stay 0."""
        found, x, mask = np.zeros(volumes.shape), volumes[0].double().numpy(), hidden.numpy()
        for segment in range(x.shape[1]):
            found[0, mask[segment], segment] = self.predict(x[:, segment], mask[segment],
                                                            list(names))
        return torch.from_numpy(found).float()


def _measured(corpus: Corpus, window: int, names: list[str]) -> Float[np.ndarray, "region volume"]:
    x = corpus.signal(window)
    place = {name: k for k, name in enumerate(corpus.layout(window).names)}
    x = x[[place[name] for name in names]]
    return x[:, np.isfinite(x).all(axis=0)].astype(np.float64)


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """A row a share: mean R² over subjects with 95 % bootstrap intervals, and the difference."""
    rows = []
    for (hidden, share), part in scores.groupby(["hidden", "share"], sort=False):
        value = {name: part[name].to_numpy()[None, :, None]
                 for name in ("model", "guess", "ridge")}
        row = {"hidden": hidden, "share": share, "subjects": len(part)}
        for name in ("model", "ridge"):
            found = statistics.interval(value[name])
            row |= {f"r2_{name}": found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
        row |= {f"r2_{name}": float(part[name].mean()) for name in ("guess", "random")}
        found, p = statistics.difference(value["model"], value["ridge"])
        row |= {"difference": found.mean, "low": found.low, "high": found.high, "p": p}
        rows.append(row)
    return pd.DataFrame(rows)


def _remarks(run: FillInConfig, corpus: Corpus, windows: np.ndarray) -> list[str]:
    ledger = checkpoints.read_ledger(run.model)
    rows = np.unique(corpus.windows["recording"].to_numpy()[windows])
    known = set(checkpoints.seen(ledger, corpus.recordings)["recording"])
    seen = corpus.recordings["recording"].iloc[rows].isin(known).sum()
    found = []
    if seen:
        found.append(f"{seen} of {len(rows)} scans are of people in the model's training data: "
                     f"what is said of them is not generalisation")
    if unlisted := checkpoints.doubt(ledger, corpus.recordings["dataset"].iloc[rows]):
        found.append(f"DOUBT: {unlisted}")
    return found


def _draw(path: Path, scores: pd.DataFrame) -> None:
    """Model against ridge, a dot a person."""
    plt = pyplot()
    kinds = list(dict.fromkeys(scores["hidden"]))
    figure, axes = plt.subplots(1, len(kinds), figsize=(4.2 * len(kinds), 4), layout="constrained",
                                squeeze=False, sharex=True, sharey=True)
    low = min(0.0, scores["ridge"].min(), scores["model"].min())
    for axis, kind in zip(axes[0], kinds, strict=True):
        part = scores[scores["hidden"] == kind]
        for k, (share, rows) in enumerate(part.groupby("share")):
            axis.plot(rows["ridge"], rows["model"], "o", ms=4, alpha=0.8, color=COLOURS[k],
                      label=f"{share:.0%} hidden")
        axis.plot([low, 1], [low, 1], color="0.7", lw=0.8, zorder=0)
        axis.set(xlabel="R² of ridge regression", title=f"hidden in {kind}"
                 if kind == "segments" else f"hidden in the {kind}")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("R² of the model")
    axes[0][0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _page(run: FillInConfig, corpus: Corpus, table: pd.DataFrame, remarks: list[str],
          learned: list[tuple[str, Path, str]], out: Path) -> str:
    layout = sensors_of(corpus.layout(int(corpus.select(run.split)[0])))
    about = f"{run.model} on {run.corpus}, {run.split} split, {layout}"
    shown = table.assign(p=[f"{p:.3f}" if p >= 0.001 else "< .001" for p in table["p"]]).rename(
        columns={"r2_model": "R² model", "r2_ridge": "R² ridge",
                 "r2_guess": "R² linear guess of the model", "r2_random": "R² random weights"})
    return report.page("Filling in hidden regions", about, [
        ("", "".join(report.paragraph(remark, "warning") for remark in remarks)),
        ("Hidden regions of people the model was not trained on", report.table(shown, dense=True)
         + report.paragraph(
             "R² is the share of a hidden region's variance that is filled in, mean over people; "
             "low and high are 95 % bootstrap intervals over people. Ridge regression sees the "
             "other regions of the same volume. So does the model where a region is hidden in the "
             "whole scan; hidden in segments, it also sees the region itself in other segments.",
             "small")),
        ("", report.figure(out / "fill_in.png", "R² of model and ridge", "A dot a person.")),
        *((heading, report.figure(path, heading, caption)) for heading, path, caption in learned),
        ("Signals", report.pairs(words.contract_in_words(corpus.contract))),
    ])


if __name__ == "__main__":
    sys.exit(main())
