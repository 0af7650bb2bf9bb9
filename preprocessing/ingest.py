"""Make a corpus out of recordings: read, standardize in parallel, split by subject, seal.

    neurofm ingest PATH… --out corpus/ [--config run.yaml] [--key value …]

Every finished recording leaves a shard and a small record in the folder, so an interrupted ingest
continues, and a later one does only what failed, is new or has changed.
"""

import contextlib
import functools
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from neurofm import artifacts, config, processes
from neurofm.data.contract import Contract, InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.parcel_rule import ParcelRule

from . import archive, montage, quality_page, readers, report, terms
from .labels import LabelRule
from .one_recording import PRELOAD, Shaping, ingest_one
from .progress import Progress
from .readers import ArrayTable, ImageTable, ReadOptions
from .records import FOLDER, Records, assemble, prepare
from .splits import SplitRule

FAILED = 3  # exit status when some recordings failed, whatever became of the others


@dataclass
class IngestConfig:
    """Files and folders of recordings → a corpus.

    Parameters
    ----------
    paths
        Files or folders (searched through); BIDS folders are recognized.
    out
        Folder of the corpus.
    modality
        What the recordings are.
    contract
        What every window of EEG or MEG becomes.
    fmri
        What every window of fMRI becomes.
    space
        "parcels" makes sensors into parcels of the brain, as `parcels` says (where a contract
        file does not say it already).
    dataset
        Name of the data set instead of the folder's.
    montage
        Of MNE, for electrodes without positions in the file.
    unknown_head
        MEG without head position: "refuse", or "helmet" (the head in its middle).
    rename
        Channel name in the files → electrode.
    metadata
        Column of epochs' metadata whose values their events are called by.
    arrays
        How to read plain arrays (.npy, .mat, .csv, .1D).
    images
        How to read images of fMRI.
    files, table
        Whose recordings those of plain folders are (see `whose`).
    exclude
        Regular expressions of paths to pass over.
    label
        Where labels come from.
    splits
        Who is held out.
    terms
        Licence of a data set by its name (such as CC-BY-4.0), where its
        dataset_description.json states none; it travels to whatever is made of it.
    workers
        Processes; 0 = one a core.
    """

    paths: list[str]
    out: str
    modality: Literal["eeg_meg", "fmri"] = "eeg_meg"
    contract: InputContract = field(default_factory=InputContract)
    fmri: FMRIContract = field(default_factory=FMRIContract)
    space: Literal["sensors", "parcels"] = "sensors"
    parcels: ParcelRule = field(default_factory=ParcelRule)
    dataset: str | None = None
    montage: str = "standard_1005"
    unknown_head: Literal["refuse", "helmet"] = "refuse"
    rename: dict[str, str] = field(default_factory=dict)
    metadata: str = ""
    arrays: ArrayTable = field(default_factory=ArrayTable)
    images: ImageTable = field(default_factory=ImageTable)
    files: list[dict[str, str]] = field(default_factory=list)
    table: str = ""
    exclude: list[str] = field(default_factory=list)
    label: LabelRule = field(default_factory=LabelRule)
    splits: SplitRule = field(default_factory=SplitRule)
    terms: dict[str, str] = field(default_factory=dict)
    workers: int = 0

    def __post_init__(self):
        if not self.paths:
            raise ValueError("give files or folders: neurofm ingest PATH… --out corpus/")
        if self.workers < 0:
            raise ValueError(f"workers must be ≥ 0 (0 = one a core), got {self.workers}")
        other = "contract" if self.modality == "fmri" else "fmri"
        if getattr(self, other) != (InputContract() if other == "contract" else FMRIContract()):
            raise ValueError(f"modality is {self.modality}, so {other} would be ignored: leave it "
                             f"out, or give the other modality")
        if self.parcels != ParcelRule() and (
            self.space != "parcels" or self.modality == "fmri" or self.contract.parcels
        ):
            raise ValueError("parcels would be ignored: it is of space: parcels, modality eeg_meg, "
                             "and of contracts that do not say it already")

    @property
    def wanted(self) -> Contract:
        """What every window becomes."""
        if self.modality == "fmri":
            return self.fmri
        if self.space == "sensors" or self.contract.parcels:
            return self.contract
        from .sources import parcellation

        return self.contract.with_(parcels=parcellation.filled(self.parcels))


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 all well, 2 the command line, 3 some recordings failed, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    return ingest(config.parse(IngestConfig, argv, command="ingest", positional="paths"))


