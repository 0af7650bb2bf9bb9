"""How well a tokenizer reconstructs recordings it has never seen, layout by layout.

    neurofm evaluate reconstruction --corpus corpus/ --tokenizer runs/tokenizer --out results/

Everything is encoded with no channel hidden, decoded, and compared channel by channel (Pearson r
over the tokenizer's windows). Beside it stands principal component analysis with as many components
as the tokenizer has sources, without any quantisation: what a linear code of that rank could do.
Tokenizers of single samples: `reconstruct_samples`.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from neurofm import artifacts, checkpoints, config
from neurofm.checkpoints.contracts import check_contract
from neurofm.checkpoints.tokenizer import open_tokenizer
from neurofm.data.corpus import Corpus
from neurofm.nn.losses import pearson
from neurofm.nn.quantizer import perplexity
from neurofm.tokenizers.sample_tokenizer import SampleTokenizer

from .figures import reconstruction_figure
from .samples import compare


@dataclass
class ReconstructConfig:
    """Reconstruct recordings and compare them with the originals.

    Parameters
    ----------
    corpus
        A sealed corpus.
    tokenizer
        Checkpoint of a tokenizer.
    out
        Folder of the table and the figure.
    beside
        Checkpoints of other tokenizers of single samples, for the same table.
    split
        Whose recordings are reconstructed.
    batch_windows
        Windows encoded at a time.
    """

    corpus: str
    tokenizer: str
    out: str
    beside: list[str] = field(default_factory=list)
    split: str = "test"
    batch_windows: int = 16

    def __post_init__(self):
        if self.batch_windows < 1:
            raise ValueError(f"batch_windows must be at least 1, got {self.batch_windows}")


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return reconstruct(config.parse(ReconstructConfig, argv, command="evaluate reconstruction"))


def reconstruct(run: ReconstructConfig) -> int:
    """Write the table and the figure, print the table, seal the folder."""
    corpus, out = Corpus.open(run.corpus), Path(run.out)
    made_from = {"corpus": corpus.fingerprint, "tokenizer": checkpoints.fingerprint(run.tokenizer)}
    if artifacts.is_sealed(out):
        _refuse_others(run, made_from, out)
        print(f"{out} is finished: nothing to do")
        return 0
    tokenizer = open_tokenizer(run.tokenizer)
    check_contract(tokenizer, run.tokenizer, corpus, same_geometry=True)
    windows = corpus.select(run.split)
    flagged = checkpoints.seen(checkpoints.read_ledger(run.tokenizer), corpus.recordings)
    used = corpus.recordings.iloc[np.unique(corpus.windows["recording"].to_numpy()[windows])]
    known = used.index.intersection(flagged.index)
    if len(known):
        print(f"{len(known)} of {len(used)} recordings are of subjects in the tokenizer's training "
              f"data: what follows is not generalisation for them")
    if unlisted := checkpoints.doubt(checkpoints.read_ledger(run.tokenizer), used["dataset"]):
        print(f"DOUBT: the tokenizer: {unlisted}")
    if isinstance(tokenizer, SampleTokenizer):
        return _samples(run, tokenizer, corpus, windows, made_from, out)
    if run.beside:
        raise ValueError("beside: tokenizers of single samples are compared side by side, and this "
                         "is another kind; leave it out")
    scores, uses = score(tokenizer, corpus, windows, run.batch_windows)
    table = summarise(scores, corpus, windows, tokenizer.config.n_sources)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "reconstruction.tsv", sep="\t", index=False)
    perplexities = perplexity(uses).tolist()
    artifacts.write_json(out / "perplexity.json", {"perplexity": perplexities})
    reconstruction_figure(tokenizer, corpus, windows, out / "reconstruction.png")
    artifacts.seal(
        out, "results", config=config.resolved(run), parents=made_from,
        files=["reconstruction.tsv", "perplexity.json", "reconstruction.png"],
    )
    print(table.to_string(index=False, float_format="{:.3f}".format))
    print("codebook perplexity a level, of", f"{tokenizer.config.n_codes}:",
          " ".join(f"{value:.0f}" for value in perplexities))
    print(f"results in {out}")
    return 0


def _samples(run, tokenizer, corpus: Corpus, windows, made_from: dict, out: Path) -> int:
    every = {run.tokenizer: tokenizer, **{path: open_tokenizer(path) for path in run.beside}}
    for path in run.beside:
        if not isinstance(every[path], SampleTokenizer):
            raise ValueError(f"beside: {path} is no tokenizer of single samples")
        if differing := [line for line in every[path].contract.differences(corpus.contract)
                         if not line.startswith(("kinds:", "notch_hz:", "lowpass_hz:"))]:
            print(f"note: {path} was made for other signals ({'; '.join(differing)})")
    table = compare(every, corpus, windows, run.batch_windows)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "reconstruction.tsv", sep="\t", index=False)
    artifacts.seal(out, "results", config=config.resolved(run), parents=made_from,
                   files=["reconstruction.tsv"])
    print(table.to_string(index=False, float_format="{:.2f}".format))
    print(f"results in {out}")
    return 0


def _refuse_others(run: ReconstructConfig, made_from: dict[str, str], out: Path) -> None:
    """Results of other things are not what is being asked for."""
    found = artifacts.open_sealed(out, "results")
    made = {**found.parents, "split": found.config.get("split")}
    wanted = {**made_from, "split": run.split}
    if made != wanted:
        raise ValueError(f"{out} holds other results ({made}, wanted {wanted}): choose another "
                         f"--out")


@torch.inference_mode()
def score(
    tokenizer, corpus: Corpus, windows: np.ndarray, at_once: int
) -> tuple[np.ndarray, torch.Tensor]:
    """(mean Pearson r over the channels of each of `windows`, float32 [window]; how often each
    code was used, [level, code])."""
    n_levels, n_codes = tokenizer.config.n_levels, tokenizer.config.n_codes
    uses = torch.zeros(n_levels, n_codes, dtype=torch.float64)
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
        for level in range(n_levels):
            uses[level] += torch.bincount(codes.ids[..., level].flatten(), minlength=n_codes)
    return scores, uses


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

