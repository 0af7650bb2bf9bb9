"""T1-weighted images of heads (3-D NIfTI) → Volume, turned so that x goes right, y forward, z up.

Where the header contradicts itself (two orientations, two voxel sizes) the image is refused: which
one is right is never guessed. A header that is wrong in itself, such as one with left and right
exchanged, cannot be told from a right one: a brain is nearly its own mirror image.
"""

import re
from pathlib import Path

import numpy as np

from neurofm.data.recording import Recording
from neurofm.data.volume import Volume, one_channel

from .. import brain_masks, derivatives
from . import nifti
from .errors import ReadError, unreadable
from .options import VolumeTable

KIND = "volume"
_T1 = re.compile(r"(^|[_-])T1w?([_-][^.]*)?\.nii(\.gz)?$")
_NIFTI = re.compile(r"\.nii(\.gz)?$")
# Other contrasts, and what is made of images: by the last word of the name.
_OTHER = re.compile(
    r"(^|[_.-])(T2w?|T2starw?|FLAIR|PDw?|PDT2|inplaneT[12]|angio|UNIT1|MP2RAGE|SWI|T[12]map|T[12]rho"
    r"|bold|boldref|sbref|epi|dwi|dti|asl|cbf|pet|fieldmap|phase\w*|magnitude\d?|mask|dseg|seg"
    r"|probseg|aparc\w*|aseg|label\w*|atlas|warp|xfm|defacemask|ct)"
    r"([_-](space|res|desc|hemi)-\w+)*\.nii(\.gz)?$", re.IGNORECASE)
_VOXEL_MM = (0.2, 8.0)
_FIELD_MM = (100.0, 600.0)  # of the whole image along each axis
_MNI = 4  # code of a form


def claims(path: Path) -> bool:
    """By its name."""
    return bool(_T1.search(path.name)) and not _OTHER.search(path.name) and not path.is_dir()


def takes(path: Path) -> bool:
    """Whether it may be a T1 where T1s are wanted: any 3-D image that is not named otherwise."""
    if claims(path):
        return True
    return (bool(_NIFTI.search(path.name)) and not _OTHER.search(path.name) and path.is_file()
            and _axes(path) == 3)


def _axes(path: Path) -> int:
    """Number of axes by the header; 3 of what cannot be read: reading it says why."""
    import nibabel

    from .errors import quiet

    try:
        with quiet():
            shape = nibabel.load(path).shape
    except Exception:  # nibabel fails in many ways on what is no image
        return 3
    return 3 + any(n > 1 for n in shape[3:])


def read(path: Path, options) -> Recording:
    """The image with its brain mask, where one is found."""
    import nibabel

    if other := _OTHER.search(path.name):
        raise ReadError(path, f"is no T1-weighted image by its name ({other[2]}); leave it out "
                              f"(exclude: [pattern])")
    table = options.volumes or VolumeTable()
    try:
        image = nibabel.load(path)
        nifti._check_header(path, image, options.limit)
        _check_axes(path, image)
        _check_forms(path, image)
        data = np.asarray(image.dataobj, dtype=np.float32)
        image = nibabel.as_closest_canonical(
            nibabel.Nifti1Image(data.reshape(data.shape[:3]), image.affine, image.header))
    except ReadError:
        raise
    except Exception as error:
        raise unreadable(path, error, "NIfTI") from error
    data = np.ascontiguousarray(image.dataobj, dtype=np.float32)
    known = np.isfinite(data)
    if not known.any() or not np.ptp(data[known]) > 0:
        value = f"all its voxels are {data[known][0]:g}" if known.any() else "no voxel has a number"
        raise ReadError(path, f"shows nothing: {value}; copy or make it again")
    notes = [] if known.all() else [f"{1 - known.mean():.1%} of the voxels have no number (NaN): "
                                    f"taken as 0"]
    mask, whence = brain_masks.of(path, table, data.shape, image.affine)
    return Volume(
        data.reshape(1, -1), 1.0, one_channel(), source=str(path), image=str(path),
        notes=tuple(notes), shape=data.shape, affine=np.asarray(image.affine, dtype=float),
        space=_space(path, image), mask=mask, mask_source=whence)


def _check_axes(path: Path, image) -> None:
    if len(image.shape) < 3 or min(image.shape[:3]) < 8:
        raise ReadError(path, f"wanted an image of three axes, got shape {image.shape}")
    if any(n > 1 for n in image.shape[3:]):
        raise ReadError(path, f"wanted one image (three axes), got shape {image.shape}: it is a "
                              f"series; average it first, or ingest fMRI with --modality fmri")


def _check_forms(path: Path, image) -> None:
    """Raise ReadError where the header gives no place in space, or two."""
    from nibabel.orientations import aff2axcodes

    header = image.header
    codes = {name: int(header[f"{name}_code"]) for name in ("sform", "qform")}
    if not any(codes.values()):
        raise ReadError(path, "its header gives no place in space (sform_code and qform_code are "
                              "0), so left and right are unknown; convert it again from the "
                              "scanner's files")
    unit = header.get_xyzt_units()[0]
    if unit not in ("mm", "unknown"):
        raise ReadError(path, f"its header gives lengths in {unit}, wanted mm: correct xyzt_units "
                              f"and the voxel sizes")
    voxel_mm = np.linalg.norm(image.affine[:3, :3], axis=0)
    stated_mm = np.array(header.get_zooms()[:3], dtype=float)
    if not np.allclose(voxel_mm, stated_mm, rtol=0.02):
        raise ReadError(path, f"its header gives two voxel sizes: {_sizes(stated_mm)} (pixdim) and "
                              f"{_sizes(voxel_mm)} (sform); correct the wrong one")
    field_mm = voxel_mm * image.shape[:3]
    if not ((voxel_mm > _VOXEL_MM[0]) & (voxel_mm < _VOXEL_MM[1])).all() or not (
            (field_mm > _FIELD_MM[0]) & (field_mm < _FIELD_MM[1])).all():
        raise ReadError(path, f"voxels of {_sizes(voxel_mm)} make an image of {_sizes(field_mm)}, "
                              f"which is no head: correct the voxel sizes of its header")
    if all(codes.values()):
        forms = [header.get_sform(), header.get_qform()]
        turned = [aff2axcodes(form) for form in forms]
        if turned[0] != turned[1]:
            raise ReadError(path, f"its header gives two orientations: {''.join(turned[0])} "
                                  f"(sform) and {''.join(turned[1])} (qform), so left and right "
                                  f"or other sides may be exchanged; correct the wrong one")


def _sizes(mm: np.ndarray) -> str:
    return " × ".join(f"{value:.3g}" for value in mm) + " mm"


def _space(path: Path, image) -> str:
    """Template that an image is in already, by its name or header."""
    named = derivatives.entities(path.name).get("space", "")
    if named:
        return named if named.casefold().startswith("mni") else ""
    code = int(image.header["sform_code"]) or int(image.header["qform_code"])
    return "MNI space (by its header)" if code == _MNI else ""
