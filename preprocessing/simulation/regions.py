"""Regions of which a simulated scanner gives BOLD: where they are (MNI), and what drives each.

Heads of this simulation are one template with jitter, so a dipole's place in MNI space is that of
MNE's template head (Colin 27) after the head's size is undone. A cortical region follows the
generators whose dipoles lie near its center (a Gaussian footprint). Deep regions have no dipoles:
what they follow is written beside them, and most of what they do no generator knows.

Signs are those found with simultaneous EEG and fMRI: alpha power is negative in occipital cortex
and positive in the thalamus (Goldman et al. 2002, "Simultaneous EEG and fMRI of the alpha rhythm";
Moosmann et al. 2003), mu and beta are negative in sensorimotor cortex (Ritter et al. 2009,
"Rolandic alpha and beta EEG rhythms are strongly correlated with fMRI-BOLD signal").
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from .anatomy import HEAD_RADIUS_M, Brain

FOOTPRINT_M = 0.018  # standard deviation of a region's Gaussian footprint over the dipoles
SPHERE_MM, VOXEL_MM = 9.0, 5.0  # of the label image
GLOBAL = "global"
# Word a generator's name begins with → BOLD for a rise of its power near the region.
SIGNS = {"alpha": -1.0, "mu": -0.8, "beta": -0.6, "background": 0.5, "network": 0.5}


@dataclass(frozen=True)
class Region:
    """One simulated region."""

    name: str
    mni_mm: tuple[float, float, float] | None  # its center, None for what is everywhere
    # share of the variance of its noise-free BOLD that no generator, so no EEG, knows
    unseen: float = 0.2
    # beginning of a generator's name → weight, beside what lies near
    follows: tuple[tuple[str, float], ...] = ()


REGIONS = (
    Region("occipital left", (-16.0, -88.0, 8.0)),
    Region("occipital right", (16.0, -88.0, 8.0)),
    Region("motor left", (-40.0, -24.0, 54.0)),
    Region("motor right", (40.0, -24.0, 54.0)),
    Region("frontal left", (-34.0, 36.0, 24.0)),
    Region("frontal right", (34.0, 36.0, 24.0)),
    Region("temporal left", (-52.0, -20.0, 6.0)),
    Region("temporal right", (52.0, -20.0, 6.0)),
    Region("thalamus", (0.0, -18.0, 8.0), 0.5, (("alpha", 0.7), ("network attention", 0.2))),
    Region("putamen left", (-26.0, 4.0, 2.0), 0.6, (("beta left", -0.5), ("mu left", -0.3))),
    Region("putamen right", (26.0, 4.0, 2.0), 0.6, (("beta right", -0.5), ("mu right", -0.3))),
    Region(GLOBAL, None, 0.2),  # mean of the others
)


def names(n_rois: int) -> list[str]:
    """The first `n_rois` regions' names: columns of a time series."""
    return [region.name for region in REGIONS[:n_rois]]


def template_weights(brain: Brain) -> Float[np.ndarray, "region generator"]:
    """BOLD of each of `REGIONS` for a rise of each generator's relative power; `GLOBAL` is 0."""
    place = to_mni(brain)
    strength = np.abs(brain.coupling)
    weights = np.zeros((len(REGIONS), len(brain.generators)))
    sign = np.array([SIGNS.get(each.name.split()[0], 0.0) for each in brain.generators])
    for row, region in zip(weights, REGIONS, strict=True):
        if region.mni_mm is None:
            continue
        distance = np.linalg.norm(place - np.array(region.mni_mm) / 1000, axis=1)
        near = np.exp(-0.5 * (distance / FOOTPRINT_M) ** 2)
        # The share of a generator's current that flows in the region.
        row[:] = sign * (near @ strength) / strength.sum(axis=0)
        for prefix, weight in region.follows:
            row += weight * np.array([each.name.startswith(prefix) for each in brain.generators])
    return weights


def to_mni(brain: Brain) -> Float[np.ndarray, "source 3"]:
    """Places of a brain's dipoles in MNI space, meters."""
    in_template = brain.center + (brain.position - brain.center) * (HEAD_RADIUS_M / brain.radius)
    turn = _head_to_mni()
    return in_template @ turn[:3, :3].T + turn[:3, 3]


@cache
def _head_to_mni() -> Float[np.ndarray, "4 4"]:
    import mne

    # MNE 1.12 renamed the template; the positions are the same.
    known = mne.channels.get_builtin_montages()
    name = "colin27_1005" if "colin27_1005" in known else "standard_1005"
    montage = mne.channels.make_standard_montage(name)
    return np.linalg.inv(mne.channels.compute_native_head_t(montage)["trans"])


def write_table(path: Path, n_rois: int) -> None:
    """rois.tsv: name and center (mm, MNI); n/a where a region has no place."""
    rows = ["name\tx\ty\tz"]
    for region in REGIONS[:n_rois]:
        place = [f"{x:g}" for x in region.mni_mm] if region.mni_mm else ["n/a"] * 3
        rows.append("\t".join([region.name, *place]))
    path.write_text("\n".join(rows) + "\n")


def write_image(path: Path, n_rois: int) -> None:
    """Label image in MNI space: k in a sphere about the center of row k (from 1) of rois.tsv."""
    import nibabel

    affine = np.diag([VOXEL_MM] * 3 + [1.0])
    affine[:3, 3] = (-90.0, -125.0, -70.0)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in (37, 43, 37)), indexing="ij"), axis=-1)
    place = grid * VOXEL_MM + affine[:3, 3]
    labels = np.zeros(place.shape[:3], dtype=np.int16)
    for code, region in enumerate(REGIONS[:n_rois], start=1):
        if region.mni_mm is not None:
            labels[np.linalg.norm(place - region.mni_mm, axis=-1) <= SPHERE_MM] = code
    image = nibabel.Nifti1Image(labels, affine)
    image.set_sform(affine, code="mni")
    image.set_qform(affine, code="mni")
    nibabel.save(image, path)
