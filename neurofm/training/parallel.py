"""Trainings one after another or several at a time, which can be asked to stop."""

import contextlib
import functools
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import active_children
from typing import Any

from neurofm import processes
from neurofm.run import Stopped

from .signals import NUMBERS

_STOPPED = "stopped as asked; what is done is kept: run the same command again to continue"


def run(do: Callable, jobs: Sequence, at_a_time: int) -> list:
    """`do` of each job, in their order; several at a time have a process each.

    Raises what a job raises, once the others that have begun are done. Raises Stopped after SIGTERM
    or SIGUSR1: what trains then saves its state (`training.loop`), and between two trainings there
    is nothing to save.
    """
    if at_a_time == 1:
        with _when_asked(_stop):
            return [do(job) for job in jobs]
    came: list[int] = []
    found: dict[int, Any] = {}
    failed: list[BaseException] = []

    def pass_on(number: int, _) -> None:
        came.append(number)
        for child in active_children():
            with contextlib.suppress(ProcessLookupError):
                if child.pid is not None:
                    os.kill(child.pid, number)

    def left() -> Iterator[tuple[int, object]]:
        for numbered in enumerate(jobs):
            if failed or came:
                return
            yield numbered

    with _when_asked(pass_on):
        for (k, _), answer in processes.run(functools.partial(_tried, do), left(), at_a_time,
                                            fresh=True):
            if isinstance(answer, processes.Death):
                failed.append(RuntimeError(str(answer)))
            else:
                found[k], error = answer
                failed += [error] if error is not None else []
    # A process that had not begun to train when the signal came has died of it.
    if came and (len(found) < len(jobs) or failed):
        raise Stopped(_STOPPED)
    if failed:
        raise failed[0]
    return [found[k] for k in range(len(jobs))]


def _tried(do: Callable, numbered: tuple[int, object]) -> tuple[object, BaseException | None]:
    """(what `do` gives, None), or (None, what it raises)."""
    try:
        return do(numbered[1]), None
    except BaseException as error:
        error.add_note(traceback.format_exc())
        return None, error


def _stop(*_) -> None:
    raise Stopped(_STOPPED)


@contextmanager
def _when_asked(handler: Callable) -> Iterator[None]:
    before = {}
    if threading.current_thread() is threading.main_thread():  # elsewhere they are the caller's
        before = {number: signal.signal(number, handler) for number in NUMBERS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
