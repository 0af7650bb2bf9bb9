"""The template of all T1-weighted images: MNI152 (ICBM 2009a, nonlinear, symmetric, 1 mm; Fonov et
al. 2011, NeuroImage 54:313) with its brain mask, as nilearn ships it. Its skull is removed.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float32, Float64

WORK_MM = 2.0  # grid on which brains are extracted and bias fields fitted


@dataclass(frozen=True, eq=False)
class Template:
    """Intensity in [0, 1] and brain mask on one grid."""

    intensity: Float32[np.ndarray, "x y z"]
    mask: Bool[np.ndarray, "x y z"]
    affine: Float64[np.ndarray, "4 4"]  # voxel → millimeters of MNI space

    @property
    def voxel_mm(self) -> float:
        return float(self.affine[0, 0])

    def places(self, where: Bool[np.ndarray, "x y z"]) -> Float64[np.ndarray, "voxel 3"]:
        """Millimeters of the voxels of a mask."""
        return np.argwhere(where) @ self.affine[:3, :3].T + self.affine[:3, 3]


@lru_cache(maxsize=4)
def load(voxel_mm: float = WORK_MM) -> Template:
    """The template at a resolution of 1 mm or a multiple of it."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    if voxel_mm == 1:
        whole = load_mni152_template(resolution=1)
        mask = load_mni152_brain_mask(resolution=1)
        return Template(np.asarray(whole.dataobj, dtype=np.float32),
                        np.asarray(mask.dataobj) > 0.5, np.asarray(whole.affine))
    fine, step = load(1.0), round(voxel_mm)
    # Blocks of voxels, averaged: the grid's voxels are centered on the blocks.
    shape = [n // step for n in fine.mask.shape]
    cut = tuple(slice(0, n * step) for n in shape)

    def blocks(data: np.ndarray) -> np.ndarray:
        parts = data[cut].reshape(shape[0], step, shape[1], step, shape[2], step)
        return parts.mean(axis=(1, 3, 5), dtype=np.float32)

    affine = fine.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.full(3, (step - 1) / 2)
    affine[:3, :3] *= step
    return Template(blocks(fine.intensity), blocks(fine.mask) > 0.5, affine)


def ball(radius_mm: float, voxel_mm: float) -> Bool[np.ndarray, "x y z"]:
    """Structuring element: a ball."""
    reach = int(radius_mm / voxel_mm)
    at = np.indices([2 * reach + 1] * 3) - reach
    return (at**2).sum(axis=0) <= (radius_mm / voxel_mm) ** 2


def grown(mask: Bool[np.ndarray, "x y z"], by_mm: float, voxel_mm: float
          ) -> Bool[np.ndarray, "x y z"]:
    """A mask grown by some millimeters (shrunk where that is below 0)."""
    if by_mm >= 0:
        return scipy.ndimage.distance_transform_edt(~mask, sampling=voxel_mm) <= by_mm
    return scipy.ndimage.distance_transform_edt(mask, sampling=voxel_mm) > -by_mm
