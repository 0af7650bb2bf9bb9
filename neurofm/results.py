"""results.json: what a command found, in one form for every question.

Schema version 1, fields in this order:

    version      1
    question     "decoding", "reconstruction", "hidden-regions", "next-token", "generation", "bold",
                 or the command that answered: "decode", "stream", "synthesize", …
    data         where the recordings lay, as given; None where there were none
    model        the checkpoint, as given; None where only baselines were compared
    methods      names of all that were compared, the order of the tables
    protocol     who trained, who chose, who was judged: {kind: …, …}
    seeds        seeds of everything that draws
    subjects     number of people judged; None where it is unknown
    scores       [{method, metric, value, low, high, unit, n, …}]: a mean with its 95 % interval
    comparisons  [{a, b, metric, difference, low, high, p, …}]: a minus b, paired
    summary      the answer in a sentence or two, as on the terminal and on the page
    flags        [{kind: LEAK or DOUBT, model, text, subjects}]
    notes        sentences that a reader of the scores must know
    command      the words that make it again
    versions     neurofm, its commit, and libraries that decide numbers

A score or comparison may have further keys (hidden: "segments", layout: "eeg19"): they say of which
part of the data it is. Numbers that are not finite are null.
"""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import artifacts, json_file
from .pages import words
from .seen import Flag

FILE_NAME = "results.json"
VERSION = 1


@dataclass
class Results:
    """What a command found; the fields are those of results.json (see the module).

    Parameters
    ----------
    question, data, model, methods, protocol, seeds, subjects
        What was asked of what, how, and of how many people.
    scores, comparisons
        Rows made by `score` and `comparison`.
    summary, notes
        The answer in words, and what a reader of it must know.
    flags, command, versions
        Filled in by the frame (`neurofm.run`).
    """

    question: str
    data: str | list[str] | None = None
    model: str | None = None
    methods: list[str] = field(default_factory=list)
    protocol: dict = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    subjects: int | None = None
    scores: list[dict] = field(default_factory=list)
    comparisons: list[dict] = field(default_factory=list)
    summary: str = ""
    flags: list[Flag] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for rows, wanted in ((self.scores, {"method", "metric", "value"}),
                             (self.comparisons, {"a", "b", "metric", "difference"})):
            for row in rows:
                if lacking := wanted - row.keys():
                    raise ValueError(f"a row of results lacks {sorted(lacking)}: {row}")

    def __repr__(self) -> str:
        parts = [words.count(len(rows), what) for rows, what in (
            (self.scores, "score"), (self.comparisons, "comparison"), (self.flags, "flag"),
            (self.notes, "note")) if rows]
        return f"<Results | {self.question}: {', '.join(parts) or 'nothing'}>"

    def __str__(self) -> str:
        """The answer, then what a reader of it must know, a line each."""
        return "\n".join([self.summary or repr(self), *map(str, self.flags), *self.notes])

    def save(self, folder: str | Path) -> None:
        """Write results.json.

        Parameters
        ----------
        folder
            Where to.
        """
        artifacts.write_json(Path(folder) / FILE_NAME,
                             _plain({"version": VERSION, **asdict(self)}))

    @classmethod
    def load(cls, folder: str | Path) -> "Results":
        """Read results.json.

        Parameters
        ----------
        folder
            Where it lies.

        Raises
        ------
        ValueError
            The file is missing, or of a version that this neurofm does not know.
        """
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            raise ValueError(f"{path}: no such results file")
        artifacts.check_file(folder, FILE_NAME)
        found = json_file.read(path)
        if (version := found.pop("version", None)) != VERSION:
            raise ValueError(f"{path}: version {version}, this neurofm reads version {VERSION}")
        with json_file.shaped(path, "results"):
            found["flags"] = [Flag(**{**flag, "subjects": tuple(flag["subjects"])})
                              for flag in found["flags"]]
            return cls(**found)


def score(method: str, metric: str, interval, *, unit: str = "", n: int | None = None,
          **part) -> dict:
    """A row of `Results.scores`. interval: has mean, low and high; or a number."""
    return {"method": method, "metric": metric, "value": _mean(interval),
            "low": getattr(interval, "low", None), "high": getattr(interval, "high", None),
            "unit": unit, "n": n, **part}


def comparison(a: str, b: str, metric: str, interval, p: float | None = None, **part) -> dict:
    """A row of `Results.comparisons`: a minus b. interval: as in `score`."""
    return {"a": a, "b": b, "metric": metric, "difference": _mean(interval),
            "low": getattr(interval, "low", None), "high": getattr(interval, "high", None),
            "p": p, **part}


def _mean(interval):
    """Of an interval; a number (of numpy too, whose `mean` is a method) is its own."""
    return interval.mean if hasattr(interval, "low") else interval


def _plain(value):
    """JSON without NaN, which other readers refuse; numbers of numpy as Python's."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
