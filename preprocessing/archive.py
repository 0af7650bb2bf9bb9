"""Which recordings lie in the given files and folders, and whose they are.

BIDS folders are asked for their entities; in plain folders names of files are matched against
small tables of the user's (see `whose`), and without one the file's name stands for the subject.
"""

import functools
import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from neurofm import contents

from . import bids, brain_masks, derivatives, links, readers, sealed_archive
from .readers import ArrayTable, ImageTable, VolumeTable
from .whose import Exclude, NameTables

Beside = Callable[[Path], list[Path]]
_IDENTITY = ("dataset", "subject", "session", "task", "run")
# Sidecars and results of analyses that share an extension with recordings.
_NO_RECORDING = re.compile(
    r"[-_]desc-confounds_(timeseries|regressors)\.tsv$|"
    r"[-_](eve|cov|trans|fwd|src|sol|bem|inv|ica|proj|events|channels|electrodes|coordsystem|scans"
    r"|participants|tfr|morph|label|meg_channels)\.(fif|fif\.gz|csv|mat|npy)$|^participants\.csv$"
    r"|[-_]markers?\.(sqd|con)$|_acq-(crosstalk|calibration)_meg\.fif$",
    re.IGNORECASE,
)
_LATER_PART = re.compile(r"(-[1-9]\d?\.fif|_split-(?!0*1_)\d+_.*\.fif)(\.gz)?$", re.IGNORECASE)
# Files of a recording that are not counted as passed over, but listed as what they are.
COMPANION, SIDECAR = "part of a recording", "sidecar"
_HIDDEN = "hidden"
_BIDS_ENTITY = {"subject": "sub", "session": "ses", "task": "task", "run": "run"}


@dataclass(frozen=True)
class Job:
    """A recording to be ingested."""

    path: str
    source: str
    size: int  # size, mtime_ns: of the file and its sidecars, to see when it has changed
    mtime_ns: int
    dataset: str | None = None
    subject: str | None = None
    session: str | None = None
    task: str | None = None
    run: str | None = None
    label: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    # [name, size, mtime_ns] of other files that it is made from: the fMRI of a pair
    companions: tuple[tuple[str, int, int], ...] = ()
    id: str = ""  # name of its shard; source: what messages and tables call it

    def identity(self) -> dict[str, str | None]:
        return {name: getattr(self, name) for name in _IDENTITY}

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass
class Found:
    """jobs; missing: given paths at which nothing is; aside: every other file, from the given
    folder on → what it is, where / ends a folder that was not entered; guessed: number of
    recordings whose subject is the name of the file; unused: files that the table names and that
    were not found; left_out: other file of a run → why; idle: patterns of exclude that matched
    nothing; outside: recordings that are links out of the given folder."""

    jobs: list[Job] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    aside: dict[str, str] = field(default_factory=dict)
    guessed: int = 0
    unused: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    idle: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    @property
    def passed_over(self) -> Counter:
        """What is no recording → number of files; those of `left_out` are recordings."""
        return Counter(what for file, what in self.aside.items()
                       if what not in (COMPANION, SIDECAR) and file not in self.left_out)


