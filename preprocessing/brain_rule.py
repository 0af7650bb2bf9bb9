"""Settings of simulated people of whom a T1 and fMRI are taken."""

from dataclasses import dataclass
from typing import Annotated

from neurofm.limits import Count, Limit, Positive, Share, limited

_Most = Annotated[float, Limit(0, 3)]


@dataclass(frozen=True)
@limited
class BrainRule:
    """What simulated T1-weighted images and fMRI are like.

    Parameters
    ----------
    voxel_mm
        Edge of a voxel of the T1, mm.
    bias
        Standard deviation of the log of the bias field.
    noise
        Noise of the T1 over the intensity of white matter.
    ventricles_mm
        Distance by which the wall of the lateral ventricles is moved for a structure of 1, mm.
    size
        Standard deviation of the log of head size (of a length).
    coupling
        Change of the correlation of two networks for a function of 1 (of its inverse hyperbolic
        tangent).
    n_regions
        Regions of the atlas.
    bold_voxel_mm
        Edge of a voxel of the fMRI, mm.
    without_t1
        Share of subjects without a T1.
    without_fmri
        Share of subjects without fMRI.
    masks
        Write brain masks as fMRIPrep does, in derivatives/fmriprep.
    """

    voxel_mm: Positive = 2.0
    bias: _Most = 0.15
    noise: _Most = 0.03
    ventricles_mm: _Most = 1.0
    size: _Most = 0.04
    coupling: _Most = 0.35
    n_regions: Count = 40
    bold_voxel_mm: Positive = 8.0
    without_t1: Share = 0.0
    without_fmri: Share = 0.0
    masks: bool = False

    PREFIX = "brains."

    def __post_init__(self):
        if self.n_regions < 10:
            raise ValueError(f"brains.n_regions: wanted 10 or more (two in each of five networks), "
                             f"got {self.n_regions}")
        if self.without_t1 + self.without_fmri > 1:
            raise ValueError(f"brains.without_t1 and brains.without_fmri are shares of all "
                             f"subjects, at most 1 together, got "
                             f"{self.without_t1 + self.without_fmri:g}")
        for name, low, high in (("voxel_mm", 0.7, 6.0), ("bold_voxel_mm", 2.0, 12.0)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"brains.{name}: wanted {low:g} to {high:g} mm, got "
                                 f"{getattr(self, name):g}")
