"""Folds, seeds and methods one after another or several at a time, which can be asked to stop."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context

from neurofm.training.loop import Stopped
from neurofm.training.signals import NUMBERS

_STOPPED = "stopped as asked; what is done is kept: run the same command again to continue"


def run(do: Callable, jobs: Sequence, at_a_time: int) -> list:
    """`do` of each job, in their order; several at a time have a process each.

    Raises Stopped after SIGTERM or SIGUSR1: what trains then saves its state (`training.loop`), and
    between two trainings there is nothing to save.
    """
    if at_a_time == 1:
        with _when_asked(_stop):
            return [do(job) for job in jobs]
    came: list[int] = []

    def pass_on(number: int, _) -> None:
        came.append(number)
        for child in active_children():
            os.kill(child.pid, number)

    with _when_asked(pass_on):
        try:
            with ProcessPoolExecutor(at_a_time, mp_context=get_context("spawn")) as pool:
                try:
                    return list(pool.map(do, jobs))
                finally:
                    pool.shutdown(wait=True, cancel_futures=True)
        except (Stopped, BrokenProcessPool):  # broken: one was not training when it came
            if came:
                raise Stopped(_STOPPED) from None
            raise


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
