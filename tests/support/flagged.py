"""LEAK and DOUBT stand in three places: on the terminal, in results.json and on the page."""

import json
from pathlib import Path

from neurofm import artifacts
from neurofm.repository import LEDGER
from neurofm.results import Results


def check(out: Path, said: str, kind: str, model: str, subjects: tuple[str, ...] = ()) -> None:
    """said: what the command printed. kind, model, subjects: of the one flag."""
    (flag,) = Results.load(out).flags
    assert (flag.kind, flag.model, flag.subjects) == (kind, model, subjects)
    assert f"{kind}: {flag.text}" in said
    assert f"{kind}: {flag.text}" in (out / "report.html").read_text()


def of_published(checkpoint: Path, folder: Path, *datasets: str) -> Path:
    """The checkpoint as if others had published its weights, trained on these data sets."""
    ledger = {"recordings": [], "published": [{"name": "theirs", "datasets": list(datasets)}]}
    return changed(checkpoint, folder, LEDGER, ledger)


def changed(made: Path, folder: Path, name: str, content: dict) -> Path:
    """A copy of a sealed folder (a checkpoint, generated signals) whose file `name`, JSON, holds
    something else: LEDGER whom the model has seen, FILE_NAME its contract."""
    manifest = artifacts.open_sealed(made)
    files = {*manifest.listed, name}
    for each in files - {name}:
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / each).write_bytes((made / each).read_bytes())
    (folder / name).write_text(json.dumps(content))
    artifacts.seal(folder, manifest.kind, config=manifest.config, parents=manifest.parents,
                   files=sorted(files))
    return folder
