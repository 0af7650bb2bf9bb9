"""The ledger of a checkpoint: whom it was trained and validated on, what is not known of that."""

import re
from collections.abc import Iterable

import pandas as pd

from ..data.windows import subject_keys

LEDGER = "training_data.json"


def training_ledger(data, windows_by_split: dict, parent: dict | None = None) -> dict:
    """Whom a checkpoint has seen: what decides whether a score is one of generalisation.

    recordings: an entry a recording and role. published: where weights that others published are
    inside, an entry with what is known of their training; whose recordings were in it is not.
    datasets: data set → what was stated of its terms, {} where nothing was.

    data: Corpus or TokenSet. windows_by_split: split → indices of windows used in that role.
    parent: ledger of what this was made from (a tokenizer, a pretrained model); it is kept.
    """
    entries = list((parent or {}).get("recordings", []))
    known = {(entry["recording"], entry["role"]) for entry in entries}
    keys = subject_keys(data.recordings)
    for role, windows in windows_by_split.items():
        rows = sorted(set(data.windows["recording"].to_numpy()[windows].tolist()))
        for row in rows:
            record = data.recordings.iloc[row]
            if (record["recording"], role) not in known:
                entries.append({
                    "recording": record["recording"], "role": role, "subject": keys.iloc[row],
                    "hours": round(float(record["duration_s"]) / 3600, 4),
                })
    published = (parent or {}).get("published", [])
    known_terms, used = getattr(data, "datasets", {}), data.recordings["dataset"].fillna("")
    terms = {**(parent or {}).get("datasets", {}),
             **{name: known_terms.get(name, {}) for name in sorted(set(used))}}
    return {"recordings": entries, "datasets": terms} | (
        {"published": published} if published else {})



def seen(ledger: dict | None, recordings: pd.DataFrame) -> pd.DataFrame:
    """The rows of `recordings` whose subject or recording stands in a checkpoint's ledger."""
    entries = (ledger or {}).get("recordings", [])
    subjects = {entry["subject"] for entry in entries}
    names = {entry["recording"] for entry in entries}
    known = subject_keys(recordings).isin(subjects) | recordings["recording"].isin(names)
    return recordings[known]


def doubt(ledger: dict | None, datasets: Iterable[str | None]) -> str | None:
    """What to say where published weights inside were trained on one of these data sets, of which
    it is not known whom they have seen; None where they were not."""
    named = {_plain(name): name for entry in (ledger or {}).get("published", [])
             for name in entry["datasets"]}
    shared = sorted({named[key] for key in map(_plain, filter(None, set(datasets)))
                     if key in named})
    if not shared:
        return None
    sets = f"data set{'s' * (len(shared) > 1)} {', '.join(shared)}"
    return (f"its training data included {sets}; whether anybody here was in it is not known, "
            f"since no list of its recordings was published")


def _plain(dataset: str) -> str:
    """A data set's name without what differs between copies: spelling, version, "-download"."""
    lower = dataset.casefold()
    if accession := re.match(r"ds\d{6}(?!\d)", lower):
        return accession[0]
    return re.sub(r"[\W_]+", "", re.sub(r"[-_ ]v?\d+(\.\d+)+$", "", lower))
