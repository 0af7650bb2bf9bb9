"""Validation loss by data set and by layout."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ..data.windows import WindowTable

MOST = 12  # data sets or layouts that are told apart; the others are one


class Parts:
    """Which part each of some windows belongs to: a data set with a layout.

    Parameters
    ----------
    datasets
        Data set of each window.
    layouts
        Layout of each window, such as "19 channels".
    """

    def __init__(self, datasets: Sequence[str], layouts: Sequence[str]):
        pairs = list(zip(_most(datasets), _most(layouts), strict=True))
        self.names = sorted(set(pairs))
        place = {pair: number for number, pair in enumerate(self.names)}
        self.of = np.array([place[pair] for pair in pairs], dtype=np.int64)

    def means(self, sums: Tensor) -> dict[str, float]:
        """val/loss/NAME of each data set and each layout, where there are several.

        sums: [part, 2], sum of the losses and number of windows.
        """
        found = {}
        for axis in (0, 1):
            names = sorted({pair[axis] for pair in self.names})
            for name in names if len(names) > 1 else []:
                rows = [k for k, pair in enumerate(self.names) if pair[axis] == name]
                total, n = sums[rows].sum(dim=0).tolist()
                found[f"val/loss/{name}"] = total / n if n else float("nan")
        return found


def parts_of(data, windows: np.ndarray) -> Parts | None:
    """Of windows of a corpus or token set; None where they are all of one part, or of scans."""
    if not isinstance(data, WindowTable):
        return None
    rows, table = data._index[0][windows], data.recordings
    datasets = table["dataset"].fillna("").astype(str).to_numpy()[rows]
    channels = table["n_channels"].to_numpy()[rows]
    parts = Parts([name or "unnamed" for name in datasets], [f"{n} channels" for n in channels])
    return parts if len(parts.names) > 1 else None


def batches_of(widths: np.ndarray, of: np.ndarray, at_once: int) -> list[np.ndarray]:
    """Places of windows of one part and of similar width, at most `at_once` together."""
    order = np.lexsort((widths, of))
    ends = np.flatnonzero(np.diff(of[order])) + 1
    return [stretch[start : start + at_once] for stretch in np.split(order, ends)
            for start in range(0, len(stretch), at_once)]


def _most(names: Sequence[str]) -> list[str]:
    counts = Counter(names)
    kept = {name for name, _ in counts.most_common(MOST)}
    return [name if name in kept else "others" for name in names]
