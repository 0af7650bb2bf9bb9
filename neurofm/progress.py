"""Progress of a long command: a bar with the time left on a terminal, a plain line every ten
seconds elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from .terminal import printable

if TYPE_CHECKING:
    import rich.progress

logger = logging.getLogger("neurofm.progress")
EVERY_S = 10.0  # between plain lines
T = TypeVar("T")


class Progress:
    """Context manager: `advance()` after each of `total` things, `warn(text)` in between.

    Parameters
    ----------
    total
        Number of things.
    what
        What is done, such as "ingest".
    lines
        Whether plain lines are written where there is no terminal. False where the caller writes
        lines itself.
    """

    _drawn = False  # a terminal has room for one bar: that of the outermost

    def __init__(self, total: int, what: str, lines: bool = True):
        self.total, self.what, self.lines, self.done = total, what, lines, 0
        self.begin = self.last = time.perf_counter()
        self.bar: rich.progress.Progress | None = None

    def __enter__(self) -> "Progress":
        if sys.stdout.isatty() and not Progress._drawn:
            from rich import progress

            # Transient: what stays on the screen are the command's own lines.
            bar = self.bar = progress.Progress(
                progress.TextColumn("{task.description}"), progress.BarColumn(),
                progress.MofNCompleteColumn(), progress.TimeElapsedColumn(),
                progress.TextColumn("left"), progress.TimeRemainingColumn(), transient=True,
            )
            bar.start()
            self.task = bar.add_task(self.what, total=self.total)
            Progress._drawn = True
        return self

    def __exit__(self, *_) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar, Progress._drawn = None, False

    def say(self, text: str) -> None:
        """Print a line, above the bar."""
        if self.bar is not None:
            self.bar.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
        else:
            print(printable(text), flush=True)

    def warn(self, text: str) -> None:
        """Show a line above the bar."""
        if self.bar is not None:
            self.bar.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
        else:
            logger.warning("%s", text)

    def advance(self, n: int = 1) -> None:
        """`n` more are done."""
        self.done += n
        if self.bar is not None:
            self.bar.advance(self.task, n)
            return
        now = time.perf_counter()
        if self.lines and not Progress._drawn and now - self.last > EVERY_S:
            self.last = now
            logger.info("%s: %d of %d, %.0f s, %s left", self.what, self.done, self.total,
                        now - self.begin, clock(self.left_s(now)))

    def left_s(self, now: float | None = None) -> float:
        """Seconds that the rest takes at the pace until now."""
        took = (time.perf_counter() if now is None else now) - self.begin
        return took / max(self.done, 1) * (self.total - self.done)


def each(things: Iterable[T], total: int, what: str) -> Iterator[T]:
    """The things, with progress: a step once the next one is asked for."""
    with Progress(total, what) as progress:
        for thing in things:
            yield thing
            progress.advance()


def clock(seconds: float) -> str:
    """75 → "1:15"; hours only where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
