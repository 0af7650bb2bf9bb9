"""Do answers follow something else that is known of people, such as how much they moved?

Where groups differ in a covariate, a method may tell them apart by it. Three things are told: how
the covariate goes with the label; how each method's answers go with it among people of the same
label, where the label cannot be why; and how well the method does in people below and above the
covariate's median.
"""

import numpy as np
import pandas as pd
from scipy import stats

from neurofm.data.corpus import Corpus
from neurofm.pages import words

from ..decoder.labeled import described

LABEL = "the label itself"


def check(corpus: Corpus, names: list[str]) -> None:
    """Raise ValueError for a covariate that no recording has as a number."""
    for name in names:
        if not np.isfinite(of_recordings(corpus, name)).any():
            raise ValueError(f"covariates: no recording of {corpus.folder} has a number {name!r}; "
                             f"columns and attributes are {', '.join(described(corpus))}")


def of_recordings(corpus: Corpus, name: str) -> np.ndarray:
    """The column or attribute as a number, [recording]; NaN where it is none."""
    known = described(corpus)
    if name not in known:
        return np.full(len(known), np.nan)
    return pd.to_numeric(known[name], errors="coerce").to_numpy(float)


def table(
    predictions: pd.DataFrame, classes: tuple[str, ...], corpus: Corpus, names: list[str]
) -> pd.DataFrame:
    """A row a covariate and method, and one of the label itself.

    columns: covariate, method, subjects (who have it), r (Spearman's, of the answer and the
    covariate; of methods among people of one label), p, low_half, high_half (balanced accuracy, or
    mean absolute error, of people below and above the median). The answer: log-odds of the second
    of two classes, the probability of the true one of more, or the number; means over a subject's
    windows and seeds.
    """
    rows: list[dict] = []
    for name in names:
        value = pd.Series(of_recordings(corpus, name), index=corpus.recordings["recording"])
        for method, part in predictions.groupby("method", sort=False):
            each = _by_subject(part.assign(covariate=part["recording"].map(value)), classes)
            each = each[np.isfinite(each["covariate"])]
            if len(each) < 4:
                continue
            if not rows or rows[-1]["covariate"] != name:
                rows.append({"covariate": name, "method": LABEL, "subjects": len(each),
                             **_spearman(each["label"], each["covariate"])})
            # Of what the label says there is nothing left in either.
            groups = each["label"] if classes else None
            left = [_without(each[column], groups, each["label"])
                    for column in ("answer", "covariate")]
            halves = each["covariate"] > each["covariate"].median()
            rows.append({
                "covariate": name, "method": method, "subjects": len(each), **_spearman(*left),
                "low_half": _score(each[~halves], bool(classes)),
                "high_half": _score(each[halves], bool(classes)),
            })
    return pd.DataFrame(rows)


def _by_subject(part: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """A row a subject: label as a number, covariate, answer, and whether (how far) it is wrong."""
    if classes:
        shares = part[[f"p_{name}" for name in classes]].to_numpy(float)
        true = part["label"].map({name: k for k, name in enumerate(classes)}).to_numpy(int)
        if len(classes) == 2:
            shares = shares.clip(1e-6, 1 - 1e-6)
            answer = np.log(shares[:, 1] / shares[:, 0])
        else:
            answer = shares[np.arange(len(true)), true]
        wrong = shares.argmax(axis=1) != true
    else:
        true, answer = part["label"].to_numpy(float), part["predicted"].to_numpy(float)
        wrong = np.abs(answer - true)
    frame = pd.DataFrame({"subject": part["subject"].to_numpy(), "label": true, "answer": answer,
                          "wrong": np.asarray(wrong, dtype=float),
                          "covariate": part["covariate"].to_numpy(float)})
    return frame.groupby("subject").mean()


def _spearman(one, other) -> dict[str, float]:
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return {"r": float("nan"), "p": float("nan")}
    r, p = stats.spearmanr(one, other)
    return {"r": float(r), "p": float(p)}


def _without(values: pd.Series, groups: pd.Series | None, label: pd.Series) -> np.ndarray:
    """Ranks with the mean of each label taken out; of numbers what a line on their ranks says."""
    rank = values.rank().to_numpy(float)
    if groups is not None:
        return rank - pd.Series(rank, index=values.index).groupby(groups.to_numpy()).transform(
            "mean").to_numpy()
    slope, level = np.polyfit(label.rank().to_numpy(float), rank, 1)
    return rank - slope * label.rank().to_numpy(float) - level


def _score(each: pd.DataFrame, classes: bool) -> float:
    """Balanced accuracy, or mean absolute error."""
    if not classes:
        return float(each["wrong"].mean())
    return float(1 - each.groupby("label")["wrong"].mean().mean())


def in_words(found: pd.DataFrame, best: str) -> list[str]:
    """Lines for people. best: the method of which is told."""
    lines = []
    for name, part in found.groupby("covariate", sort=False):
        label, own = part[part["method"] == LABEL].iloc[0], part[part["method"] == best]
        lines.append(f"{name} and the label: r = {words.number(label['r'], 2, True)} "
                     f"({words.p_is(label['p'])}, {words.count(int(label['subjects']), 'subject')})"
                     + "".join(f"; {name} and the answers of {best} among people of one label: r = "
                               f"{words.number(row['r'], 2, True)} ({words.p_is(row['p'])})"
                               for _, row in own.iterrows()))
    return lines