def find(
    paths: list[str],
    *,
    dataset: str | None = None,
    files: Sequence[dict[str, str]] = (),
    table: str = "",
    exclude: Sequence[str] = (),
    arrays: ArrayTable | None = None,
    images: ImageTable | None = None,
    volumes: VolumeTable | None = None,
    encoding: str = "",
    beside: Beside | None = None,
) -> Found:
    """Jobs in all `paths`, each file once, in an order that does not depend on the file system.

    dataset: name instead of the folder's. files, table: see `whose.NameTables`. exclude: globs and
    regular expressions of paths to pass over. arrays: what plain arrays found in folders are;
    None, or without a sampling rate, leaves them there. images: how those of fMRI are read,
    which are wanted if it says so; of several files of one run one is taken (see `derivatives`).
    volumes: how T1s are read; if given, nothing else is wanted.
    encoding: of text that is not UTF-8. beside: gives files with the labels of a recording, which
    are no recordings themselves.
    """
    arrays = arrays if arrays is not None and arrays.given else None
    wanted = (bids.T1 if volumes is not None else
              bids.FMRI if images is not None and images.given else bids.SIGNALS)
    tables = NameTables([*files], table, encoding)
    skip = Exclude(exclude)
    found, seen = Found(), set()
    for given in paths:
        # Links are not followed: archives of datalad are made of links that bear the names.
        path = Path(os.path.abspath(Path(given).expanduser()))
        if not path.exists():
            found.missing.append((given, "there is no such file or folder"))
            continue
        for job, known in _jobs(path, found, arrays, wanted, encoding):
            if job.path in seen:
                continue
            seen.add(job.path)
            if skip(job.source):
                found.aside[job.source] = "excluded"
                continue
            job = replace(job, dataset=dataset) if dataset else job
            fields = tables.fields(job.source)
            if path.is_dir() and links.outside(Path(job.path), bids.find_root(path) or path):
                found.outside.append(job.source)
            found.guessed += not (known or "subject" in fields)
            found.jobs.append(_named(job, fields))
    sealed_archive.check_all([*map(os.path.expanduser, paths), *(job.path for job in found.jobs)])
    found.unused, found.idle = tables.unused(), skip.unused()
    if volumes is not None:
        _leave_out(found, derivatives.one_a_scan)
        found.jobs = [_with_mask(job, volumes) for job in found.jobs]
    elif images is not None and wanted == bids.FMRI:
        _leave_out(found, functools.partial(derivatives.one_a_run, table=images))
    if beside is not None:
        _without_labels(found, beside)
    found.jobs = _with_ids(sorted(found.jobs, key=lambda job: (job.source, job.path)))
    return found


def _leave_out(found: Found, choose: Callable[..., dict[Path, str]]) -> None:
    """Of the files of one run, or scan, keep one; choose: see `derivatives`."""
    sources = {Path(job.path): job.source for job in found.jobs}
    lost = choose([*sources], shown=sources.__getitem__)
    found.left_out = {sources[path]: why for path, why in lost.items()}
    found.aside |= found.left_out
    found.jobs = [job for job in found.jobs if Path(job.path) not in lost]


def _with_mask(job: Job, volumes: VolumeTable) -> Job:
    """A change of its brain mask is a change of a T1."""
    mask = brain_masks.find(Path(job.path), volumes)
    return job if mask is None else replace(job, companions=((str(mask), *_stamp(mask)),))


def _without_labels(found: Found, beside: Beside) -> None:
    """Take files with the labels of other recordings out of the jobs; a change of one is a change
    of its recording."""
    labels = {job.path: beside(Path(job.path)) for job in found.jobs}
    taken = {str(path) for paths in labels.values() for path in paths}
    jobs = []
    for job in found.jobs:
        paths = labels[job.path]
        if job.path in taken:
            found.aside[job.source] = "labels of other recordings"
        else:
            beside_it = tuple((str(path), *_stamp(path)) for path in paths)
            jobs.append(replace(job, companions=(*job.companions, *beside_it)))
    found.jobs = jobs


def _jobs(path: Path, found: Found, arrays: ArrayTable | None, wanted: tuple[str, ...],
          encoding: str):
    """(job, is its subject known) of everything at or below `path`."""
    root = bids.find_root(path)
    if root is not None:
        inside = Found(missing=found.missing)
        here = list(_bids_jobs(path, root, inside, wanted, encoding))
        if here:
            found.aside |= inside.aside
            yield from here
            return
    if not path.is_dir() or readers.claims(path):
        yield _plain(path, path.parent, arrays)
        return
    for file in _walk(path, path, found, arrays, wanted):
        if bids.is_root(file):
            yield from _jobs(file, found, arrays, wanted, encoding)
        else:
            yield _plain(file, path, arrays)


