"""Trackers by name (`train.track`), beside `log.jsonl`: TensorBoard, Weights & Biases, Trackio.

They are those of Accelerate, which writes to them on the main process. A run that is continued goes
on under the same id (`trackers.json` in its folder).
"""

import os
import uuid
from pathlib import Path
from typing import Literal

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from .. import artifacts
from ..extras import EXTRAS, installed, missing

Tracker = Literal["auto", "tensorboard", "wandb", "trackio"]
FILE_NAME = "trackers.json"
PROJECT = "neurofm"  # WANDB_PROJECT names another


def check(names: list[Tracker]) -> list[str]:
    """The trackers to be used; "auto" is TensorBoard where it is installed. Raises ValueError for
    one that is not installed."""
    found = []
    for name in names:
        if name == "auto":
            found += ["tensorboard"] * installed("tensorboard")
        elif not installed(name):
            what = missing(name) if name in EXTRAS else (
                f"needs {name}, which is not installed: pip install {name}")
            raise ValueError(f"train.track {name} {what}")
        else:
            found.append(name)
    return list(dict.fromkeys(found))


def start(names: list[str], accelerator: Accelerator, out: Path, first: int, settings: dict
          ) -> None:
    """Open the trackers of a run that goes on after `first` steps.

    settings: {"train.lr": 0.001, …}.
    """
    plain = {name: value if isinstance(value, bool | int | float | str) else str(value)
             for name, value in settings.items()}
    ids = _ids(names, out) if accelerator.is_main_process else dict.fromkeys(names, "")
    project = os.environ.get("WANDB_PROJECT", PROJECT)
    accelerator.trackers = [_made(name, project, out, first, ids.get(name, "")) for name in names]
    for tracker in accelerator.trackers:
        tracker.start()
        if first == 0 or tracker.name != "tensorboard":  # which makes a new folder each time
            tracker.store_init_configuration(plain)


def _made(name: str, project: str, out: Path, first: int, id_: str):
    kind = LOGGER_TYPE_TO_CLASS[name]
    if name == "tensorboard":
        return kind("tensorboard", str(out), purge_step=first + 1)
    if name == "wandb":
        return kind(project, id=id_, name=out.resolve().name, resume="allow", dir=str(out))
    return kind(project, name=f"{out.resolve().name}-{id_}", resume="allow")


def _ids(names: list[str], out: Path) -> dict[str, str]:
    """Id of the run for each tracker that has one; written when it is first asked for."""
    file = out / FILE_NAME
    found = artifacts.read_json(file) if file.is_file() else {}
    new = {name: uuid.uuid4().hex[:8] for name in names
           if name not in found and name != "tensorboard"}
    if new:
        out.mkdir(parents=True, exist_ok=True)
        artifacts.write_json(file, found | new, checked=True)
    return found | new
