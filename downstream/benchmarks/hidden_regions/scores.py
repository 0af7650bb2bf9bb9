"""R² of hidden regions: the model, its linear part, random weights, and ridge regression."""

import numpy as np
import pandas as pd
import torch

from neurofm.data.corpus import Corpus
from neurofm.models.protocol import RegionModel

from ...scoring import statistics
from .ridge import Ridge, hide


@torch.no_grad()
def score(
    model: RegionModel, untrained: RegionModel, corpus: Corpus, windows: np.ndarray, share: float,
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
    if (each["guess"] == each["squares"]).all():  # 0 everywhere: the model has no linear part
        table["guess"] = np.nan
    return table.reset_index().assign(share=share, hidden="whole scan" if whole else "segments")


def summarize(scores: pd.DataFrame) -> pd.DataFrame:
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
