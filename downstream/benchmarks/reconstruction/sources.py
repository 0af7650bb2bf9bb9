"""Tokenizers of sources, beside principal component analysis, device by device.

Pearson r of each channel over each of the tokenizer's windows, mean over channels, windows and
subjects. PCA keeps as many components as the model has sources, without quantization: the best that
a linear code of that rank could do.
"""

import numpy as np
import pandas as pd
import torch

from neurofm.data.corpus import Corpus
from neurofm.nn.losses import pearson
from neurofm.nn.quantizer import perplexity
from neurofm.tokenizers.tokenizer import Tokenizer

from .compared import Compared

AT_MOST = 200  # windows that PCA is fitted on, and that it is scored on


def compare(
    tokenizers: dict[str, Tokenizer], corpus: Corpus, windows: np.ndarray, at_once: int = 16,
    seed: int = 0,
) -> Compared:
    """All tokenizers and PCA on each device. tokenizers: by name, "model" gives PCA its rank."""
    scores, levels, n_sources = {}, {}, 0
    for name, tokenizer in tokenizers.items():
        scores[name], uses, sources = score(tokenizer, corpus, windows, at_once)
        levels[name] = perplexity(uses).tolist()
        n_sources = n_sources or sources
    devices = device_of_recordings(corpus)[corpus.windows["recording"].to_numpy()]
    people, pca = corpus.subjects(windows), f"pca{n_sources}"
    subjects, rows, notes = [], [], []
    for device, key in enumerate(dict.fromkeys(devices[windows])):
        here = devices[windows] == key
        kinds = corpus.layout(windows[here][0]).kinds
        sensors = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        of_pca, fitted_on = pca_pearson(corpus, devices == key, windows[here], n_sources, seed)
        by_subject = {name: pd.Series(own[here]).groupby(people[here]).mean()
                      for name, own in scores.items()}
        for name, own in {**by_subject, pca: of_pca}.items():
            subjects.append(pd.DataFrame({
                "device": device, "sensors": sensors, "method": name, "subject": own.index,
                "pearson": own.to_numpy(float)}))
        for name, own in by_subject.items():
            rows.append({
                "tokenizer": name, "sensors": sensors, "subjects": len(own),
                "windows": int(here.sum()), "pearson": own.mean(), "lowest_subject": own.min(),
                pca: of_pca.mean(), "pca_fitted_on": fitted_on})
        if fitted_on != "training subjects":
            notes.append(f"{pca} was fitted on the windows it is scored on ({sensors}), since no "
                         f"training subject has this device: its score is too high")
    said = [f"codebook perplexity a level, of {tokenizers[name].config.n_codes} ({name}): "
            + " ".join(f"{value:.0f}" for value in own) for name, own in levels.items()]
    return Compared(pd.DataFrame(rows), pd.concat(subjects, ignore_index=True), levels,
                    "training subjects of the device", said, notes)


@torch.inference_mode()
def score(
    tokenizer: Tokenizer, corpus: Corpus, windows: np.ndarray, at_once: int
) -> tuple[np.ndarray, torch.Tensor, int]:
    """(Mean Pearson r over the channels of each of `windows`, float32 [window]; how often each
    code was used, [level, code]; number of sources)."""
    uses, n_sources = torch.zeros(0), 0
    scores = np.zeros(len(windows), dtype=np.float32)
    by_width = np.argsort(corpus.widths(windows), kind="stable")
    length = tokenizer.window_length
    for start in range(0, len(windows), at_once):
        rows = by_width[start : start + at_once]
        batch = corpus.batch(windows[rows])
        tokens, signal = tokenizer.reconstruct(batch)
        n_times = batch.signal.shape[-1] // length * length  # a zero-filled tail is not scored
        r = pearson(
            signal[..., :n_times].unflatten(-1, (-1, length)),
            batch.signal[..., :n_times].unflatten(-1, (-1, length)),
        ).mean(-1)
        scores[rows] = (r * batch.valid).sum(1) / batch.valid.sum(1)
        counts = torch.stack([torch.bincount(tokens.ids[..., level].flatten(),
                                             minlength=tokenizer.config.n_codes)
                              for level in range(tokens.ids.shape[-1])]).double()
        uses = counts if not len(uses) else uses + counts
        n_sources = tokens.ids.shape[1]
    return scores, uses, n_sources


def device_of_recordings(corpus: Corpus) -> np.ndarray:
    """What tells devices apart: the names of the sensors. (Layouts of one helmet differ from head
    to head.)"""
    names = {key: "\0".join(sensors.names) for key, sensors in corpus.layouts.items()}
    return corpus.recordings["layout"].map(names).to_numpy()


def pca_pearson(
    corpus: Corpus, of_device: np.ndarray, windows: np.ndarray, n_components: int, seed: int = 0
) -> tuple[pd.Series, str]:
    """(Pearson r of each subject's windows projected on principal components; what these were
    fitted on: the device's training windows, or the windows themselves where there are none).

    of_device: bool for each window of the corpus.
    """
    train = (corpus.recordings["split"] == "train").to_numpy()
    fit = np.flatnonzero(of_device & train[corpus.windows["recording"].to_numpy()])
    fitted_on = "training subjects" if len(fit) else "the same windows"
    fit = fit if len(fit) else windows
    chosen = np.random.default_rng(seed).choice(fit, min(AT_MOST, len(fit)), replace=False)
    covariance = sum(np.cov(corpus.signal(w)) for w in chosen)
    vectors = np.linalg.eigh(covariance)[1][:, -n_components:]
    project = torch.from_numpy((vectors @ vectors.T).astype(np.float32))
    people, found = corpus.subjects(windows), {}
    each = max(1, len(windows) // AT_MOST)
    for subject in np.unique(people):
        signals = [torch.from_numpy(corpus.signal(window).copy())
                   for window in windows[people == subject][::each]]
        found[subject] = np.mean([pearson(project @ x, x).mean().item() for x in signals])
    return pd.Series(found), fitted_on
