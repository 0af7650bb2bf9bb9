"""Windows in the order of their width (number of channels), as runs of neighbors.

Windows of a recording stand one after another and have one width. So the whole order is a row a run
of such windows, not a number a window: 10^8 windows of 10^5 recordings are 4 MB.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

_AT_ONCE = 2**20  # windows looked at when runs are found
Row = Int64[np.ndarray, " run"]
Each = Int64[np.ndarray, " window"]


class Found(NamedTuple):
    """Some windows. position: among those that were given. window: index in the source."""

    position: Each
    window: Each


@dataclass(frozen=True, eq=False)
class ByWidth:
    """Windows in the order of (width, position). See `of`.

    Parameters
    ----------
    position, window
        Of the first window of each run.
    width
        Of each run, ascending.
    stop
        Windows up to the end of each run.
    """

    position: Row
    window: Row
    width: Row
    stop: Row

    @classmethod
    def of(cls, windows: np.ndarray | range, widths: Callable[[np.ndarray], np.ndarray]
           ) -> "ByWidth":
        """Runs of windows.

        Parameters
        ----------
        windows
            Indices of windows in their source, `[window]`.
        widths
            Indices → width of each.

        Returns
        -------
        ByWidth
            The windows ordered.
        """
        parts = list(_runs(windows, widths))
        position, window, width = (np.concatenate(part) if parts else np.zeros(0, np.int64)
                                   for part in (zip(*parts, strict=True) if parts else [()] * 3))
        count = np.diff(position, append=len(windows))
        order = np.argsort(width, kind="stable")
        return cls(position[order], window[order], width[order], np.cumsum(count[order]))

    def __len__(self) -> int:
        return int(self.stop[-1]) if len(self.stop) else 0

    def at(self, ranks: Each) -> Found:
        """The windows at places of the order.

        Parameters
        ----------
        ranks
            Places, `[window]`.

        Returns
        -------
        Found
            Positions and indices of the windows there.
        """
        run = np.searchsorted(self.stop, ranks, side="right")
        # From the end of the run, whose begin is not kept.
        first = np.where(run > 0, self.stop[run - 1], 0)
        return Found(self.position[run] + ranks - first, self.window[run] + ranks - first)

    def classes(self) -> tuple[Int64[np.ndarray, " width"], Int64[np.ndarray, " width"]]:
        """The different widths, and how many windows are as wide or narrower."""
        last = np.flatnonzero(np.diff(self.width, append=-1))
        return self.width[last], self.stop[last]


def _runs(
    windows: np.ndarray | range, widths: Callable[[np.ndarray], np.ndarray]
) -> Iterator[tuple[Row, Row, Row]]:
    """(position, window, width) of the first window of each run, in parts."""
    before = (-2, -1)  # the last window of the part before, and its width
    for start in range(0, len(windows), _AT_ONCE):
        part = windows[start : start + _AT_ONCE]
        part = (np.arange(part.start, part.stop, part.step) if isinstance(part, range)
                else np.asarray(part, dtype=np.int64))
        width = np.asarray(widths(part), dtype=np.int64)
        new = np.flatnonzero((np.diff(part, prepend=before[0]) != 1)
                             | (np.diff(width, prepend=before[1]) != 0))
        before = (int(part[-1]), int(width[-1]))
        yield new + start, part[new], width[new]