def _bids_jobs(path: Path, root: Path, found: Found, wanted: tuple[str, ...], encoding: str):
    """Recordings of the BIDS folder `root` at or below `path`; those not named by BIDS are set
    aside.

    Only subjects' folders count: derivatives, sourcedata and code are other things' copies.
    """
    if path == root:
        folders = [folder for folder in sorted(root.glob("sub-*")) if folder.is_dir()]
        found.aside |= {_shown(entry, root) + "/" * entry.is_dir(): _at_the_root(entry, wanted)
                        for entry in sorted(root.iterdir()) if entry not in folders}
    else:
        folders = [path] if path.relative_to(root).parts[0].startswith("sub-") else []
    for file in (file for folder in folders for file in _recordings(folder, root, found, wanted)):
        entities = bids.entities(file, wanted)
        if entities is None and file != path:
            found.aside[_shown(file, root)] = f"not named as BIDS names {bids.IN_WORDS[wanted]}"
        elif entities is None:
            return  # given by its own name: then it is wanted, as a plain file
        elif entities["subject"] == "emptyroom":
            found.aside[_shown(file, root)] = "empty room"
        else:
            stamp = _stamp(file, bids.sidecars(file, root))
            identity: dict[str, Any] = {**entities}
            yield Job(str(file), _shown(file, root), *stamp, dataset=root.name, **identity,
                      attributes=_person(root, entities["subject"], encoding)), True


def _person(root: Path, subject: str | None, encoding: str) -> dict[str, str]:
    """What participants.tsv says of a subject; nothing where it has a fault: reading says so."""
    try:
        return bids.person(root, subject, encoding)
    except readers.ReadError:
        return {}


def _at_the_root(entry: Path, wanted: tuple[str, ...]) -> str:
    """What stands beside the folders of subjects."""
    if entry.name.startswith("."):
        return _HIDDEN
    if entry.is_dir() or _claims(entry, False, wanted):
        return "outside the folders of subjects"
    return SIDECAR


def _recordings(path: Path, root: Path, found: Found, wanted: tuple[str, ...]
                ) -> Iterable[Path]:
    """`path` itself if it is a recording, else those below it; sidecars are listed as such."""
    if not path.is_dir() or readers.claims(path):
        return [path]
    inside = Found(missing=found.missing)
    files = [*_walk(path, root, inside, wanted=wanted)]
    found.aside |= {file: SIDECAR if file.endswith((".tsv", ".json")) and what != _HIDDEN else what
                    for file, what in inside.aside.items()}
    return files


