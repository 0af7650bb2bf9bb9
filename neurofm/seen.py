"""Who a model was trained on, held against the people it is judged on: LEAK and DOUBT.

A ledger (`training_data.json`, beside the weights) lists the recordings behind a checkpoint. A
person in the ledger makes a score a LEAK: it is not generalization. Weights that others published
list data sets at most, not recordings: on one of these data sets the score is in DOUBT.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Flag:
    """One thing that a reader of a score must know."""

    kind: str  # "LEAK" or "DOUBT"
    model: str  # name of the model that it is about, as the command names it
    text: str  # one sentence, the same on the terminal, in results.json and on the page
    # "dataset/subject" of those concerned; empty where they are not known
    subjects: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def flags(ledgers: Mapping[str, dict | None], judged: pd.DataFrame | None) -> list[Flag]:
    """LEAK and DOUBT of every model.

    Parameters
    ----------
    ledgers
        Name of a model → its ledger, None where it has none.
    judged
        A row a recording with the columns recording, dataset, subject, and either signal or quality
        (see `signals`); None where nobody is judged.
    """
    if judged is None or not len(judged):
        return []
    found = []
    for model, ledger in ledgers.items():
        known = sorted(set(subject_keys(seen(ledger, judged))))
        if known:
            n = judged.pipe(subject_keys).nunique()
            found.append(Flag("LEAK", model, leak_sentence(model, known, n), tuple(known)))
        if unlisted := doubt(ledger, judged["dataset"]):
            found.append(Flag("DOUBT", model, f"{model}: {unlisted}"))
    return found


def leak_sentence(model: str, known: list[str], n: int) -> str:
    """What to say where some of the people judged (`known`, of `n`) were in the training data."""
    several, more = len(known) != 1, f" and {len(known) - 3} more" if len(known) > 3 else ""
    return (f"{model}: {len(known)} of {n} subject{'s' * (n != 1)} judged here "
            f"{'are' if several else 'is'} in its training data ({', '.join(known[:3])}{more}); "
            f"scores on {'them' if several else 'this subject'} are not generalization: judge "
            f"others, or train the model without {'them' if several else 'this one'}")


def subject_keys(recordings: pd.DataFrame) -> pd.Series:
    """'dataset/subject': who a recording is of, across data sets that all have a 'sub-01'."""
    return recordings["dataset"].fillna("") + "/" + recordings["subject"].fillna("")


def seen(ledger: dict | None, recordings: pd.DataFrame) -> pd.DataFrame:
    """The rows of `recordings` whose subject, recording or signal stands in a checkpoint's ledger:
    a file may have come under another name."""
    entries = (ledger or {}).get("recordings", [])
    subjects = {entry["subject"] for entry in entries}
    names = {entry["recording"] for entry in entries}
    digests = {entry["signal"] for entry in entries if entry.get("signal")}
    known = (subject_keys(recordings).isin(subjects) | recordings["recording"].isin(names)
             | signals(recordings).isin(digests))
    return recordings[known]


def signals(recordings: pd.DataFrame) -> pd.Series:
    """sha256 of the signal of each recording as it was read; "" where that is not known."""
    if "signal" in recordings:
        return recordings["signal"].fillna("")
    if "quality" in recordings:
        return recordings["quality"].map(lambda text: json.loads(text or "{}").get("signal", ""))
    return pd.Series("", index=recordings.index)


def doubt(ledger: dict | None, datasets: Iterable[str | None]) -> str | None:
    """The sentence for published weights that were trained on one of these data sets, where the
    list of their recordings is not known; None where they were not."""
    named = {_plain(name): name for entry in (ledger or {}).get("published", [])
             for name in entry["datasets"]}
    shared = sorted({named[key] for key in map(_plain, filter(None, set(datasets)))
                     if key in named})
    if not shared:
        return None
    sets = f"data set{'s' * (len(shared) > 1)} {', '.join(shared)}"
    return (f"its training data included {sets}; it is not known whether anybody judged here was "
            f"in it, since no list of its recordings was published")


def _plain(dataset: str) -> str:
    """A data set's name without what differs between copies: spelling, version, "-download"."""
    lower = dataset.casefold()
    if accession := re.match(r"ds\d{6}(?!\d)", lower):
        return accession[0]
    return re.sub(r"[\W_]+", "", re.sub(r"[-_ ]v?\d+(\.\d+)+$", "", lower))
