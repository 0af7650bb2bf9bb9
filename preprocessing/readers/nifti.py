"""Images of the brain over time (4-D NIfTI) → Recording of an atlas's regions, through nilearn.

The repetition time is the image's own (its header, and the .json beside it where there is one); if
they disagree, or the header says none, that is an error: it is never guessed.
"""

import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from neurofm.data.recording import Recording
from neurofm.data.sensors import KINDS, Sensors

from .. import bids, derivatives, links, text
from ..steps.refusal import some
from . import atlas as atlases
from .errors import ReadError, quiet, unreadable
from .scan_events import with_events
from .sizes import Limit

KIND = "image"
VOXELS = "voxels"  # in place of an atlas: every voxel of the mask is a region
_IMAGE = re.compile(r"(^|[_-])bold([_-][^.]*)?\.nii(\.gz)?$", re.IGNORECASE)
# Images of four axes that are no fMRI, and CIFTI.
_NO_IMAGE = re.compile(r"(^|[_-])(dwi|dti|epi|fieldmap|phasediff|magnitude\d?|asl|pet|probseg|maps?"
                       r"|sbref|tpm|xfm|warp)([_-][^.]*)?\.nii|\.[a-z]+\.nii$", re.IGNORECASE)
_MOST_PACKED = 1032  # bytes that gzip makes of one
_LEAST_VOXEL_MM3 = 1e-9
_FEWEST = 10  # volumes of a file whose name does not say that it is fMRI
_EXTENSION = re.compile(r"(\.(func|dtseries|ptseries))?\.(nii|gii)(\.gz)?$")
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
# Attributes: regions of the atlas that the image does not hold, and those that lie in it but fall
# between its voxels; names between tabs.
OUTSIDE, SMALL = "regions_outside", "regions_too_small"
_MOST_VOXELS = 5000  # as regions
_LEAST_SHARE = 0.5  # of an atlas's regions that an image must hold


def claims(path: Path) -> bool:
    """By its name, or by a header of a series of volumes."""
    if _IMAGE.search(path.name):
        return not path.is_dir()
    if not path.name.endswith((".nii", ".nii.gz")) or _NO_IMAGE.search(path.name):
        return False
    return path.is_file() and _volumes(path, path.stat().st_mtime_ns) >= _FEWEST


@lru_cache(maxsize=4096)
def _volumes(path: Path, mtime_ns: int) -> int:
    """Volumes by the header; 0 of what cannot be read, or is diffusion (.bval beside)."""
    import nibabel

    if path.with_name(_EXTENSION.sub("", path.name) + ".bval").exists():
        return 0
    try:
        with quiet():
            shape = tuple(nibabel.load(path).shape)
    except Exception:  # nibabel fails in many ways on what is no image
        return 0
    shape = (*shape[:3], *(n for n in shape[3:] if n > 1))
    return shape[3] if len(shape) == 4 and min(shape[:3]) > 1 else 0


def read(path: Path, options) -> Recording:
    """Mean signal of every region of `options.images.atlas` in every volume."""
    import nibabel

    table = options.images
    if not table.atlas:
        raise ReadError(path, f"an image does not say what its regions are: give images.atlas, an "
                              f"image of labels or of maps, or {VOXELS}")
    if table.atlas != VOXELS:
        derivatives.check_space(path, table)
    try:
        whole = nibabel.load(path)
        _check_header(path, whole, options.limit)
        image = atlases.squeezed(nibabel.Nifti1Image(
            np.asarray(whole.dataobj, dtype=np.float32), whole.affine, whole.header))
    except ReadError:
        raise
    except Exception as error:
        raise unreadable(path, error, "NIfTI") from error
    if len(image.shape) != 4 or image.shape[3] < 2:
        raise ReadError(path, f"wanted an image over time (four axes), got shape {image.shape}; "
                              f"pass over anatomical images (exclude: [pattern])")
    t_r = repetition_time(path, image)
    names, position, signal, lost, small = _regions(path, image, table)
    sensors = Sensors(tuple(names), np.full(len(names), KINDS.index("roi")), position,
                      np.zeros((len(names), 3)))
    left_out = {key: "\t".join(names) for key, names in ((OUTSIDE, lost), (SMALL, small)) if names}
    found = Recording(signal.astype(np.float32), 1 / t_r, sensors, source=str(path),
                      image=str(path), attributes=left_out)
    return with_events(found, path, table, options.encoding)


