"""A few worker processes that may die without taking the run along.

`concurrent.futures` gives up on everything when one process is killed, and does not tell which job
it had. Here each process has a pipe and one job at a time, so a death (out of memory, a crash in a
C library) is a result of that job, and a fresh process takes its place.
"""

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# Imported once, then shared by all workers (Linux and macOS; elsewhere each imports for itself).
# MNE and SciPy load these only when first used, which would cost each worker two seconds.
_PRELOAD = [
    "neurofm.preprocessing.one_recording", "neurofm.preprocessing.readers.mne_raw", "mne",
    "mne.io.base",
    "mne.io.fiff.raw", "mne.io.edf.edf", "mne.io.brainvision", "mne.io.eeglab", "mne.io.kit",
    "mne.io.ctf", "mne.io.bti", "mne.io.egi", "mne.io.cnt", "mne.io.nihon", "mne.io.curry",
    "mne.io.snirf", "mne.io.persyst", "mne.io.nirx", "mne.io.mef", "mne.filter", "mne.evoked",
    "mne.epochs", "mne.channels.montage", "mne.time_frequency", "scipy.signal", "filelock",
    "mne_bids.read", "pyarrow.pandas_compat",
]


@dataclass(frozen=True)
class Death:
    """A worker died with this exit code (negative: minus the signal) while it had a job."""

    exitcode: int

    def __str__(self) -> str:
        if self.exitcode == -signal.SIGKILL:
            return ("the worker process was killed (signal 9), most often because memory ran out: "
                    "run again with fewer workers")
        if self.exitcode < 0:
            name = signal.Signals(-self.exitcode).name
            return f"the worker process crashed ({name}) in a library that reads this file"
        return f"the worker process ended with exit status {self.exitcode}"


@dataclass
class _Worker:
    process: multiprocessing.Process
    pipe: object
    job: object = None


def run(function: Callable, jobs: Iterable, n_workers: int) -> Iterator[tuple[object, object]]:
    """Yield (job, function(job)) as they finish, or (job, Death).

    function and jobs must be picklable; function catches its own exceptions. Closing the iterator
    ends the workers.
    """
    context = _context()
    pending = list(jobs)[::-1]
    workers: list[_Worker] = []
    try:
        while pending or workers:
            while pending and len(workers) < n_workers:
                workers.append(_start(context, function))
                _give(workers[-1], pending.pop())
            ready = wait([worker.pipe for worker in workers])
            for worker in [worker for worker in workers if worker.pipe in ready]:
                job = worker.job
                try:
                    result = worker.pipe.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    result = Death(worker.process.exitcode)
                if pending and not isinstance(result, Death):
                    _give(worker, pending.pop())
                else:
                    workers.remove(worker)
                    _stop(worker)
                yield job, result
    finally:
        for worker in workers:
            worker.process.terminate()
            _stop(worker)


def warm_up() -> None:
    """Begin loading what workers need while this process still looks for work."""
    context = _context()
    if context.get_start_method() == "forkserver":
        with _one_thread_each():
            multiprocessing.forkserver.ensure_running()


def _context():
    methods = multiprocessing.get_all_start_methods()
    if "forkserver" not in methods:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
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


def _start(context, function) -> _Worker:
    ours, theirs = context.Pipe()
    with _one_thread_each():
        process = context.Process(target=_work, args=(theirs, function), daemon=True)
        process.start()
    theirs.close()  # so that the worker's death closes the pipe
    return _Worker(process, ours)


def _give(worker: _Worker, job) -> None:
    worker.job = job
    with contextlib.suppress(OSError):  # died meanwhile: the closed pipe says so in `wait`
        worker.pipe.send(job)


def _stop(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.join()


def _work(pipe, function) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    while True:
        try:
            job = pipe.recv()
        except EOFError:  # the parent has no more work, or is gone
            return
        pipe.send(function(job))
