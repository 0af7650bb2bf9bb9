"""Batches of a run in their order, without the steps that are passed over; it can go back."""

from collections.abc import Callable, Iterable, Iterator

Passed = list[tuple[int, int]]  # first and last step of each stretch that is passed over


class Feed:
    """Gives (number of the step, its batches), numbers counted from 1.

    Parameters
    ----------
    load
        load(a, b): batches of the steps after `a` up to `b`, prepared ahead.
    first
        Finished steps.
    last
        Number of the last step.
    passed
        Stretches of steps that are passed over, in order.
    """

    def __init__(self, load: Callable[[int, int], Iterable], first: int, last: int,
                 passed: Passed | None = None):
        self.load, self.first, self.last, self.passed = load, first, last, passed or []
        self._moved = True

    def __iter__(self) -> Iterator[tuple]:
        while self._moved:
            self._moved = False
            for a, b in self._stretches():
                for done, item in enumerate(self.load(a, b), start=a + 1):
                    yield done, item
                    if self._moved:
                        break
                if self._moved:
                    break

    def go_to(self, first: int, passed: Passed) -> None:
        """Give the step after `first` next."""
        self.first, self.passed, self._moved = first, passed, True

    def _stretches(self) -> Iterator[tuple[int, int]]:
        at = self.first
        for begin, end in sorted(self.passed):
            if begin - 1 > at:
                yield at, begin - 1
            at = max(at, end)
        if at < self.last:
            yield at, self.last
