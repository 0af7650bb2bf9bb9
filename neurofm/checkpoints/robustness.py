"""robustness.json: how a decoder's score falls on worse recordings, measured on validation people.

Version 1, fields in this order:

    version      1
    metric       "balanced_accuracy" (more is better) or "mae" (less is better)
    chance       the metric of answers that carry no information about the window
    n_channels   median number of channels of the windows
    windows      windows per subject, at most
    seed         of the channels and samples that were drawn
    conditions   [{lowpass_hz, channels, artifacts, score, low, high, subjects: {subject: score}}]

The first condition lacks nothing. `low` and `high` are the 95 % interval of the score over people;
null where the validation people are too few for one.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import artifacts, json_file
from ..data.lacks import Lacks
from ..pages import words
from ..repository import find

FILE_NAME = "robustness.json"
VERSION = 1
HEADS = ("channels", "band", "artifacts", "score")  # of `Robustness.rows`


@dataclass(frozen=True)
class Condition:
    """The score under one condition."""

    lacks: Lacks
    score: float
    # of the score over people; NaN where there are too few of them
    low: float
    high: float
    subjects: dict[str, float]  # "dataset/subject" → its score


@dataclass(frozen=True)
class Robustness:
    """The score of a decoder under every condition; fields as in robustness.json."""

    metric: str
    chance: float
    n_channels: int
    windows: int
    seed: int
    conditions: tuple[Condition, ...]

    @property
    def full(self) -> Condition:
        """The condition that lacks nothing."""
        return self.conditions[0]

    @property
    def less_is_better(self) -> bool:
        return self.metric == "mae"

    def save(self, folder: str | Path) -> None:
        """Write robustness.json."""
        rows = [{**vars(each.lacks), "score": each.score, "low": _json(each.low),
                 "high": _json(each.high), "subjects": each.subjects} for each in self.conditions]
        artifacts.write_json(Path(folder) / FILE_NAME,
                             {"version": VERSION, **vars(self), "conditions": rows})

    @classmethod
    def read(cls, path_or_repo: str | Path) -> "Robustness | None":
        """That of a checkpoint; None where none was measured.

        Raises
        ------
        ValueError
            The file is of a version that this neurofm does not know.
        """
        path = find(path_or_repo, FILE_NAME)
        if path is None:
            return None
        found = json_file.read(path)
        if (version := found.pop("version", None)) != VERSION:
            raise ValueError(f"{path}: version {version}, this neurofm reads version {VERSION}")
        with json_file.shaped(path, "scores on worse recordings"):
            rows = found.pop("conditions")
            if not isinstance(found["metric"], str):
                raise TypeError(f"the name of a metric, got {found['metric']!r}")
            numbers: dict[str, Any] = {name: kind(found.pop(name)) for name, kind in
                       (("chance", float), ("n_channels", int), ("windows", int), ("seed", int))}
            conditions = tuple(
                Condition(Lacks(_known(row["lowpass_hz"]), _known(row["channels"]),
                                float(row["artifacts"])),
                          float(row["score"]), _number(row["low"]), _number(row["high"]),
                          {str(each): float(score) for each, score in row["subjects"].items()})
                for row in rows)
            if not conditions:
                raise ValueError("no condition")
            return cls(**found, **numbers, conditions=conditions)

    def rows(self) -> list[list[str]]:
        """What the recordings have (`HEADS`), and the score with its interval, for tables."""
        return [[words.percent(each.lacks.channels or 1.0),
                 f"up to {each.lacks.lowpass_hz:g} Hz" if each.lacks.lowpass_hz else "whole",
                 words.percent(each.lacks.artifacts),
                 words.estimate(each.score, each.low, each.high)] for each in self.conditions]

    @property
    def has_intervals(self) -> bool:
        """Whether there were subjects enough for intervals."""
        return math.isfinite(self.full.low)

    def about(self) -> str:
        """How it was measured, in two sentences."""
        n = len(self.full.subjects)
        between = "95 % interval over subjects" if self.has_intervals else (
            "too few subjects for an interval")
        return (f"Measured on {words.count(n, 'validation subject')} with at most "
                f"{words.count(self.windows, 'window')} each. "
                f"{in_words(self.metric).capitalize()}, {between}; chance is "
                f"{words.number(self.chance)}.")


def in_words(metric: str) -> str:
    """Name of a metric for people."""
    return metric.replace("mae", "mean absolute error").replace("_", " ")


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _known(value: float | None) -> float | None:
    return None if value is None else float(value)
