"""Progress of a long command: a bar on a terminal, now and then a plain line elsewhere."""

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.progress


class Progress:
    """Context manager: `advance()` after each of `total` things, `say(text)` in between."""

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

    def say(self, text: str) -> None:
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)

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
            print(f"{self.what}: {self.done} of {self.total}, {now - self.begin:.0f} s", flush=True)
