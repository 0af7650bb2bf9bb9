"""Predictions of a decoder as a table, and what they are worth on people it was not trained on."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from neurofm import artifacts, checkpoints
from neurofm.models.protocol import WindowDecoder

from ..decoder import features
from ..decoder.features import InMemory
from ..decoder.labeled import Labeled
from . import metrics, statistics


@torch.no_grad()
def predict(
    decoder: WindowDecoder, pooled: InMemory, windows: np.ndarray, device, batch_windows: int = 256
) -> np.ndarray:
    """Probabilities [window, class], or numbers [window, 1], of windows whose features are known.

    A decoder that re-centers takes the mean of each subject's windows (by each device) among those
    given.
    """
    decoder.to(device).eval()
    rows = pooled.rows(windows)
    answers = np.empty((len(windows), len(decoder.classes) or 1))
    for group in pooled.alike(rows) if decoder.recentered else [rows]:
        values = pooled.values[torch.from_numpy(group)]
        center = features.center(values).to(device) if decoder.recentered else None
        parts = [decoder.name(part.to(device), center) for part in values.split(batch_windows)]
        answers[np.isin(rows, group)] = torch.cat(parts).double().cpu().numpy()
    return answers


def table_of(data: Labeled, answers: np.ndarray, ledger: dict | None) -> pd.DataFrame:
    """A row a test window: whose, which, when, label, predicted, p_CLASS, seen_in_pretraining.

    answers: probabilities [window, class], or numbers [window, 1].
    """
    windows, corpus = data.windows["test"], data.corpus
    rows = corpus.windows.iloc[windows]
    records = corpus.recordings.iloc[rows["recording"].to_numpy()]
    known = checkpoints.seen(ledger, corpus.recordings)["recording"]
    names, target = np.array(data.classes), data.target[windows]
    table = pd.DataFrame({
        "fold": data.fold,
        "window": windows,
        "subject": corpus.subjects(windows),
        "recording": records["recording"].to_numpy(),
        "start_s": rows["start_s"].to_numpy(),
        "label": names[target] if data.classes else target,
        "predicted": names[answers.argmax(axis=1)] if data.classes else answers[:, 0],
        "seen_in_pretraining": records["recording"].isin(known).to_numpy(),
    })
    for k, name in enumerate(data.classes):
        table[f"p_{name}"] = answers[:, k]
    return table


def subjects_seen(table: pd.DataFrame) -> int:
    """Subjects of a table of predictions that the model below the decoder was trained on."""
    if "seen_in_pretraining" not in table:
        return 0
    return int(table.loc[table["seen_in_pretraining"].astype(bool), "subject"].nunique())


def judge(table: pd.DataFrame, classes: tuple[str, ...]) -> dict:
    """What a table of predictions is worth: balanced accuracy with its interval and chance, or how
    near numbers come. exchanges: ways to exchange the labels, of which p_chance is a share."""
    about = {"subjects": int(table["subject"].nunique()), "windows": len(table),
             "subjects_seen": subjects_seen(table)}
    if not classes:
        label, predicted = table["label"].to_numpy(float), table["predicted"].to_numpy(float)
        return {"mae": metrics.score("mae", label, predicted),
                "r2": metrics.score("r2", label, predicted),
                "pearson_r": metrics.score("pearson", label, predicted), **about}
    recall, target, predicted = recalls_of(table, classes)
    estimate = statistics.interval(recall[None])
    by_chance, p = statistics.chance(
        target, predicted[None], table["subject"].to_numpy(), table["recording"].to_numpy(),
        len(classes),
    )
    return {
        "balanced_accuracy": estimate.mean, "low": estimate.low, "high": estimate.high,
        "chance": by_chance.mean, "chance_high": by_chance.high, "p_chance": p,
        "exchanges": min(by_chance.count, 1_000_000), **about,
    }


def save_test(
    checkpoint: Path, table: pd.DataFrame, metrics: dict, *, config: dict, parents: dict[str, str]
) -> None:
    """Write what a decoder said of people it was not trained on, and what that is worth, beside it:
    `neurofm decode` tells its users."""
    out = checkpoint / "test"
    out.mkdir(parents=True, exist_ok=True)
    table.to_parquet(out / "predictions.parquet", index=False)
    artifacts.write_json(out / "metrics.json", metrics)
    artifacts.seal(out, "results", config=config, parents=parents,
                   files=["predictions.parquet", "metrics.json"])


def recalls_of(
    table: pd.DataFrame, classes: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(recall [subject, class], target, predicted) of a table of predictions."""
    index = {name: k for k, name in enumerate(classes)}
    target = table["label"].map(index).to_numpy()
    predicted = table["predicted"].map(index).to_numpy()
    recall, _ = statistics.recalls(target, predicted, table["subject"].to_numpy(), len(classes))
    return recall, target, predicted
