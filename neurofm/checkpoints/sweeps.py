"""A sweep of trainings (`neurofm pretrain --sweep`) as a table: what each run scored."""

import json
import math
from pathlib import Path

import pandas as pd

from .. import artifacts, json_file
from ..pages import table

FILE_NAME = "sweep.json"  # number, folder and settings of each run
_LOG = "log.jsonl"
_NUMBERS = ("step", "loss", "val/loss")  # of its lines


def said(folder: str | Path) -> str:
    """The runs, those with the lowest validation loss first, in words.

    Parameters
    ----------
    folder
        Folder of a sweep.

    Returns
    -------
    str
        Lines for the terminal.
    """
    frame = compared(folder)
    done = int((frame["state"] == "finished").sum())
    rows = table.text(frame.assign(**{name: [_short(value) for value in frame[name]]
                                      for name in ("val/loss", "loss") if name in frame}))
    return f"{done} of {len(frame)} runs are finished\n{rows}"


def compared(folder: str | Path) -> pd.DataFrame:
    """A row a run: its settings, its state, and its lowest validation loss.

    Parameters
    ----------
    folder
        Folder of a sweep.

    Returns
    -------
    DataFrame
        Sorted by validation loss; the loss of training where none was measured. Unfinished runs
        come last.
    """
    rows = []
    for run in _runs(Path(folder) / FILE_NAME):
        out = Path(folder) / run["name"]
        finished = artifacts.is_sealed(out)
        lines = _lines(out / _LOG)
        step = max((line["step"] for line in lines), default=0)
        rows.append({
            "number": run["number"], **{key: json.dumps(value).strip('"')
                                        for key, value in run["settings"].items()},
            "state": "finished" if finished else f"at step {step}" if step else "not begun",
            "val/loss": min((line["val/loss"] for line in lines
                             if math.isfinite(line.get("val/loss", math.nan))), default=None),
            "loss": next((line["loss"] for line in reversed(lines) if "loss" in line), None)})
    frame = pd.DataFrame(rows)
    frame["_late"] = frame["state"] != "finished"
    return frame.sort_values(["_late", "val/loss", "loss"]).drop(columns="_late").reset_index(
        drop=True)


def _runs(path: Path) -> list[dict]:
    """Number, name and settings of each. Raises ValueError where the list was changed."""
    with json_file.shaped(path, "a list of the runs of a sweep"):
        runs = artifacts.read_json(path)["runs"]
        for run in runs:
            number, name, settings = run["number"], run["name"], run["settings"]
            if not (isinstance(number, int) and isinstance(settings, dict)
                    and isinstance(name, str) and name == Path(name).name):
                raise ValueError(f"a run has a number, a folder in this one, and settings; found "
                                 f"{number!r}, {name!r}, {settings!r}"[:300])
        if not runs:
            raise ValueError("it has none")
    return runs


def _lines(path: Path) -> list[dict]:
    found = []
    for text in path.read_text().splitlines() if path.is_file() else []:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):  # cut by a crash
            break
        if not isinstance(line, dict) or not all(
                isinstance(line.get(name, 0), int | float) for name in _NUMBERS):
            break
        found.append({"step": 0, **line})
    return found


def _short(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.4g}"
