"""The jobs of an evaluation: one method, trained on one fold with one seed.

Each is done once, however many calls share the folder, and what is done is kept:

    out/parts/JOB.parquet          its predictions; the file appears when it is complete
    out/parts/.JOB.parquet.lock    held by the call that is at it
"""

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout

from neurofm import artifacts
from neurofm.progress import clock

from ...decoder.labeled import Labeled
from ...protocol.choice import Diverged

logger = logging.getLogger("neurofm.downstream")


@dataclass(frozen=True)
class Job:
    """One method trained on one fold, the `number`-th, with one seed."""

    number: int
    fold: Labeled
    method: str
    seed: int

    @property
    def file(self) -> str:
        name = f"{self.number:03d}-{self.fold.fold}__{self.method}__{self.seed}"
        return "".join(c if c.isalnum() or c in "-_.@" else "-" for c in name) + ".parquet"

    def is_done(self, out: Path) -> bool:
        return (out / "parts" / self.file).exists()


def work(
    mine: list[Job], jobs: list[Job], out: Path, *, wait: bool,
    make: Callable[[Job], pd.DataFrame],
) -> None:
    """Do those of `mine` that are not done; jobs: of all calls. What another call is at is left to
    it. wait: until it is done, or given up and done here.

    Raises ValueError, after the other jobs, for those where all settings diverged.
    """
    (out / "parts").mkdir(parents=True, exist_ok=True)
    todo, failed = mine, []
    begin, already = time.perf_counter(), sum(job.is_done(out) for job in mine)
    for patient in (False, True):
        left = []
        for job in todo:
            if job.is_done(out):
                continue
            with _held(job, out, patient) as free:
                if artifacts.is_sealed(out):  # by another call; the parts are gone
                    return
                if not free:
                    left.append(job)
                elif not job.is_done(out):
                    try:
                        _do(job, jobs, out, make)
                        done = sum(one.is_done(out) for one in mine)
                        pace = (time.perf_counter() - begin) / max(done - already, 1)
                        if done < len(mine):
                            logger.info("about %s left", clock(pace * (len(mine) - done)))
                    except Diverged as problem:
                        failed.append(f"{job.method}, fold {job.fold.fold}, seed {job.seed}: "
                                      f"all of its settings diverged ({problem})")
                        logger.warning("failed: %s", failed[-1])
        todo = left
        if todo:
            then = "waiting for them" if wait else "they are left to it"
            logger.info("another call is at %d of these jobs: %s", len(todo), then)
        if not wait:
            break
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(jobs)} jobs have no answers, the others are done and kept: "
            f"{failed[0]}" + (f"; and {len(failed) - 1} more" if len(failed) > 1 else "")
            + ". Leave the method out (--methods), or lower its learning rate and choose another "
            "--out")


def share(jobs: list[Job], k: int, n: int) -> list[Job]:
    """The k-th (from 0) of n shares of the jobs: every n-th fold and seed with all of its methods,
    which have work in common; or, where there are too few of these, every n-th job."""
    groups = [list(group) for _, group in
              itertools.groupby(jobs, key=lambda job: (job.number, job.seed))]
    return [job for group in groups[k::n] for job in group] if len(groups) >= n else jobs[k::n]


@contextlib.contextmanager
def _held(job: Job, out: Path, patient: bool) -> Iterator[bool]:
    """Whether the job is this call's, for as long as this is open."""
    lock = FileLock(out / "parts" / f".{job.file}.lock")
    try:
        lock.acquire(timeout=-1 if patient else 0)
    except (Timeout, FileNotFoundError):  # the folder is gone where another call has finished
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _do(job: Job, jobs: list[Job], out: Path, make: Callable[[Job], pd.DataFrame]) -> None:
    began, kept = time.perf_counter(), out / "parts" / job.file
    temporary = kept.with_name(f".{kept.name}.part")
    make(job).to_parquet(temporary, index=False)
    temporary.replace(kept)
    logger.info("[%d/%d] %s %s seed %s: %.0f s", sum(one.is_done(out) for one in jobs), len(jobs),
                job.fold.fold, job.method, job.seed, time.perf_counter() - began)
