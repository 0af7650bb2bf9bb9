"""A few worker processes that may die without taking the run along: the one pool of all stages.

`concurrent.futures` gives up on everything when one process is killed, and does not tell which job
it had. Here each process has a pipe and one job at a time, so a death (out of memory, a crash in a
C library) is a result of that job, and a fresh process takes its place.
"""

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from . import umask

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_END = object()


@dataclass(frozen=True)
class Death:
    """A worker died with this exit code (negative: minus the signal) while it had a job."""

    exitcode: int | None

    def __str__(self) -> str:
        if self.exitcode == -signal.SIGKILL:
            return ("the worker process was killed (signal 9), most often because memory ran out: "
                    "run again with fewer workers")
        if self.exitcode == -signal.SIGXCPU:
            return ("it took far longer than files of its size, most often because it is damaged: "
                    "copy it again from the source")
        if self.exitcode is not None and self.exitcode < 0:
            name = signal.Signals(-self.exitcode).name
            return (f"the worker process crashed ({name}) in a native library, most often on a "
                    f"damaged file: copy it again from the source")
        return f"the worker process ended with exit status {self.exitcode}"


@dataclass
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    job: Any = None


def run(
    function: Callable, jobs: Iterable, n_workers: int, *, preload: Sequence[str] = (),
    fresh: bool = False,
) -> Iterator[tuple[Any, Any]]:
    """Yield (job, function(job)) as they finish, or (job, Death).

    function and jobs must be picklable; function catches its own exceptions. Closing the iterator
    ends the workers.

    Parameters
    ----------
    jobs
        Taken one by one, when a worker is free.
    preload
        Modules that are imported once and then shared by all workers, where the system allows it.
    fresh
        Start each process anew, with this process's threads and processes of its own allowed:
        for trainings, on GPUs or with loaders. Otherwise workers are forked from a server (where
        there is one) and have one BLAS thread each.
    """
    context, pending = _context(preload, fresh), iter(jobs)
    workers: list[_Worker] = []
    more = True
    try:
        while more or workers:
            while more and len(workers) < n_workers:
                if (job := next(pending, _END)) is _END:
                    more = False
                else:
                    workers.append(_start(context, function, fresh))
                    _give(workers[-1], job)
            ready = wait([worker.pipe for worker in workers])
            for worker in [worker for worker in workers if worker.pipe in ready]:
                job, following = worker.job, _END
                try:
                    result = worker.pipe.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    result = Death(worker.process.exitcode)
                yield job, result
                if more and not isinstance(result, Death):
                    following = next(pending, _END)
                    more = following is not _END
                if following is not _END:
                    _give(worker, following)
                else:
                    workers.remove(worker)
                    _stop(worker)
    finally:
        for worker in workers:
            worker.process.terminate()
            _stop(worker)


def warm_up(preload: Sequence[str]) -> None:
    """Begin loading what workers need while this process still looks for work."""
    context = _context(preload)
    if context.get_start_method() == "forkserver":
        with _one_thread_each():
            multiprocessing.forkserver.ensure_running()


def _context(preload: Sequence[str], fresh: bool = False):
    if fresh or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload])
    return context


@contextlib.contextmanager
def _one_thread_each():
    """Processes started inside use one BLAS thread: the recordings are what runs in parallel."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def _start(context, function, fresh: bool) -> _Worker:
    ours, theirs = context.Pipe()
    with contextlib.nullcontext() if fresh else _one_thread_each():
        process = context.Process(target=_work, args=(theirs, function, umask.current()),
                                  daemon=not fresh)
        with _main_hidden():
            process.start()
    theirs.close()  # so that the worker's death closes the pipe
    return _Worker(process, ours)


@contextlib.contextmanager
def _main_hidden():
    """Processes started inside do not import the main module: a user's script that has no
    `if __name__ == "__main__"` would run again in each of them. No job needs it."""
    main = sys.modules["__main__"]
    before = {name: main.__dict__[name] for name in ("__file__", "__spec__") if name in vars(main)}
    main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(before)


def _give(worker: _Worker, job) -> None:
    worker.job = job
    with contextlib.suppress(OSError):  # died meanwhile: the closed pipe says so in `wait`
        worker.pipe.send(job)


def _stop(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.join()


def _work(pipe, function, mask: int) -> None:
    os.umask(mask)  # a server of processes may be older than the parent's
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    while True:
        try:
            job = pipe.recv()
        except EOFError:  # the parent has no more work, or is gone
            return
        result = function(job)
        with contextlib.suppress(BrokenPipeError):  # the parent wants it no more
            pipe.send(result)
