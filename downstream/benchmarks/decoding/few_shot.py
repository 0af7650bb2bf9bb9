"""Calibration curves: how well a new person is decoded from k labeled windows of theirs a class.

Calibration comes first, as in a real session: shots are drawn from the person's first windows, all
are judged on the same later windows, which share no samples with those. The classifier is the same
for every kind of features (a linear one on features standardized by other people's unlabeled
windows), so a curve says what the features are worth. "alone": from the shots only; "with others":
training people's windows too, shots weighing as much as all of theirs together; 0 shots = none of
the new person's.
"""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from ...decoder.labeled import Labeled
from ...protocol import leaks
from ...scoring import statistics

C = 0.01  # of the logistic regression on standardized features; the same for all of them


def curves(
    shots: list[int], networks, simple, parts: list[Labeled], seeds: int
) -> pd.DataFrame:
    """A row a method and number of shots: method, shots, mean, low, high (95 % over subjects and
    seeds), subjects; and, for every method but the first, its difference to "pretrained" paired
    over subjects (gain, gain_low, gain_high: the pretrained's minus its own).

    networks, simple: of the evaluation (either may be None: no curves of theirs). seeds: draws of
    shots, and random networks. Raises ValueError for labels that are numbers, or where nobody has
    enough windows.
    """
    if not parts[0].classes:
        raise ValueError("shots: calibration curves are of classes, these labels are numbers")
    shots, scores = sorted({int(k) for k in shots}), {}
    for fold in parts:
        for seed in range(seeds):
            for name, values in _features(networks, simple, fold, seed).items():
                for key, recall in _of_fold(values, fold, shots, seed).items():
                    scores[name, *key] = recall
    if not scores:
        raise ValueError(
            f"shots: no test subject has more than {max(shots)} windows of each class, so none "
            f"would be left to be judged; ask for fewer shots"
        )
    table: dict[tuple[str, int], dict[int, dict]] = {}
    for (name, how, k, subject, seed), recall in scores.items():
        table.setdefault((f"{name}, {how}", k), {}).setdefault(seed, {})[subject] = recall
    return _summary(table)


def _features(networks, simple, fold: Labeled, seed: int) -> dict[str, tuple]:
    """name → (windows, values [window, feature])."""
    found = {}
    for name, random in (("pretrained", False), ("random weights", True)) if networks else ():
        source = networks.features(random, fold, seed)
        found[name] = (source.windows, source.values.flatten(1).numpy())
    if simple is not None:
        found[simple.simplest] = (simple.windows, simple.features)
    return found


def _of_fold(values, fold: Labeled, shots: list[int], seed: int) -> dict:
    """(how, shots, subject, seed) → recall [class] on the subject's later windows."""
    windows, x = values
    rows = dict(zip(windows.tolist(), range(len(windows)), strict=True))

    def of(some: np.ndarray) -> np.ndarray:
        return x[[rows[w] for w in some.tolist()]]

    train = fold.windows["train"]
    mean, std = of(train).mean(axis=0), of(train).std(axis=0) + 1e-6
    others, target = (of(train) - mean) / std, fold.target[train]
    found, n_classes = {}, len(fold.classes)
    test, _, subjects = fold.of("test")
    for number, subject in enumerate(np.unique(subjects)):
        own = test[subjects == subject]
        early, late = parted(fold, own, max(shots))
        if late is None:
            continue
        rng = np.random.default_rng([seed, number])
        order = {k: rng.permutation(early[fold.target[early] == k]) for k in range(n_classes)}
        judged, wanted = (of(late) - mean) / std, fold.target[late]
        for k in shots:
            few = np.concatenate([order[c][:k] for c in range(n_classes)])
            mine, label = (of(few) - mean) / std if k else others[:0], fold.target[few]
            for how in (("alone",) if k else ()) + ("with others",):
                with_others = how == "with others"
                both = np.concatenate([others, mine]) if with_others else mine
                labels = np.concatenate([target, label]) if with_others else label
                weight = np.ones(len(both))
                if with_others and k:
                    weight[len(others):] = len(others) / len(mine)
                model = LogisticRegression(C=C, max_iter=100, class_weight="balanced")
                model.fit(both, labels, sample_weight=weight)
                named = model.predict(judged)
                recall, _ = statistics.recalls(wanted, named, np.zeros(len(late)), n_classes)
                found[how, k, subject, seed] = recall[0]
    return found


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


