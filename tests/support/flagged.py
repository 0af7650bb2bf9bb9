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
    manifest = artifacts.open_sealed(checkpoint, "checkpoint")
    folder.mkdir(parents=True)
    for name in manifest.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((checkpoint / name).read_bytes())
    ledger = {"recordings": [], "published": [{"name": "theirs", "datasets": list(datasets)}]}
    (folder / LEDGER).write_text(json.dumps(ledger))
    artifacts.seal(folder, "checkpoint", config=manifest.config, parents=manifest.parents,
                   files=[*manifest.files])
    return folder
