"""Progress of a long command: a bar on a terminal, now and then a plain line elsewhere."""

import logging
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.progress

logger = logging.getLogger("neurofm.preprocessing")


class Progress:
    """Context manager: `advance()` after each of `total` things, `warn(text)` in between."""

    def __init__(self, total: int, what: str):
        self.total, self.what, self.done = total, what, 0
        self.begin = self.last = time.perf_counter()
        self.bar: rich.progress.Progress | None = None

    def __enter__(self) -> "Progress":
        if sys.stdout.isatty():
            from rich import progress

            bar = self.bar = progress.Progress(
                progress.TextColumn("{task.description}"), progress.BarColumn(),
                progress.MofNCompleteColumn(), progress.TimeElapsedColumn(),
                progress.TimeRemainingColumn(),
            )
            bar.start()
            self.task = bar.add_task(self.what, total=self.total)
        return self

    def __exit__(self, *_) -> None:
        if self.bar is not None:
            self.bar.stop()

    def warn(self, text: str) -> None:
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            logger.warning("%s", text)

    def advance(self) -> None:
        self.done += 1
        if self.bar is not None:
            self.bar.advance(self.task)
            return
        now = time.perf_counter()
        # At each tenth, but in a log no more often than every two seconds.
        tenth = self.done * 10 // self.total > (self.done - 1) * 10 // self.total
        if self.done == self.total or (tenth and now - self.last > 2):
            self.last = now
            logger.info("%s: %d of %d, %.0f s", self.what, self.done, self.total, now - self.begin)
