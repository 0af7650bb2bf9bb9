"""Decode recordings as they arrive in a folder.

A file is read once its size and time of change have stood still from one look to the next, so that
a copy still under way is left alone; one that failed is tried again when it has changed. Ctrl-C or
SIGTERM lets the recording at hand end, then stops.
"""

import signal
import threading
from pathlib import Path

from neurofm.run import Job

from .many import Many
from .one import DecodeConfig


def watch(run: DecodeConfig, job: Job) -> int:
    """Look, decode, wait, until told to stop; returns the exit status."""
    for given in run.paths:
        if not Path(given).expanduser().exists():
            raise ValueError(f"{given}: there is no such folder to be watched; make it first")
    many = Many(run, job)
    with stopping() as stop:
        job.say(f"watching {', '.join(run.paths)} every {run.poll_s:g} s; Ctrl-C ends it")
        _watch(run, many, stop)
        return many.tell()


def _watch(run: DecodeConfig, many: Many, stop: threading.Event) -> None:
    before: dict[str, tuple[int, int]] = {}
    tried: dict[str, tuple[int, int]] = {}  # what was decoded or has failed, as it was then
    handled = 0
    while not stop.is_set():
        jobs = many.look().jobs
        now = {job.path: (job.size, job.mtime_ns) for job in jobs}
        for job in jobs:
            stamp = now[job.path]
            settled = before.get(job.path) == stamp and job.size > 0
            if not settled or tried.get(job.path) == stamp or stop.is_set():
                continue
            tried[job.path] = stamp
            if many.is_done(job):
                continue
            many.do(job)
            handled += 1
            if handled == run.stop_after:
                return
        before = now
        stop.wait(run.poll_s)


class stopping:
    """An event that Ctrl-C and SIGTERM set; a second Ctrl-C interrupts at once."""

    def __enter__(self) -> threading.Event:
        self.event = threading.Event()
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._stop)
        return self.event

    def _stop(self, number, frame) -> None:
        if self.event.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.event.set()

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
