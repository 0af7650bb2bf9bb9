"""Asked to stop: what schedulers send before they take a machine away.

Slurm sends SIGUSR1 before the time limit where the batch script asks for it, and SIGTERM when it
preempts; containers and `accelerate launch` send SIGTERM.
"""

import signal

NUMBERS = (signal.SIGTERM, signal.SIGUSR1)


def hold() -> None:
    """Let SIGUSR1 wait until a training looks for it, from before the imports on: they take half a
    minute on some file systems, and the signal is not sent again. Processes and threads that are
    started later inherit this, so none of them dies of it. SIGTERM ends what has not begun."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


class StopRequest:
    """`with StopRequest() as asked:` → `asked.wanted` becomes True at SIGTERM or SIGUSR1, and is so
    from the start where one of them waits (`hold`).

    Whatever way the block is left, the handlers that were there before are put back.
    """

    def __init__(self):
        self._asked = False
        self._before = {}

    @property
    def wanted(self) -> bool:
        return self._asked or not signal.sigpending().isdisjoint(NUMBERS)

    def __enter__(self) -> "StopRequest":
        for number in NUMBERS:
            try:
                self._before[number] = signal.signal(number, self._ask)
            except ValueError:  # only the main thread may: elsewhere signals are the caller's
                break
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, *_) -> None:
        self._asked = True


def ignore(_worker: int) -> None:
    """For loader processes: the scheduler signals them too, but the training process needs them
    until it has saved its state, and ends them itself."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
