"""Is the model recognizing people rather than states?

Features by which a person is known at once, and a task where each person has one label, are a
trap: a decoder may remember people. And where features say nothing about people, re-centering can
gain nothing. The probe asks how well a linear classifier that has seen the first half of each
recording's windows names whose the second half is, beside chance.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..decoder import features
from ..decoder.features import InMemory
from ..decoder.labeled import Labeled


def probe(networks, simple, data: Labeled) -> dict[str, float]:
    """Share of windows of training subjects whose subject is named rightly: pretrained, the same
    re-centered, random weights, log band power; and chance, the share of the subject who has most.

    networks, simple: of the evaluation; either may be None, and its features are left out.
    """
    windows = data.windows["train"]
    first, second = halves(data, windows)
    if len(first) == 0 or len(np.unique(data.corpus.subjects(second))) < 2:
        return {}
    found = {}
    if networks is not None:
        pretrained = networks.features(False, data, 0)
        sources = {"pretrained": pretrained,
                   "pretrained, re-centered": features.recentered(pretrained, [windows]),
                   "random weights": networks.features(True, data, 0)}
        found = {name: _of_features(source, first, second) for name, source in sources.items()}
    # Where baselines take part of the windows alone, theirs would be another question.
    if simple is not None and np.isin(windows, simple.windows).all():
        power = (simple.features[np.searchsorted(simple.windows, part)]
                 for part in (first, second))
        found[simple.simplest] = _named(*power, *map(data.corpus.subjects, (first, second)))
    counts = np.unique(data.corpus.subjects(second), return_counts=True)[1]
    return {**found, "chance": float(counts.max() / counts.sum())}


def halves(data: Labeled, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows of the first and of the second half of each recording, one window's time apart."""
    recording = data.corpus.windows["recording"].to_numpy()[windows]
    start_s = data.corpus.windows["start_s"].to_numpy()[windows]
    first, second = [], []
    for row in np.unique(recording):
        own = recording == row
        middle = np.median(start_s[own])
        first.append(windows[own & (start_s < middle)])
        second.append(windows[own & (start_s >= middle + (data.corpus.contract.window_s or 0.0))])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def _of_features(source: InMemory, first: np.ndarray, second: np.ndarray) -> float:
    seen, asked = (source.take(part).flatten(1).numpy() for part in (first, second))
    return _named(seen, asked, source.whose(first), source.whose(second))


def _named(seen: np.ndarray, asked: np.ndarray, whose: np.ndarray, wanted: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=200))
    model.fit(seen, whose)
    return float(model.score(asked, wanted))
