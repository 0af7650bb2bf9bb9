"""A finished artifact made ready for others: without this machine's paths, with a card, checked.

What is sent is a folder of its own. Weights, configuration, contract, ledger and shards are as
they were; `run.yaml` and the manifest name files without the folders they lay in here; the card is
written anew. A fresh process then loads it as anybody will, and must get the same answers.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import yaml

from .. import artifacts, results
from ..checkpoints import golden, robustness
from ..checkpoints.card import About, card
from ..checkpoints.robustness import Robustness
from ..checkpoints.store import load
from ..repository import LEDGER
from . import secrets
from .log_hours import hours_of

CHECKPOINT_FILES = ("config.json", "preprocessor_config.json", LEDGER, robustness.FILE_NAME)


class NotPublishable(ValueError):
    """What a person must settle before anything is sent."""


def stage_checkpoint(source: Path, out: Path, about: About, repo: str, metrics: dict) -> list[str]:
    """Fill `out` with what will be published of a checkpoint; returns the names of its files.

    Raises ArtifactError for a damaged source, NotPublishable for what must not leave.
    """
    manifest = artifacts.open_sealed(source, "checkpoint", hashes=True)
    model = load(source)
    if model.contract is None:
        raise NotPublishable(f"{source}: has no preprocessor_config.json: nobody would know which "
                             f"signals it takes")
    names = [name for name in manifest.files
             if name in CHECKPOINT_FILES or name.endswith(".safetensors")
             or name.endswith(".safetensors.index.json")]
    names = [name for name in names if name != golden.FILE]  # of an earlier publication: made anew
    if LEDGER not in names:
        raise NotPublishable(f"{source}: has no {LEDGER}: its training subjects would be unknown")
    for name in names:
        copied(source / name, out / name)
    _copy_settings(source / "run.yaml", out / "run.yaml")
    more = ["run.yaml", golden.FILE, "README.md"]
    if (scores := source / results.FILE_NAME).exists():
        _copy_results(scores, out / results.FILE_NAME)
        more.append(results.FILE_NAME)
    golden.save(model, out)
    ledger = json.loads((source / LEDGER).read_text())
    if about.hours is None and (hours := hours_of(source / "log.jsonl")) is not None:
        about = replace(about, hours=hours)
    (out / "README.md").write_text(
        card(model, ledger, metrics, about, repo, Robustness.read(out)))
    files = sorted([*names, *more])
    artifacts.seal(out, "checkpoint", config=secrets.without_paths(manifest.config),
                   parents=manifest.parents, files=files)
    refuse_secrets(out)
    check_in_fresh_process(out)
    return [*files, artifacts.FILE_NAME]


def refuse_secrets(folder: Path) -> None:
    """Raise NotPublishable where a text file holds what nobody else should see."""
    found = secrets.found_in(folder)
    if found:
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        raise NotPublishable("not published: " + "; ".join(map(str, found[:5])) + more
                             + ". Rename what the run called so, or train from other paths")


def check_in_fresh_process(folder: Path) -> None:
    """Load the folder as a stranger would, without network and strictly, and compare answers."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-m", "neurofm.hub.staging", str(folder)], env=env,
                          capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise NotPublishable(f"{folder}: does not load and answer as it did: "
                             f"{said[-1] if said else 'no reason was given'}")


def copied(source: Path, target: Path) -> None:
    """The same bytes. Shards, which nobody edits, are links where the disk allows it; what somebody
    may change in the staged folder must not change in the sealed one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if source.suffix == ".arrow":
        with contextlib.suppress(OSError):  # such as another disk
            os.link(source, target)
            return
    shutil.copyfile(source, target)


def _copy_settings(source: Path, target: Path) -> None:
    settings = yaml.safe_load(source.read_text()) if source.exists() else {}
    target.write_text(yaml.safe_dump(secrets.without_paths(settings), sort_keys=False))


def _copy_results(source: Path, target: Path) -> None:
    """What it scored on held-out subjects, with the names of data and models, not their folders."""
    found = json.loads(source.read_text())
    kept = {key: secrets.without_paths(found[key]) for key in ("data", "model", "command")}
    artifacts.write_json(target, {**found, **kept})


if __name__ == "__main__":
    golden.check(load(sys.argv[1]), Path(sys.argv[1]))