def ingest(run: IngestConfig) -> int:
    """Ingest and seal; prints what it does. Returns the exit status."""
    begin = time.perf_counter()
    processes.warm_up(PRELOAD)
    if run.montage != "standard_1005":
        montage.look_up([], run.montage)  # a typing error is one message, not one a recording
    found = archive.find(run.paths, dataset=run.dataset, files=run.files, table=run.table,
                         exclude=run.exclude, arrays=run.arrays, images=run.images.given)
    reading = ReadOptions(run.montage, run.unknown_head, run.rename, run.metadata, run.arrays,
                          run.images)
    datasets = terms.of(found.jobs, run.terms)
    wanted = run.wanted
    shaping = Shaping(wanted, reading, run.label)
    prepare(run.out)
    with _only_one(run.out):  # from before the records are read until the corpus is sealed
        return _ingest(run, found, datasets, Records.open(run.out, shaping), shaping, begin)


def _ingest(
    run: IngestConfig, found, datasets: dict, records: Records, shaping: Shaping, begin: float
) -> int:
    records.clear_up(lambda source: any(re.search(pattern, source) for pattern in run.exclude))
    for path, reason in found.missing:
        records.add_missing(path, reason)
    jobs, unchanged, retried = records.what_to_do(found.jobs)
    _say_plan(run, found, jobs, unchanged, retried)
    if not found.jobs and not records.finished:
        print(f"nothing was ingested: {len(records.failures)} path(s) failed"
              if records.failures else "no recording was found; nothing was ingested")
        if not run.arrays.given and any(readers.is_array(kind) for kind in found.passed_over):
            print("plain arrays are recordings once it is said what they hold: --arrays.sfreq 250 "
                  "--arrays.unit uV …")
        report.print_failures(records.failures)
        return FAILED
    if jobs:
        artifacts.unseal(run.out)
        try:
            _do(jobs, functools.partial(ingest_one, out=run.out, shaping=shaping), records,
                run.workers or _cores())
        except KeyboardInterrupt:
            print("interrupted: what is finished is kept; run the same command again to go on")
            return 130
    return _seal(run, records, found, datasets, bool(jobs), begin)


def _say_plan(run, found, jobs, unchanged: int, retried: int) -> None:
    parts = [f"{len(found.jobs)} recordings found"]
    if unchanged:
        parts.append(f"{unchanged} unchanged and already in {run.out}")
    if retried:
        parts.append(f"{retried} failed before and are tried again")
    if jobs and unchanged + retried and len(jobs) > retried:
        parts.append(f"{len(jobs) - retried} new, changed or unfinished")
    print("; ".join(parts))
    if found.passed_over:
        kinds = ", ".join(f"{n} {suffix}" for suffix, n in found.passed_over.most_common(6))
        print(f"files of other kinds passed over: {kinds}")


def _do(jobs, function, records: Records, n_workers: int) -> None:
    with Progress(len(jobs), "ingest") as progress:
        for job, result in processes.run(function, jobs, min(n_workers, len(jobs)),
                                         preload=PRELOAD):
            reason = str(result) if isinstance(result, processes.Death) else result
            if reason:
                records.add_failure(job, reason)
                progress.say(f"failed: {job.source}: {reason}")
            progress.advance()


def _seal(
    run: IngestConfig, records: Records, found, datasets: dict, worked: bool, begin: float
) -> int:
    corpus = assemble(records, run.splits)
    status = FAILED if records.failures else 0
    if corpus is None:
        print(f"nothing was ingested: all {len(records.failures)} failed")
        report.print_failures(records.failures)
        return FAILED
    sealed = records.seal(corpus, config.resolved(run), datasets)
    if not worked and not sealed:
        print(f"{run.out} is finished and nothing is new: nothing to do")
    quality_page.write(Path(run.out), corpus, records.failures, records.shaping.contract)
    report.print_summary(corpus, records.failures, Path(run.out), run.splits,
                         seconds=time.perf_counter() - begin)
    report.print_notes(corpus, found, run.splits, run.label)
    report.print_failures(records.failures)
    return status


@contextlib.contextmanager
def _only_one(out: str):
    """Two ingests into one folder at once would spoil each other's tables."""
    from filelock import FileLock, Timeout

    lock = FileLock(Path(out) / FOLDER / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"--out {out}: another ingest is running into this folder; wait for it, "
                         f"or choose another --out") from None
    try:
        yield
    finally:
        lock.release()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
