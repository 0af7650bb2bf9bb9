"""Which voxels are brain, where no mask was given: by the template, refined by intensity.

The image must lie on the template's grid, registered to it. The template's own mask is right to
about 2 mm, as far as an affine map brings one brain onto another. Tissue that it missed is added,
and what is dark at its edge is taken away, within a few millimeters of it.
"""

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float32

from . import template as templates
from .template import Template

_REACH_MM = 4.0  # that the edge may differ from the template's
_OPEN_MM, _CLOSE_MM = 3.0, 6.0
_FAR_MM = 8.0  # from the template's brain: there is scalp in an image with its skull
_SCALP_SHARE = 0.02  # of the voxels beyond, that are as bright as tissue, in a stripped image


def is_stripped(data: Float32[np.ndarray, "x y z"], template: Template) -> bool:
    """Whether the skull was removed already: nearly nothing is bright outside the brain."""
    level = _level(data, template)
    near = templates.grown(template.mask, 40.0, template.voxel_mm)
    beyond = near & ~templates.grown(template.mask, _FAR_MM, template.voxel_mm)
    return float((data[beyond] > level).mean()) < _SCALP_SHARE


def extract(data: Float32[np.ndarray, "x y z"], template: Template) -> Bool[np.ndarray, "x y z"]:
    """The brain of an image with its skull."""
    mm = template.voxel_mm
    wide = templates.grown(template.mask, _REACH_MM, mm)
    sure = templates.grown(template.mask, -_REACH_MM, mm)
    tissue = wide & (data > _level(data, template))
    tissue = scipy.ndimage.binary_opening(tissue, templates.ball(_OPEN_MM, mm)) | sure
    tissue = _largest(tissue)
    close = templates.ball(_CLOSE_MM, mm)
    reach = close.shape[0]
    closed = scipy.ndimage.binary_closing(np.pad(tissue, reach), close)[
        reach:-reach, reach:-reach, reach:-reach]
    return scipy.ndimage.binary_fill_holes(closed) & wide


def of_stripped(there: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """The brain of an image whose skull was removed. there: where it is not 0."""
    return scipy.ndimage.binary_fill_holes(_largest(there))


def _level(data: np.ndarray, template: Template) -> float:
    """Between liquor and gray matter: half of the median of the brain's inside."""
    return 0.5 * float(np.median(data[templates.grown(template.mask, -5.0, template.voxel_mm)]))


def _largest(mask: np.ndarray) -> np.ndarray:
    bodies, n = scipy.ndimage.label(mask)
    return mask if n < 2 else bodies == np.bincount(bodies[mask]).argmax()
