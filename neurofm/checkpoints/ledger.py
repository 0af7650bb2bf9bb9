"""The ledger of a checkpoint: whom it was trained and validated on, what is not known of that."""

import numpy as np

from ..seen import signals, subject_keys
from . import dataset_ids


def training_ledger(data, windows_by_split: dict, parent: dict | None = None) -> dict:
    """Whom a checkpoint has seen: what decides whether a score is one of generalization.

    recordings: an entry a recording and role. published: where weights that others published are
    inside, an entry with what is known of their training; whose recordings were in it is not.
    datasets: data set → what was stated of its terms, {} where nothing was, with its id and
    version of OpenNeuro or the Hub where they are known. legs: where settings were changed during
    the training, an entry a stretch of steps (`leg_in_words`); added by the command that trained.

    data: Corpus or TokenSet. windows_by_split: split → indices of windows used in that role.
    parent: ledger of what this was made from (a tokenizer, a pretrained model); it is kept.
    """
    entries = list((parent or {}).get("recordings", []))
    known = {(entry["recording"], entry["role"], entry["subject"]) for entry in entries}
    table = data.recordings[["recording", "duration_s"]]
    keys, digests = subject_keys(data.recordings), signals(data.recordings)
    for role, windows in windows_by_split.items():
        rows = np.unique(data.windows["recording"].to_numpy()[windows]).tolist()
        for row, record in zip(rows, table.iloc[rows].to_dict("records"), strict=True):
            if (record["recording"], role, keys.iloc[row]) not in known:
                entries.append({
                    "recording": record["recording"], "role": role, "subject": keys.iloc[row],
                    "hours": round(float(record["duration_s"]) / 3600, 4),
                    **({"signal": digests.iloc[row]} if digests.iloc[row] else {}),
                })
    published = (parent or {}).get("published", [])
    known_terms, used = data.datasets, data.recordings["dataset"].fillna("")
    terms = {**(parent or {}).get("datasets", {}),
             **{name: _with_id(name, known_terms.get(name, {})) for name in sorted(set(used))}}
    return {"recordings": entries, "datasets": terms} | (
        {"published": published} if published else {})


def _with_id(name: str, terms: dict[str, str]) -> dict[str, str]:
    known, version = dataset_ids.found(name, terms)
    return terms | ({"id": known} if known else {}) | ({"version": version} if version else {})


def leg_in_words(leg: dict) -> str:
    """An entry of `legs` in words.

    Parameters
    ----------
    leg
        first and last step, what was changed ({name: [before, after]}), optimizer, schedule.

    Returns
    -------
    str
        Such as "steps 100 to 200: train.steps 100 → 200, optimizer kept".
    """
    changed = ", ".join(f"{name} {before} → {after}"
                        for name, (before, after) in leg["changed"].items()) or "as begun"
    return (f"steps {leg['first'] + 1} to {leg['last']}: {changed}; optimizer {leg['optimizer']}; "
            f"{leg['schedule']}; {leg['batch_windows']} windows a step")
