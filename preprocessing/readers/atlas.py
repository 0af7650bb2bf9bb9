"""Atlases as images of labels: names and centers of their regions."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float


def claims(path: str | Path) -> bool:
    return str(path).endswith((".nii", ".nii.gz"))


@lru_cache(maxsize=4)
def centers(path: str) -> tuple[tuple[str, ...], Float[np.ndarray, "region 3"]]:
    """(labels as text in ascending order, centers of mass in meters, in the space of the image).

    0 is no region. Raises ValueError where the image holds no labels.
    """
    import nibabel

    image = nibabel.load(path)
    labels = np.asarray(image.dataobj)
    if labels.ndim != 3 or not np.array_equal(labels, labels.round()):
        raise ValueError(f"{path}: wanted an image of labels (three axes, whole numbers), got "
                         f"shape {labels.shape} of {labels.dtype}; probabilistic maps have no one "
                         f"label a voxel: give a table of centers instead (.tsv: name, x, y, z)")
    inside = np.argwhere(labels != 0)
    if len(inside) == 0:
        raise ValueError(f"{path}: there is no label in it, all voxels are 0")
    code, of = np.unique(labels[labels != 0].round().astype(np.int64), return_inverse=True)
    total = np.zeros((len(code), 3))
    np.add.at(total, of.ravel(), inside)
    voxel = total / np.bincount(of.ravel())[:, None]
    place_mm = nibabel.affines.apply_affine(image.affine, voxel)
    return tuple(map(str, code.tolist())), place_mm / 1000
