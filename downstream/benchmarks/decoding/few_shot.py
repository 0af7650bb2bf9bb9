"""Calibration curves: how well a new person is decoded from k labeled windows of theirs a class.

Calibration comes first, as in a real session: shots are drawn from the person's first windows, all
are judged on the same later windows, which share no samples with those. The classifier is the same
for every kind of features (a linear one on features standardized by other people's unlabeled
windows), so a curve says what the features are worth. "alone": from the shots only; "with others":
training people's windows too, shots weighing as much as all of theirs together; 0 shots = none of
the new person's.

Of an automatic decoder each view has curves, and their answers are added: with others by the shares
that the decoder found in other people, alone all views alike. Other people are those of training
and validation; a person's center is that of all of their windows, without labels.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from ...decoder.labeled import Labeled
from ...protocol import leaks
from ...scoring import statistics

C = 0.01  # of the logistic regression on standardized features; the same for all of them


class Values(NamedTuple):
    """Features of windows, and which windows are of other people."""

    windows: np.ndarray
    features: np.ndarray  # [window, feature]
    others: np.ndarray


def curves(
    shots: list[int], networks, simple, parts: list[Labeled], seeds: int, automatic=None
) -> pd.DataFrame:
    """A row a method and number of shots: method, shots, mean, low, high (95 % over subjects and
    seeds), subjects; and, for every method but the first, its difference to "pretrained" paired
    over subjects (gain, gain_low, gain_high: the pretrained's minus its own).

    networks, simple: of the evaluation (either may be None: no curves of theirs). seeds: draws of
    shots, and random networks. automatic: fold → (name, Values and share of each view). Raises
    ValueError for labels that are numbers, or where nobody has enough windows.
    """
    if not parts[0].classes:
        raise ValueError("shots: calibration curves are of classes, these labels are numbers")
    shots, scores = sorted({int(k) for k in shots}), {}
    for fold in parts:
        name, views = automatic(fold) if automatic is not None else ("", {})
        for seed in range(seeds):
            found = {kind: _answers(values, fold, shots, seed)
                     for kind, values in _features(networks, simple, fold, seed).items()}
            if views:
                found |= _added(name, views, fold, shots, seed)
            for kind, answers in found.items():
                for key, (wanted, log) in answers.items():
                    recall, _ = statistics.recalls(wanted, log.argmax(axis=1),
                                                   np.zeros(len(wanted)), len(fold.classes))
                    scores[kind, *key] = recall[0]
    if not scores:
        raise ValueError(
            f"shots: no test subject has more than {max(shots)} windows of each class, so none "
            f"would be left to be judged; ask for fewer shots"
        )
    table: dict[tuple[str, int], dict[int, dict]] = {}
    for (name, how, k, subject, seed), recall in scores.items():
        table.setdefault((f"{name}, {how}", k), {}).setdefault(seed, {})[subject] = recall
    return _summary(table)


def _features(networks, simple, fold: Labeled, seed: int) -> dict[str, Values]:
    """Features by name."""
    found, others = {}, fold.windows["train"]
    for name, random in (("pretrained", False), ("random weights", True)) if networks else ():
        source = networks.features(random, fold, seed)
        found[name] = Values(source.windows, source.values.flatten(1).numpy(), others)
    if simple is not None:
        found[simple.simplest] = Values(simple.windows, simple.features, others)
    return found


def _added(
    name: str, views: dict[str, tuple[Values, float]], fold: Labeled, shots: list[int], seed: int
) -> dict[str, dict]:
    """Answers of each view, and of all of them together."""
    found = {f"{name}: {view}": _answers(values, fold, shots, seed)
             for view, (values, _) in views.items()}
    share = np.array([weight for _, weight in views.values()])
    alike = np.full(len(share), 1 / len(share))
    together = {}
    for key, (wanted, _) in next(iter(found.values())).items():
        log = np.stack([answers[key][1] for answers in found.values()])
        weight = share if key[0] == "with others" else alike
        together[key] = wanted, np.tensordot(weight, log, 1)
    return {name: together, **found}


def _answers(values: Values, fold: Labeled, shots: list[int], seed: int) -> dict:
    """(how, shots, subject, seed) → (labels of the subject's later windows, log-probabilities)."""
    rows = dict(zip(values.windows.tolist(), range(len(values.windows)), strict=True))

    def place(some: np.ndarray) -> list[int]:
        return [rows[w] for w in some.tolist()]

    train, x = values.others, values.features
    mean, std = x[place(train)].mean(axis=0), x[place(train)].std(axis=0) + 1e-6
    test, _, subjects = fold.of("test")
    inside = place(np.concatenate([train, test]))
    small = _few_columns((x[inside] - mean) / std)
    z = np.zeros((len(x), small.shape[1]))
    z[inside] = small
    others, target = z[place(train)], fold.target[train]
    found, n_classes, without = {}, len(fold.classes), None
    for number, subject in enumerate(np.unique(subjects)):
        early, late = parted(fold, test[subjects == subject], max(shots))
        if late is None:
            continue
        rng = np.random.default_rng([seed, number])
        order = {k: rng.permutation(early[fold.target[early] == k]) for k in range(n_classes)}
        judged, wanted = z[place(late)], fold.target[late]
        for k in shots:
            few = np.concatenate([order[c][:k] for c in range(n_classes)])
            mine, label = z[place(few)], fold.target[few]
            if k:
                found["alone", k, subject, seed] = wanted, _classifier(
                    mine, label, np.ones(len(mine))).predict_log_proba(judged)
                weight = np.append(np.ones(len(others)),
                                   np.full(len(mine), len(others) / len(mine)))
                model = _classifier(np.concatenate([others, mine]),
                                    np.concatenate([target, label]), weight)
            else:
                without = without or _classifier(others, target, np.ones(len(others)))
                model = without
            found["with others", k, subject, seed] = wanted, model.predict_log_proba(judged)
    return found


def _classifier(x: np.ndarray, target: np.ndarray, weight: np.ndarray) -> LogisticRegression:
    model = LogisticRegression(C=C, max_iter=100, class_weight="balanced")
    return model.fit(x, target, sample_weight=weight)


def _few_columns(x: np.ndarray) -> np.ndarray:
    """The windows in as many coordinates as there are windows, where features are more: distances
    and inner products stay, so the classifier's answers do."""
    if x.shape[1] <= len(x):
        return x
    value, vector = np.linalg.eigh(x @ x.T)
    kept = value > 1e-9 * max(value[-1], 1e-300)
    return vector[:, kept] * np.sqrt(value[kept])


def parted(
    fold: Labeled, own: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """(the first `most` windows of each class, the later ones that share no samples with them) of
    one subject; None where a class has none left."""
    table = fold.corpus.windows.iloc[own]
    own = own[np.lexsort((table["start_s"].to_numpy(), table["recording"].to_numpy()))]
    target, classes = fold.target[own], range(len(fold.classes))
    early = np.concatenate([own[target == k][:most] for k in classes])
    late = np.setdiff1d(own, early)
    touching = {there for _, there in leaks.overlapping(fold.corpus, early, late)}
    late = np.array([w for w in late.tolist() if w not in touching], dtype=int)
    enough = all((fold.target[early] == k).sum() == most and (fold.target[late] == k).any()
                 for k in classes)
    return early, late if enough else None


def _summary(table: dict) -> pd.DataFrame:
    rows = []
    stacked = {
        key: np.stack([np.stack([by[subject] for subject in sorted(by)]) for by in seeds.values()])
        for key, seeds in table.items()
    }  # [seed, subject, class]
    for (method, k), recall in stacked.items():
        estimate = statistics.interval(recall)
        row = {"method": method, "shots": k, "mean": estimate.mean, "low": estimate.low,
               "high": estimate.high, "subjects": recall.shape[1]}
        ours = stacked.get(("pretrained, " + method.rpartition(", ")[2], k))
        if ours is not None and not method.startswith("pretrained"):
            gain, _ = statistics.difference(ours, recall)
            row |= {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high}
        rows.append(row)
    return pd.DataFrame(rows).sort_values(["method", "shots"], ignore_index=True)