def _walk(
    folder: Path, root: Path, found: Found, arrays: ArrayTable | None = None,
    wanted: tuple[str, ...] = bids.SIGNALS,
):
    """Files that some reader claims, and BIDS folders; formats that are folders are not entered.
    All else is set aside, called by its path from `root` on.

    arrays: .csv, .mat and .npy count too, except those that hold the labels of others: without a
    description they are rather tables.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        found.missing.append((str(folder), f"cannot be listed: {error.strerror}"))
        return
    labels = {arrays.labels_file(entry) for entry in entries} if arrays else set()
    for entry in entries:
        if entry.is_dir() and not entry.name.startswith(".") and not readers.claims(entry):
            if bids.is_root(entry):
                yield entry
            elif _leads_back(entry):
                found.aside[_shown(entry, root) + "/"] = "a link to a folder it lies in"
            else:
                yield from _walk(entry, root, found, arrays, wanted)
        elif what := _no_recording(entry, labels, arrays is not None, wanted):
            found.aside[_shown(entry, root) + "/" * entry.is_dir()] = what
        else:
            yield entry


def _no_recording(entry: Path, labels: set, arrays: bool, wanted: tuple[str, ...]) -> str:
    """What a file is that is no recording; "" for a recording."""
    if entry.name.startswith("."):
        return _HIDDEN
    if _is_companion(entry):
        return COMPANION
    if entry in labels:
        return "labels of trials"
    if not _claims(entry, arrays, wanted):
        packed = entry.suffixes[-2:-1] if entry.suffix == ".gz" else []
        return "".join([*packed, entry.suffix]) or "no extension"
    if found := _NO_RECORDING.search(entry.name):
        return found[0].lower()
    return "later parts of split recordings" if _is_later_part(entry) else ""


def _claims(entry: Path, arrays: bool, wanted: tuple[str, ...]) -> bool:
    """Whether a file may be what is wanted."""
    return readers.claims(entry, arrays=arrays, images=wanted == bids.FMRI,
                          volumes=wanted == bids.T1)


def _is_companion(path: Path) -> bool:
    """Signal or markers that the header beside them leads to."""
    header = {".eeg": ".vhdr", ".vmrk": ".vhdr", ".fdt": ".set"}.get(path.suffix)
    return header is not None and path.with_suffix(header).exists()


def _leads_back(folder: Path) -> bool:
    """A link to a folder it lies in: walking it would never end."""
    return folder.is_symlink() and folder.resolve() in folder.parents


def _is_later_part(path: Path) -> bool:
    """The second and further files of a split FIF recording, which MNE reads with the first: by
    the file's own words. Without the file before it, reading it says what is missing."""
    if not _LATER_PART.search(path.name) or not path.is_file():
        return False
    from .readers import fif_parts

    before = fif_parts.goes_on_from(path)
    first = re.sub(r"-\d+(?=\.fif)", "", path.name)
    return bool(before) and any((path.parent / name).exists() for name in (before, first))


def _plain(file: Path, root: Path, arrays: ArrayTable | None) -> tuple[Job, bool]:
    stem = file.name.removesuffix(".gz").rsplit(".", 1)[0]
    fields = {name: match.group(1) for name, short in _BIDS_ENTITY.items()
              if (match := re.search(rf"(?:^|_){short}-([A-Za-z0-9]+)", stem))}
    known = "subject" in fields
    labels = arrays.labels_file(file) if arrays else None
    stamp = _stamp(file, [labels] if labels is not None and labels.is_file() else [])
    identity: dict[str, Any] = {"subject": stem, **fields}
    return Job(str(file), _shown(file, root), *stamp, dataset=root.name, **identity), known


def _shown(file: Path, root: Path) -> str:
    """The path from the given folder on, so that tables do not depend on where it lies."""
    return file.relative_to(root.parent).as_posix()


def _stamp(path: Path, sidecars: Sequence[Path] = ()) -> tuple[int, int]:
    """Size and time of change of a recording with its companions (.fdt, .eeg, .vmrk) and sidecars.

    A link to what is not there (an archive of datalad, not fetched) counts as empty: reading it
    says so.
    """
    stats = [file.stat() for file in {*_files(path), *sidecars}]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


def _files(path: Path) -> list[Path]:
    """A recording with its companions; of a folder all that is in it."""
    beside = (path.rglob("*") if path.is_dir() else
              path.parent.glob(f"{glob.escape(path.name.split('.')[0])}.*"))
    return [file for file in beside if file.is_file()]


def _with_sidecars(path: Path) -> list[Path]:
    """All files that decide what is read from a path."""
    root = None if path.is_dir() else bids.find_root(path)
    return [*_files(path), *(bids.sidecars(path, root) if root is not None else [])]


OF_RECORDINGS = contents.told_by(_with_sidecars)


def _named(job: Job, fields: dict[str, str]) -> Job:
    """The job with the fields that the user's tables give it."""
    known: dict[str, Any] = {key: value for key, value in fields.items()
                             if key in (*_IDENTITY, "label")}
    others = {key: value for key, value in fields.items() if key not in known}
    return replace(job, **known, attributes={**job.attributes, **others})


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
