"""Which recordings lie in the given files and folders, and whose they are.

BIDS folders are asked for their entities; in plain folders names of files are matched against a
small table of the user's, and without one the name of the file stands for the subject.
"""

import csv
import glob
import hashlib
import re
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from . import bids, readers

_IDENTITY = ("dataset", "subject", "session", "task", "run")
# Sidecars and results of analyses that share an extension with recordings.
_NO_RECORDING = re.compile(
    r"[-_](eve|cov|trans|fwd|src|sol|bem|inv|ica|proj|events|channels|electrodes|coordsystem|scans"
    r"|participants|tfr|morph|label|meg_channels)\.(fif|fif\.gz|csv|mat|npy)$|^participants\.csv$",
    re.IGNORECASE,
)
_LATER_PART = re.compile(r"(-[1-9]\d?\.fif|_split-(?!0*1_)\d+_.*\.fif)(\.gz)?$", re.IGNORECASE)
_BIDS_ENTITY = {"subject": "sub", "session": "ses", "task": "task", "run": "run"}


@dataclass(frozen=True)
class Job:
    """A recording to be ingested. id: name of its shard; source: what messages and tables call it.

    size, mtime_ns: of the file and its companions, to see when it has changed.
    """

    path: str
    source: str
    size: int
    mtime_ns: int
    dataset: str | None = None
    subject: str | None = None
    session: str | None = None
    task: str | None = None
    run: str | None = None
    label: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    id: str = ""

    def identity(self) -> dict[str, str | None]:
        return {name: getattr(self, name) for name in _IDENTITY}

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass
class Found:
    """jobs; missing: given paths at which nothing is; passed_over: extension → number of files that
    are no recordings; guessed: number of recordings whose subject is the name of the file."""

    jobs: list[Job] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    passed_over: Counter = field(default_factory=Counter)
    guessed: int = 0


def find(
    paths: list[str],
    *,
    dataset: str | None = None,
    files: list[dict[str, str]] = (),
    table: str = "",
    exclude: list[str] = (),
    arrays: bool = False,
) -> Found:
    """Jobs in all `paths`, each file once, in an order that does not depend on the file system.

    dataset: name instead of the folder's. files: rows with a `pattern` (regular expression,
    searched in the path; named groups fill fields) and fields (subject, session, task, run,
    dataset, label, or any attribute); later rows override. table: a TSV or CSV with a column
    `file` and such fields. exclude: regular expressions of paths to pass over. arrays: take plain
    arrays found in folders too.
    """
    rows = [(_compile(row.get("pattern"), "files"), row) for row in files]
    columns = _columns(table)
    skip = [_compile(pattern, "exclude") for pattern in exclude]
    found, seen, listings = Found(), set(), {}
    for given in paths:
        path = Path(given).expanduser().resolve()
        if not path.exists():
            found.missing.append((given, "there is no such file or folder"))
            continue
        for job, known in _jobs(path, found.passed_over, listings, arrays):
            if job.path in seen or any(pattern.search(job.source) for pattern in skip):
                continue
            seen.add(job.path)
            job, named = _apply_table(job, rows, columns)
            found.guessed += not (known or named)
            found.jobs.append(replace(job, dataset=dataset) if dataset else job)
    found.jobs = _with_ids(sorted(found.jobs, key=lambda job: (job.source, job.path)))
    return found


def _jobs(path: Path, passed_over: Counter, listings: dict, arrays: bool):
    """(job, is its subject known) of everything at or below `path`."""
    root = bids.find_root(path)
    if root is not None:
        if root not in listings:
            listings[root] = bids.find_recordings(root)
        here = [entry for entry in listings[root]
                if path == entry[0] or path in entry[0].parents]
        for file, entities in here:
            person = bids.participants(root).get(entities["subject"] or "", {})
            yield Job(str(file), _shown(file, root), *_stamp(file), dataset=root.name, **entities,
                      attributes=person), True
        if here:
            return
    if path.is_dir() and not readers.claims(path):
        for file in _walk(path, passed_over, arrays):
            yield _plain(file, path)
    else:
        yield _plain(path, path.parent)


