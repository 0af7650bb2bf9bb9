"""Asked to stop: what schedulers send before they take a machine away.

SLURM sends SIGUSR1 before the time limit where the batch script asks for it, and SIGTERM when it
preempts; containers and `accelerate launch` send SIGTERM.
"""

import signal

NUMBERS = (signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """`with StopRequest() as asked:` → `asked.wanted` becomes True at SIGTERM or SIGUSR1.

    Whatever way the block is left, the handlers that were there before are put back.
    """

    def __init__(self):
        self.wanted = False
        self._before = {}

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
        self.wanted = True


def ignore(_worker: int) -> None:
    """For loader processes: the scheduler signals them too, but the training process needs them
    until it has saved its state, and ends them itself."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
