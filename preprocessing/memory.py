"""Arrays that may not fit in memory: large ones live in an unnamed temporary file."""

import tempfile

import numpy as np

from neurofm.data.recording import Recording

LARGE_BYTES = 2**30


def empty(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialized float32 array; beyond 1 GiB a memory map whose file vanishes with it.

    The file lies where `TMPDIR` says; the system writes its pages out when memory is short.
    """
    if 4 * np.prod(shape, dtype=float) < LARGE_BYTES:
        return np.empty(shape, dtype=np.float32)
    with tempfile.TemporaryFile(prefix="neurofm-") as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def pick(recording: Recording, rows: np.ndarray) -> Recording:
    """The channels `rows` (ascending), without holding a large signal in memory."""
    signal = empty((len(rows), recording.n_times))
    for new, row in enumerate(rows):
        signal[new] = recording.signal[row]
    return recording.with_(signal=signal, sensors=recording.sensors[rows])
