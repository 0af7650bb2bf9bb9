"""HDF5 files of arrays: one array of time and channel, or a dataset a channel."""

from pathlib import Path

import numpy as np

from neurofm import extras

EXTENSIONS = (".h5", ".hdf5")


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Every numeric dataset by its path in the file, in the file's order."""
    h5py = extras.need("h5py", "an HDF5 file")

    found = {}

    def keep(name, held):
        if isinstance(held, h5py.Dataset) and held.dtype.kind in "fiu" and held.ndim:
            found[name] = held[()]

    with h5py.File(path, "r") as file:
        file.visititems(keep)
    return found


def channels(held: dict[str, np.ndarray]) -> tuple[list[str], np.ndarray] | None:
    """(names, [time, channel]) where a file keeps a dataset a channel: several with one axis (or
    one beside axes of length 1) and equal lengths; None where it does not."""
    flat = {name: np.squeeze(array) for name, array in held.items()}
    lengths = {array.shape[0] for array in flat.values() if array.ndim == 1}
    if len(flat) < 2 or len(lengths) != 1 or any(array.ndim != 1 for array in flat.values()):
        return None
    return [name.rsplit("/", 1)[-1] for name in flat], np.stack(list(flat.values()), axis=1)
