"""How the windows of a step are put into micro-batches and dealt to processes.

All processes compute the same plan, out of the widths of the windows alone. Windows of similar
width share a micro-batch, so that little of it is padding; every process has windows of every
micro-batch, and about as much work as the others.
"""

import heapq
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

# Rather this much padding than one more forward and backward pass: channels of a window, and share
# of the step (large micro-batches keep a GPU busy).
OVERHEAD, OVERHEAD_SHARE = 64.0, 0.02
Work = Float64[np.ndarray, " window"]


def dealt(work: Work, processes: int = 1, accumulate: int = 1) -> list[list[slice]]:
    """Which windows go where.

    Parameters
    ----------
    work
        Work of each window of a step, ascending; a micro-batch costs that of its largest window
        for each of them.
    processes
        Number of processes; at most one for each window.
    accumulate
        No micro-batch is more than 1/accumulate of the step.

    Returns
    -------
    list[list[slice]]
        Windows of a process, `[micro-batch][process]`: none is without any, and those of a
        micro-batch follow each other. Micro-batches are the same for any number of processes that
        is not larger than one of them.
    """
    micro_batches = _cut(work, processes, accumulate)
    counts, taken = [], [0.0] * processes
    for part in reversed(micro_batches):  # the most work first: the rest evens it out
        counts.append(_shares(part, float(work[part.stop - 1]), taken))
    found = []
    for part, share in zip(micro_batches, reversed(counts), strict=True):
        stops = part.start + np.cumsum(share)
        found.append([slice(int(stop) - count, int(stop))
                      for stop, count in zip(stops, share, strict=True)])
    return found


def loads(work: Work, plan: Sequence[Sequence[slice]]) -> Float64[np.ndarray, " process"]:
    """Work of each process by a plan, padding included."""
    return np.sum([[(part.stop - part.start) * work[micro_batch[-1].stop - 1]
                    for part in micro_batch] for micro_batch in plan], axis=0)


def _shares(part: slice, each: float, taken: list[float]) -> list[int]:
    """How many windows of a micro-batch each process takes, the least loaded the next one; their
    work, `each`, is added to what it has taken."""
    shares = [1] * len(taken)
    heap = [(load + each, rank) for rank, load in enumerate(taken)]
    heapq.heapify(heap)
    for _ in range(part.stop - part.start - len(taken)):
        load, rank = heap[0]
        shares[rank] += 1
        heapq.heapreplace(heap, (load + each, rank))
    for load, rank in heap:
        taken[rank] = load
    return shares


def _cut(work: Work, processes: int, accumulate: int) -> list[slice]:
    """Micro-batches: least padding and fewest of them, then none larger than allowed."""
    parts = _least_padding(work, processes)
    total = sum((part.stop - part.start) * work[part.stop - 1] for part in parts)
    found: list[slice] = []
    for part in parts:
        n = part.stop - part.start
        pieces = int(np.ceil(n * work[part.stop - 1] * accumulate / total - 1e-9))
        pieces = max(1, min(pieces, n // processes))
        edges = part.start + np.arange(pieces + 1) * n // pieces
        found += [slice(int(a), int(b)) for a, b in pairwise(edges)]
    return found


def _least_padding(work: Work, processes: int) -> list[slice]:
    """The cut of ascending work into parts, of a window or more for each process, for which
    sum over parts (overhead + windows · largest work) is lowest."""
    n, overhead = len(work), OVERHEAD + OVERHEAD_SHARE * work.sum()
    ends = np.append(np.flatnonzero(np.diff(work)) + 1, n)  # where the width changes …
    # … or just before, so that the rest can be dealt evenly.
    ends = np.union1d(ends, n + (ends - n) // processes * processes)
    ends = ends[(ends >= processes) & ((ends <= n - processes) | (ends == n))]
    starts = np.append(0, ends[:-1])
    lowest, cut = np.zeros(len(ends) + 1), np.zeros(len(ends), dtype=int)
    for k, end in enumerate(ends):
        room = end - starts[: k + 1]
        cost = lowest[: k + 1] + overhead + room * work[end - 1]
        cost[room < processes] = np.inf
        cut[k] = np.argmin(cost)
        lowest[k + 1] = cost[cut[k]]
    found, k = [], len(ends)
    while k:
        k, end = int(cut[k - 1]), int(ends[k - 1])
        found.append(slice(int(starts[k]), end))
    return found[::-1]