def _check_header(path: Path, image, limit: Limit) -> None:
    """Raise ReadError where the header promises more than the file holds or is allowed, or no place
    in space."""
    promised = int(image.dataobj.offset) + int(np.prod(image.shape, dtype=object)
                                               * image.get_data_dtype().itemsize)
    held = path.stat().st_size * (_MOST_PACKED if path.suffix == ".gz" else 1)
    if promised > held:
        raise ReadError(path, f"truncated, or its header is damaged: that promises shape "
                              f"{image.shape}, {promised} bytes, the file holds "
                              f"{'at most ' * (path.suffix == '.gz')}{held}; copy it again from "
                              f"the source")
    limit.check(path, math.prod(map(int, image.shape)) * np.dtype(np.float32).itemsize)
    turned = image.affine[:3, :3]
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(turned)) < _LEAST_VOXEL_MM3:
        raise ReadError(path, "its header's affine places no voxel (it is zero, singular or NaN); "
                              "write it anew, as from the scanner's files")


def repetition_time(path: Path, image) -> float:
    """Seconds from volume to volume."""
    unit = image.header.get_xyzt_units()[1]
    step = float(image.header.get_zooms()[3])
    known = unit in _SECONDS and 0 < step < np.inf
    said = step * _SECONDS[unit] if known else None
    sidecar = sidecar_of(path)
    beside = stated_repetition_time(path, sidecar)
    if said and beside and abs(said - beside) > 0.01 * beside:
        raise ReadError(path, f"its header says a repetition time of {said:g} s, {sidecar.name} "
                              f"{beside:g} s: correct the wrong one")
    t_r = beside or said
    if not t_r:
        raise ReadError(path, f"its header says no repetition time ({step:g}, unit {unit}), and "
                              f"no {sidecar.name} with RepetitionTime (seconds) lies beside it: "
                              f"write one")
    if not 0.1 <= t_r <= 20:
        raise ReadError(path, f"wanted a repetition time in seconds, got {t_r:g} ({unit}); correct "
                              f"it in the header or in {sidecar.name}")
    return float(t_r)


def stated_repetition_time(path: Path, sidecar: Path) -> float | None:
    """RepetitionTime of a sidecar in seconds, also where it is written as text; None where it says
    none."""
    said = json_beside(path, sidecar).get("RepetitionTime")
    if said is None or (isinstance(said, str) and said.strip().casefold() in ("", "n/a")):
        return None
    try:
        if isinstance(said, bool):
            raise ValueError
        return float(said)
    except (TypeError, ValueError):
        raise ReadError(path, f"wanted RepetitionTime in {sidecar.name} as a number of seconds, "
                              f"got {said!r}; write it so, as 2.0") from None


def json_beside(path: Path, sidecar: Path) -> dict[str, Any]:
    """What a sidecar of an image says; {} where there is none."""
    if not links.there(sidecar):
        return {}
    try:
        return text.read_json(sidecar)
    except ReadError as error:
        raise ReadError(path, f"its sidecar {sidecar.name} {error.reason}") from error


def sidecar_of(path: Path) -> Path:
    """The .json that says the repetition time: beside the image or, in BIDS, further up."""
    beside = path.with_name(_EXTENSION.sub("", path.name) + ".json")
    root = bids.find_root(path.absolute().parent)
    if root is None:
        return beside
    named = [file for file in bids.sidecars(path.absolute(), root)
             if file.name.endswith("bold.json") and "RepetitionTime" in json_beside(path, file)]
    return named[0] if named else beside


def _regions(path: Path, image, table):
    """(names, centers [n, 3] in meters, signal [n, volume], regions outside the image, regions
    between its voxels)."""
    import nibabel

    mask = _mask(path, image, table)
    if table.atlas == VOXELS:
        return _voxels(path, image, mask)
    atlas = atlases.squeezed(_opened(path, table.atlas, "images.atlas"))
    try:
        known = atlases.labels_of(atlas)
    except ValueError as error:
        raise ReadError(path, f"images.atlas {table.atlas}: {error}") from error
    if known is None:
        return _maps(path, image, mask, atlas, table)
    # To the image's own grid, by the nearest label: what is measured is not interpolated.
    labels = _on_its_grid(nibabel.Nifti1Image(known.astype(np.int32), atlas.affine), image,
                          "nearest").astype(np.int64)
    labels = np.where(mask, labels, 0)
    code, of = np.unique(labels[labels != 0], return_inverse=True)
    named = atlases.names(table.atlas)
    small, lost = list[str](), list[str]()
    for label in np.setdiff1d(known, [0, *code]).tolist():
        name = named.get(label, str(label))
        (small if _lies_in(atlas, known == label, image, mask) else lost).append(name)
    _check_overlap(path, table.atlas, len(code), [*lost, *small])
    count = np.bincount(of)
    data = np.asarray(image.dataobj, dtype=np.float32)[labels != 0]
    signal = np.zeros((len(code), data.shape[1]))
    np.add.at(signal, of, data)
    place = np.zeros((len(code), 3))
    np.add.at(place, of, _places(image)[labels != 0])
    names = [named.get(label, str(label)) for label in code.tolist()]
    return names, place / count[:, None], signal / count[:, None], lost, small


