"""Images of a corpus side by side, as models of structure take them."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float32

from .batch import Batch

if TYPE_CHECKING:
    from .corpus import Corpus


def image(corpus: "Corpus", window: int | np.integer) -> Float32[np.ndarray, "x y z"]:
    """The image of a window.

    Parameters
    ----------
    corpus
        A corpus of images.
    window
        Index of the window.

    Returns
    -------
    ndarray
        float32 `[x, y, z]` on the grid of the contract.

    Raises
    ------
    ValueError
        The corpus holds signals, or the image has another grid.
    """
    grid = corpus.contract.grid
    if grid is None:
        raise ValueError(f"{corpus.folder}: wanted a corpus of T1-weighted images, this is one of "
                         f"{corpus.contract.name}: ingest images with --modality t1")
    flat = corpus.signal(window)
    if flat.size != np.prod(grid):
        raise ValueError(f"{corpus.source(window)}: wanted an image of {grid} voxels, it has "
                         f"{flat.size}: ingest it again")
    return flat.reshape(grid)


def of_images(
    corpus: "Corpus", windows: np.ndarray, seeds: np.ndarray | None = None, target=None
) -> Batch:
    """Images side by side, without a scan.

    Parameters
    ----------
    corpus
        A corpus of images.
    windows
        Indices of windows, `[window]`.
    seeds
        Seed of each window; None = none.
    target
        Target of each window; None = none.

    Returns
    -------
    Batch
        `volume`, and signals of no channel.
    """
    n = len(windows)
    volume = torch.from_numpy(np.stack([image(corpus, window) for window in windows.tolist()]))
    return Batch(
        torch.zeros(n, 0, 0), torch.zeros(n, 0, 6), torch.zeros(n, 0, dtype=torch.int64),
        torch.zeros(n, 0, dtype=torch.bool), volume=volume,
        volume_valid=torch.ones(n, dtype=torch.bool),
        target=None if target is None else torch.as_tensor(target),
        seed=None if seeds is None else torch.as_tensor(seeds, dtype=torch.int64),
        source=[corpus.source(w) for w in windows.tolist()],
        subject=corpus.subjects(windows).tolist(),
    )
