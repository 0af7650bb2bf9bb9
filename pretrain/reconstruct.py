"""How well a tokenizer reconstructs recordings it has never seen, layout by layout.

    neurofm reconstruct --corpus corpus/ --tokenizer runs/tokenizer --out results/

Everything is encoded with no channel hidden, decoded, and compared channel by channel (Pearson r
over the tokenizer's windows). Beside it stands principal component analysis with as many components
as the tokenizer has sources, without any quantisation: what a linear code of that rank could do.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from neurofm import artifacts, cli, config, hub
from neurofm.data.corpus import Corpus
from neurofm.nn.losses import pearson

from .report import reconstruction_figure


@dataclass
class ReconstructConfig:
    """corpus, tokenizer: sealed folders. split: whose recordings are reconstructed. out: folder
    for the table, the figure and the sealed results. batch_windows: encoded at a time."""

    corpus: str
    tokenizer: str
    out: str
    split: str = "test"
    batch_windows: int = 16


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return reconstruct(config.parse(ReconstructConfig, argv, command="reconstruct"))


def reconstruct(run: ReconstructConfig) -> int:
    """Write the table and the figure, print the table, seal the folder."""
    corpus, tokenizer, out = Corpus.open(run.corpus), hub.load(run.tokenizer), Path(run.out)
    windows = corpus.select(run.split)
    flagged = hub.seen(hub.read_ledger(run.tokenizer), corpus.recordings)
    used = corpus.recordings.iloc[np.unique(corpus.windows["recording"].to_numpy()[windows])]
    known = used.index.intersection(flagged.index)
    if len(known):
        print(f"{len(known)} of {len(used)} recordings are of subjects in the tokenizer's training "
              f"data: what follows is not generalisation for them")
    scores = score(tokenizer, corpus, windows, run.batch_windows)
    table = summarise(scores, corpus, windows, tokenizer.config.n_sources)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "reconstruction.tsv", sep="\t", index=False)
    perplexity = code_perplexity(tokenizer, corpus, windows, run.batch_windows)
    artifacts.write_json(out / "perplexity.json", {"perplexity": perplexity})
    reconstruction_figure(tokenizer, corpus, windows, out / "reconstruction.png")
    artifacts.seal(
        out, "results", config=config.resolved(run),
        parents={"corpus": corpus.fingerprint, "tokenizer": hub.fingerprint(run.tokenizer)},
        files=["reconstruction.tsv", "perplexity.json", "reconstruction.png"],
    )
    print(table.to_string(index=False, float_format="{:.3f}".format))
    print("codebook perplexity a level, of", f"{tokenizer.config.n_codes}:",
          " ".join(f"{value:.0f}" for value in perplexity))
    print(f"results in {out}")
    return 0


@torch.inference_mode()
def score(tokenizer, corpus: Corpus, windows: np.ndarray, at_once: int) -> np.ndarray:
    """Mean Pearson r over the channels of each of `windows`, float32 [window]."""
    scores = np.zeros(len(windows), dtype=np.float32)
    by_width = np.argsort(corpus.widths(windows), kind="stable")
    length = tokenizer.config.window_length
    for start in range(0, len(windows), at_once):
        rows = by_width[start : start + at_once]
        batch = corpus.batch(windows[rows])
        codes = tokenizer.encode(batch, overlap=0.0)
        n_times = batch.signal.shape[-1] // length * length  # a zero-filled tail is not scored
        signal = tokenizer.decode(codes, batch.geometry, batch.kind, batch.valid, overlap=0.0)
        r = pearson(
            signal[..., :n_times].unflatten(-1, (-1, length)),
            batch.signal[..., :n_times].unflatten(-1, (-1, length)),
        ).mean(-1)
        scores[rows] = (r * batch.valid).sum(1) / batch.valid.sum(1)
    return scores


def summarise(
    scores: np.ndarray, corpus: Corpus, windows: np.ndarray, n_components: int
) -> pd.DataFrame:
    """A row a device: subjects, windows, Pearson (mean over subjects), PCA beside it."""
    devices = device_of_recordings(corpus)[corpus.windows["recording"].to_numpy()]
    subjects = corpus.subjects(windows)
    rows = []
    for device in dict.fromkeys(devices[windows]):
        here = devices[windows] == device
        by_subject = pd.Series(scores[here]).groupby(subjects[here]).mean()
        kinds = corpus.layout(windows[here][0]).kinds
        pca, fitted_on = pca_pearson(corpus, devices == device, windows[here], n_components)
        rows.append({
            "sensors": ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)),
            "subjects": len(by_subject), "windows": int(here.sum()),
            "pearson": by_subject.mean(), "lowest_subject": by_subject.min(),
            f"pca{n_components}": pca, "pca_fitted_on": fitted_on,
        })
    return pd.DataFrame(rows)


def device_of_recordings(corpus: Corpus) -> np.ndarray:
    """What tells devices apart: the names of the sensors. (Layouts of one helmet differ from head
    to head.)"""
    names = {key: "\0".join(sensors.names) for key, sensors in corpus.layouts.items()}
    return corpus.recordings["layout"].map(names).to_numpy()


def pca_pearson(
    corpus: Corpus, of_device: np.ndarray, windows: np.ndarray, n_components: int,
    at_most: int = 200,
) -> tuple[float, str]:
    """Pearson r of `windows` projected on principal components of the device's training windows.

    of_device: bool for each window of the corpus. A device without training windows has no
    components to project on; they are then fitted on the windows themselves, which flatters PCA,
    and the second value says so.
    """
    train = (corpus.recordings["split"] == "train").to_numpy()
    fit = np.flatnonzero(of_device & train[corpus.windows["recording"].to_numpy()])
    fitted_on = "training subjects" if len(fit) else "the same windows"
    fit = fit if len(fit) else windows
    rng = np.random.default_rng(0)
    chosen = rng.choice(fit, min(at_most, len(fit)), replace=False)
    covariance = sum(np.cov(corpus.signal(w)) for w in chosen)
    vectors = np.linalg.eigh(covariance)[1][:, -n_components:]
    r = []
    for window in windows[:: max(1, len(windows) // at_most)]:
        signal = torch.from_numpy(corpus.signal(window).copy())
        kept = torch.from_numpy((vectors @ vectors.T).astype(np.float32)) @ signal
        r.append(pearson(kept, signal).mean().item())
    return float(np.mean(r)), fitted_on


@torch.inference_mode()
def code_perplexity(tokenizer, corpus: Corpus, windows: np.ndarray, at_once: int) -> list[float]:
    """exp(entropy) of the codes used over all `windows`, a level."""
    n_levels, n_codes = tokenizer.config.n_levels, tokenizer.config.n_codes
    counts = torch.zeros(n_levels, n_codes)
    for start in range(0, len(windows), at_once):
        ids = tokenizer.encode(corpus.batch(windows[start : start + at_once]), overlap=0.0).ids
        for level in range(n_levels):
            counts[level] += torch.bincount(ids[..., level].flatten(), minlength=n_codes)
    share = counts / counts.sum(1, keepdim=True)
    return torch.special.entr(share).sum(1).exp().tolist()


if __name__ == "__main__":
    sys.exit(cli.main(["reconstruct", *sys.argv[1:]]))