def _lies_in(atlas, inside: np.ndarray, image, mask: np.ndarray) -> bool:
    """Whether voxels of an atlas lie in the mask of an image."""
    import nibabel

    place = nibabel.affines.apply_affine(atlas.affine, np.argwhere(inside))
    voxel = nibabel.affines.apply_affine(np.linalg.inv(image.affine), place).round().astype(int)
    voxel = voxel[((voxel >= 0) & (voxel < mask.shape)).all(axis=1)]
    return bool(mask[tuple(voxel.T)].any())


def _voxels(path: Path, image, mask):
    if mask.sum() > _MOST_VOXELS:
        raise ReadError(path, f"images.atlas is {VOXELS}, but {mask.sum()} voxels lie in the mask, "
                              f"more than {_MOST_VOXELS}: give a mask of fewer, or an atlas")
    names = ["-".join(map(str, index)) for index in np.argwhere(mask).tolist()]
    return names, _places(image)[mask], np.asarray(image.dataobj, dtype=np.float32)[mask], [], []


def _maps(path: Path, image, mask, atlas, table):
    """Of a probabilistic atlas: by least squares, as nilearn's NiftiMapsMasker."""
    maps = _on_its_grid(atlas, image, "continuous").astype(np.float64)
    maps = maps.reshape(*maps.shape[:3], -1)  # of one map too
    weight = maps[mask]
    there = weight.sum(axis=0) > 0
    lost = [f"map{k + 1}" for k in np.flatnonzero(~there)]
    _check_overlap(path, table.atlas, int(there.sum()), lost)
    weight = weight[:, there]
    place = weight.T @ _places(image)[mask] / weight.sum(axis=0)[:, None]
    data = np.asarray(image.dataobj, dtype=np.float64)[mask]
    signal = np.full((weight.shape[1], data.shape[1]), np.nan)
    held = np.isfinite(data).all(axis=0)
    signal[:, held] = np.linalg.lstsq(weight, data[:, held], rcond=None)[0]
    return [f"map{k + 1}" for k in np.flatnonzero(there)], place, signal, lost, []


def _mask(path: Path, image, table) -> np.ndarray:
    """bool [x, y, z]: voxels that count; by default those that are not the same all through."""
    if not table.mask:
        data = np.asarray(image.dataobj)
        data = data[..., _measured(data)]
        varies = np.isfinite(data).all(axis=3)
        if data.shape[3]:
            varies[varies] = np.ptp(data[varies], axis=1) > 0
        if not data.shape[3] or not varies.any():
            raise ReadError(path, "no voxel varies in time: each is constant, or has NaN; make the "
                                  "image anew")
        return varies
    mask = _opened(path, table.mask, "images.mask")
    if mask.shape[:3] != image.shape[:3] or not np.allclose(mask.affine, image.affine, atol=1e-3):
        raise ReadError(path, f"images.mask {table.mask} has shape {mask.shape} and another grid "
                              f"than the image ({image.shape[:3]}): give a mask on its grid")
    return np.asarray(mask.dataobj).reshape(image.shape[:3]) != 0


def _measured(data: np.ndarray) -> np.ndarray:
    """bool [volume]: those that hold a number at all; others are volumes that were scrubbed."""
    return np.isfinite(data).any(axis=(0, 1, 2))


def _opened(path: Path, file: str, key: str):
    import nibabel

    if not Path(file).is_file():
        raise ReadError(path, f"{key}: there is no file {file}")
    try:
        return nibabel.load(file)
    except Exception as error:
        raise unreadable(Path(file), error, f"{key}, NIfTI").of(path) from error


def _on_its_grid(atlas, image, interpolation: str) -> np.ndarray:
    """An atlas on the grid of an image; zeros where they lie apart."""
    import nibabel
    from nilearn.image import resample_to_img

    grid = nibabel.Nifti1Image(np.zeros(image.shape[:3], dtype=np.float32), image.affine)
    try:
        return np.asarray(resample_to_img(atlas, grid, interpolation=interpolation,
                                          force_resample=True, copy_header=True).dataobj)
    except ValueError as error:
        if "field of view" not in str(error):
            raise
        return np.zeros((*image.shape[:3], *atlas.shape[3:]))


def _places(image) -> np.ndarray:
    """[x, y, z, 3] centers of voxels in meters."""
    import nibabel

    index = np.moveaxis(np.indices(image.shape[:3]), 0, -1)
    return nibabel.affines.apply_affine(image.affine, index) / 1000


def _check_overlap(path: Path, atlas: str, found: int, lost: list[str]) -> None:
    """Raise ReadError where the atlas and the image lie apart."""
    wanted = found + len(lost)
    if wanted == 0:
        raise ReadError(path, f"images.atlas {atlas} has no region: all its voxels are 0")
    if found < _LEAST_SHARE * wanted:
        raise ReadError(path, f"{atlas} has {wanted} regions, but only {found} of them lie in the "
                              f"image (not {some(lost)}): they are of different spaces, or the "
                              f"image holds part of the brain; register it first")