def _walk(folder: Path, passed_over: Counter, arrays: bool):
    """Files that some reader claims; formats that are folders are not entered.

    arrays: .csv, .mat and .npy count too: without a description they are rather tables.
    """
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not readers.claims(entry):
            yield from _walk(entry, passed_over, arrays)
        elif not readers.claims(entry, arrays=arrays) or _NO_RECORDING.search(entry.name):
            passed_over[entry.suffix or "no extension"] += 1
        elif not _is_later_part(entry):
            yield entry


def _is_later_part(path: Path) -> bool:
    """The second and further files of a split FIF recording, which MNE reads with the first."""
    if not _LATER_PART.search(path.name):
        return False
    first = re.sub(r"-\d+(?=\.fif)", "", path.name)
    return "_split-" in path.name or (path.parent / first).exists()


def _plain(file: Path, root: Path) -> tuple[Job, bool]:
    stem = file.name.removesuffix(".gz").rsplit(".", 1)[0]
    fields = {name: match.group(1) for name, short in _BIDS_ENTITY.items()
              if (match := re.search(rf"(?:^|_){short}-([A-Za-z0-9]+)", stem))}
    known = "subject" in fields
    job = Job(str(file), _shown(file, root), *_stamp(file), dataset=root.name,
              **{"subject": stem, **fields})
    return job, known


def _shown(file: Path, root: Path) -> str:
    """The path from the given folder on, so that tables do not depend on where it lies."""
    return file.relative_to(root.parent).as_posix()


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of change of a recording with its companions (.fdt, .eeg, .vmrk, sidecars)."""
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file()]
    else:
        stem = path.name.split(".")[0]
        beside = path.parent.glob(f"{glob.escape(stem)}.*")
        files = [file for file in beside if file.is_file()] or [path]
    stats = [file.stat() for file in files]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


def _compile(pattern: str | None, where: str) -> re.Pattern:
    if not pattern:
        raise ValueError(f"{where}: each row needs a `pattern` (a regular expression of the path)")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{where}: {pattern!r} is no regular expression: {error}") from error


def _columns(table: str) -> dict[str, dict[str, str]]:
    """Path as written in the column `file` → the row's other fields."""
    if not table:
        return {}
    path = Path(table)
    if not path.is_file():
        raise ValueError(f"table: there is no file {path}")
    with open(path, newline="", encoding="utf-8-sig") as file:
        delimiter = "," if path.suffix == ".csv" else "\t"
        rows = list(csv.DictReader(file, delimiter=delimiter))
    if not rows or "file" not in rows[0]:
        raise ValueError(f"table {path}: wanted a column `file`, got "
                         f"{list(rows[0]) if rows else 'no rows'}")
    return {row["file"]: {key: value for key, value in row.items()
                          if key not in (None, "file") and value not in (None, "", "n/a")}
            for row in rows}


def _apply_table(job: Job, rows, columns) -> tuple[Job, bool]:
    """The job with the fields of every matching row; and whether one of them gave the subject."""
    fields: dict[str, str] = {}
    for pattern, row in rows:
        match = pattern.search(job.source)
        if match:
            fields |= {key: value for key, value in match.groupdict().items() if value is not None}
            fields |= {key: str(value) for key, value in row.items() if key != "pattern"}
    for file, given in columns.items():
        if job.source == file or job.source.endswith("/" + file):
            fields |= given
    known = {key: fields.pop(key) for key in (*_IDENTITY, "label") if key in fields}
    job = replace(job, **known, attributes={**job.attributes, **fields})
    return job, "subject" in known


def _with_ids(jobs: list[Job]) -> list[Job]:
    """Names for shards: readable, and unlike for unlike recordings even of the same identity."""
    counts = Counter(job.source for job in jobs)
    named = []
    for job in jobs:
        # The same folder name twice (a/x.edf of two disks): only then the whole path counts.
        place = job.source if counts[job.source] == 1 else job.path
        words = [value for value in job.identity().values() if value]
        slug = re.sub(r"[^A-Za-z0-9]+", "-", "_".join(words)).strip("-")[:60] or "recording"
        digest = hashlib.sha256(place.encode()).hexdigest()[:8]
        named.append(replace(job, id=f"{slug}-{digest}"))
    return named
