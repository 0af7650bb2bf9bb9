"""An archive → an artifact: parallel, resumable, locked, failures kept, in parts.

`ingest` and `pair` are two uses of it: each says what is done with one recording, and how the
records of all become tables. A recording that cannot be used stops no other: it is listed with the
reason, and tried again by the next call.

A part (`--part 2/8`) does the recordings whose id hashes to it and seals nothing, so parts run in
any order, at once, on any machines that share the folder. A call without `--part` does what is
missing and seals: the bytes are those of one call.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from neurofm import artifacts, parts, processes
from neurofm.parts import Part
from neurofm.progress import Progress
from neurofm.run import FAILED, INTERRUPTED, OK

from . import report
from .archive import Found, Job
from .readers import ReadError
from .records import Kind, Records
from .steps.refusal import ContractError, some
from .whose import Exclude

PRELOAD = ("neurofm.preprocessing.preloaded",)  # imported once, then shared by all workers


class Settings(Protocol):
    """What `collect` reads of a command's config."""

    out: str
    exclude: list[str]
    workers: int
    part: str


def collect(
    run: Settings, kind: Kind, found: Found, shaping, work: Callable[[Job], str | None],
    seal: Callable[[Records, bool], int], say: Callable[..., None], hint: str = "",
) -> int:
    """Do the recordings of an archive, and seal unless the call is for a part.

    Parameters
    ----------
    run
        The command's config.
    shaping
        What shapes recordings; see `Records.open`.
    work
        Does a job and returns None, or the reason why it cannot be done; must be picklable.
    seal
        seal(records, whether anything was done) → exit status. Not called where nothing is
        finished.
    say
        Prints a line.
    hint
        What may help where nothing was found.

    Returns
    -------
    The exit status: OK, FAILED or INTERRUPTED.

    Raises
    ------
    ValueError
        None of the given paths is there, and nothing was begun before.
    """
    part = Part.parse(run.part)
    if found.missing and not found.jobs and not (Path(run.out) / kind.folder).exists():
        raise ValueError("; ".join(f"{path}: {reason}" for path, reason in found.missing))
    with _opened(run, kind, shaping, part) as records:
        jobs = [job for job in found.jobs if part is None or part.holds(job.id)]
        if part is None:
            records.clear_up(found.jobs, Exclude(run.exclude))
        for path, reason in found.missing:
            records.add_missing(path, reason)
        failed = {*records.failures}
        todo, unchanged, retried = records.what_to_do(jobs, others=part is None)
        records.note_aside(found.aside)
        _say_plan(run, records, found, part, todo, unchanged, retried, say)
        if part is None and not artifacts.is_sealed(records.folder) and (lack := parts.unfinished(
                records.folder / kind.folder, [job.id for job in todo if job.id not in failed])):
            say(f"parts that are not finished: {lack}; this call does what they lack")
        if todo:
            artifacts.unseal(records.folder)
            try:
                _do(todo, work, records, run.workers or _cores())
            except KeyboardInterrupt:
                say("interrupted: what is finished is kept; run the same command again to go on")
                return INTERRUPTED
        if part is not None:
            return _end_part(records, part, jobs, found, bool(todo), say)
        records.reload()
        if records.finished:
            return seal(records, bool(todo))
        artifacts.unseal(records.folder)
        done = f"nothing was {kind.command}ed"
        say(f"{done}: all {len(records.failures)} failed" if records.failures else
            f"no {kind.what} was found; {done}")
        if hint and not found.jobs:
            say(hint)
        report.say_failures(records.failures, say)
        return FAILED


def attempt(do: Callable[[], object]) -> str | None:
    """None where it succeeds, else the reason for the table of failures."""
    try:
        do()
    except (ReadError, ContractError) as error:
        return error.reason
    except ValueError as error:
        return f"{error} (at {_place(error)})"
    except MemoryError:
        return "memory ran out: run again with fewer workers"
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # ours to mend, but it must not stop the other recordings
        return f"unexpected {type(error).__name__}: {error} (at {_place(error)})"
    return None


@contextlib.contextmanager
def _opened(run: Settings, kind: Kind, shaping, part: Part | None) -> Iterator[Records]:
    """The records, with the lock of the part held, or, of the whole, that of the folder (by
    `neurofm.run`) and of no part."""
    out = Path(run.out).expanduser()
    if part is None:
        parts.refuse_at_work(out, out / kind.folder)
        yield Records.open(kind, out, shaping)
        return
    with parts.at(part, out, out / kind.folder, kind.command,
                  lambda begun: Records.open(kind, out, shaping, begun=begun)) as records:
        yield records


def _say_plan(
    run: Settings, records: Records, found: Found, part: Part | None, todo: list, unchanged: int,
    retried: int, say: Callable[..., None],
) -> None:
    told = [f"{len(found.jobs)} {records.kind.what}s found"]
    if part is not None:
        told.append(f"{len(todo) + unchanged} in part {part}")
    if unchanged:
        told.append(f"{unchanged} unchanged and already in {run.out}")
    if retried:
        told.append(f"{retried} failed before and are tried again")
    if todo and unchanged + retried and len(todo) > retried:
        told.append(f"{len(todo) - retried} new, changed or unfinished")
    say("; ".join(told))
    if found.outside:
        say(f"{len(found.outside)} are links to files outside the given folders: "
            f"{some(found.outside, 4)}")
    if found.passed_over:
        kinds = some((f"{n} {what}" for what, n in found.passed_over.most_common()), 12)
        say(f"files of other kinds passed over: {kinds}; each is listed in "
            f"{records.aside_file}")


def _do(todo: list[Job], work: Callable, records: Records, n_workers: int) -> None:
    with Progress(len(todo), records.kind.command) as progress:
        for job, result in processes.run(work, todo, min(n_workers, len(todo)), preload=PRELOAD):
            reason = str(result) if isinstance(result, processes.Death) else result
            if reason:
                records.fail(job.id, job.source, job.path, reason)
                progress.warn(f"failed: {job.source}: {reason}")
            progress.advance()


def _end_part(
    records: Records, part: Part, jobs: list[Job], found: Found, worked: bool,
    say: Callable[..., None],
) -> int:
    ours = {job.id for job in jobs} | {path for path, _ in found.missing}
    failures = {name: record for name, record in records.failures.items() if name in ours}
    report.say_failures(failures, say)
    say(f"part {part} is done" if worked else f"part {part} is finished: nothing to do" if jobs
        else f"part {part} holds none of these recordings: nothing to do")
    say(f"not sealed: when all parts are done, `neurofm {records.kind.command}` without --part "
        f"seals")
    return FAILED if failures else OK


def _place(error: Exception) -> str:
    trace = error.__traceback__
    assert trace is not None  # it was raised
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
