"""Checkpoints: saving one with all that is known of it, and loading one by path or repo id.

    checkpoint/
      config.json  model.safetensors     transformers' own files
      preprocessor_config.json           the InputContract of the signals it takes
      training_data.json                 the ledger: whom it was trained and validated on
      run.yaml                           the resolved configuration of the run
      README.md                          the card
      manifest.json                      written last
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from . import artifacts
from .data.windows import subject_keys

LEDGER = "training_data.json"


def load(path_or_repo: str | Path, revision: str | None = None):
    """Load a tokenizer, model or decoder from a folder or a Hub repository id.

    Returns the model in evaluation mode, its `contract` attached. Strict: a missing, unexpected or
    mis-shaped weight is an error.
    """
    from transformers import AutoModel

    from .models import register_auto_classes

    register_auto_classes()
    _check_place(path_or_repo)
    try:
        return AutoModel.from_pretrained(str(path_or_repo), revision=revision).eval()
    except OSError as problem:
        raise _not_given(path_or_repo, problem) from problem


def _check_place(path_or_repo: str | Path) -> None:
    """A folder must hold a checkpoint; what is no folder must look like a repository id."""
    path = Path(path_or_repo)
    if artifacts.is_sealed(path):
        artifacts.open_sealed(path, "checkpoint")
    elif path.exists() and not (path / "config.json").exists():
        inside = sorted(p.name for p in path.iterdir()) if path.is_dir() else "a file"
        raise ValueError(
            f"{path}: wanted a checkpoint folder (config.json, model.safetensors), found "
            f"{inside}; an unfinished run has only `state/`: run its command again"
        )
    # "runs/tokenizer" could be either; where there is a folder `runs`, it was meant as a path.
    elif not path.exists() and (str(path).count("/") != 1 or path.parent.is_dir()):
        raise ValueError(f"{path_or_repo}: no such folder, and not a Hub repository id (org/name)")


def _not_given(path_or_repo: str | Path, problem: OSError) -> ValueError:
    reason = " ".join(str(problem).split())
    if Path(path_or_repo).exists():
        return ValueError(f"{path_or_repo}: could not be loaded: {reason}")
    return ValueError(f"{path_or_repo}: there is no such folder here, and as a repository the Hub "
                      f"does not give it: {reason}")


def fingerprint(path_or_repo: str | Path) -> str:
    """16 hex digits of a checkpoint's weights, config and contract.

    A folder that `save_pretrained` wrote by itself has no manifest: its weights are hashed.
    """
    _check_place(path_or_repo)
    folder = Path(path_or_repo)
    if folder.is_dir() and not artifacts.is_sealed(folder):
        files = {file.name: [0, artifacts.sha256(file)] for file in
                 (*folder.glob("*.safetensors"), folder / "config.json") if file.exists()}
        return artifacts.Manifest("checkpoint", files, {}).fingerprint
    if folder.is_dir():
        return artifacts.open_sealed(folder, "checkpoint").fingerprint
    path = _find(path_or_repo, artifacts.FILE_NAME)
    if path is None:
        raise ValueError(f"{path_or_repo}: the repository has no {artifacts.FILE_NAME}; it was not "
                         f"published by neurofm: save it again with neurofm.hub.save_checkpoint")
    return json.loads(path.read_text())["fingerprint"]


def training_ledger(data, windows_by_split: dict, parent: dict | None = None) -> dict:
    """Whom a checkpoint has seen: what decides whether a score is one of generalisation.

    recordings: an entry a recording and role. published: where weights that others published are
    inside, an entry with what is known of their training; whose recordings were in it is not.

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
    return {"recordings": entries} | ({"published": published} if published else {})


def read_ledger(path_or_repo: str | Path) -> dict | None:
    """The training ledger of a checkpoint, None where it has none."""
    path = _find(path_or_repo, LEDGER)
    return None if path is None else json.loads(path.read_text())


def _find(path_or_repo: str | Path, name: str) -> Path | None:
    """A file of a checkpoint folder or Hub repository, None where it has none."""
    if Path(path_or_repo).is_dir():
        path = Path(path_or_repo) / name
        return path if path.exists() else None
    from transformers.utils import cached_file

    try:  # a Hub that cannot be reached is not a repository without the file
        found = cached_file(str(path_or_repo), name, _raise_exceptions_for_missing_entries=False)
    except OSError as problem:
        raise _not_given(path_or_repo, problem) from problem
    return None if found is None else Path(found)


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


def save_checkpoint(
    model, folder: str | Path, *, config: dict, parents: dict[str, str], ledger: dict,
    metrics: dict[str, float],
) -> artifacts.Manifest:
    """Write a model with its contract, ledger, configuration and card, and seal the folder."""
    import yaml

    folder = Path(folder)
    if model.contract is None:
        raise ValueError(f"{folder}: a checkpoint is not saved without its InputContract; "
                         f"set model.contract to that of the data it was trained on")
    model.save_pretrained(folder)
    artifacts.write_json(folder / LEDGER, ledger)
    (folder / "run.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "README.md").write_text(card(model, ledger, metrics))
    files = sorted(path.name for path in folder.iterdir()
                   if path.suffix in (".json", ".safetensors", ".md", ".yaml", ".jsonl")
                   and path.name not in (artifacts.FILE_NAME, artifacts.CLAIM)
                   and not path.name.startswith("."))
    return artifacts.seal(folder, "checkpoint", config=config, parents=parents, files=files)


def card(model, ledger: dict, metrics: dict[str, float]) -> str:
    """The model card, made from what is known, in the Hub's form."""
    contract = model.contract
    roles: dict[str, set] = {}
    for entry in ledger["recordings"]:
        roles.setdefault(entry["role"], set()).add(entry["subject"])
    hours = sum(entry["hours"] for entry in ledger["recordings"])
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    data = "; ".join(f"{role}: {len(subjects)} subjects" for role, subjects in roles.items())
    trained = f"Trained on corpus `{contract.corpus}`: {data}; {hours:.2f} h.\n" if roles else ""
    published = ledger.get("published", [])
    trained += "".join(
        f"\nHolds weights published by others: {entry['weights']} ({entry['licence']}; "
        f"{entry['paper']}), trained on {', '.join(entry['datasets']) or 'no data set named'} "
        f"({entry['note']}).\n"
        for entry in published)
    # As published; what was trained on them since is under the terms of whoever trained it.
    licence = "" if roles or not published else f"license: {published[0]['licence'].lower()}\n"
    kind = "fmri" if contract.modality == "fmri" else "eeg, meg"
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in sorted(metrics.items()))
    return f"""---
library_name: neurofm
{licence}tags: [{kind}, brain, {model.config.model_type}]
---
# {type(model).__name__}

{n_parameters / 1e6:.2f} M parameters. {contract.in_words()}

{trained}
| metric | value |
|---|---|
{rows}

```python
import neurofm
model = neurofm.load("PATH OR ORG/NAME")
features = neurofm.embed({"scan" if kind == "fmri" else "raw"}, model)
```
"""
