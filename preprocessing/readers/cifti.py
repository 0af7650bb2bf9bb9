"""CIFTI-2 time series (HCP's grayordinates) → Recording of regions, through nibabel.

…ptseries.nii holds parcels already; of …dtseries.nii the regions are those of `images.atlas`, a
…dlabel.nii of the same grayordinates. Vertices lie where `images.mesh` says, voxels where the file
itself does. The repetition time is the file's own.
"""

import math
from pathlib import Path

import numpy as np

from neurofm.data.recording import Recording

from .errors import ReadError, unreadable
from .nifti import OUTSIDE
from .scan_events import with_events
from .surface import Parts, coordinates

KIND = "image"
_LEFT, _RIGHT = "CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT"


def claims(path: Path) -> bool:
    return path.name.endswith((".dtseries.nii", ".ptseries.nii"))


def read(path: Path, options) -> Recording:
    """Every parcel, or the mean signal of every region of `options.images.atlas`."""
    import nibabel

    table = options.images
    image = _opened(path, path)
    axes = [image.header.get_axis(k) for k in range(2)]
    series, brain = axes
    if not isinstance(series, nibabel.cifti2.SeriesAxis):
        raise ReadError(path, f"wanted a series over time, its first axis is a "
                              f"{type(series).__name__}")
    if series.unit != "SECOND" or not 0.1 <= series.step <= 20:
        raise ReadError(path, f"wanted a repetition time in seconds, it says {series.step:g} "
                              f"{series.unit.lower()}; correct its header, it is never guessed")
    options.limit.check(path, 8 * math.prod(map(int, image.shape)))
    data = np.asarray(image.get_fdata(dtype=np.float64)).T
    parts = Parts()
    if isinstance(brain, nibabel.cifti2.ParcelsAxis):
        _parcels(path, brain, data, table, parts)
    else:
        _dense(path, brain, data, table, parts)
    return with_events(parts.recording(path, float(series.step), OUTSIDE), path, table,
                       options.encoding)


def _parcels(path: Path, brain, data: np.ndarray, table, parts: Parts) -> None:
    """Parcels as they are, each at the center of its vertices and voxels."""
    meshes, measured = None, np.isfinite(data).any(axis=0)
    for name, voxels, vertices, signal in zip(brain.name, brain.voxels, brain.vertices, data,
                                              strict=True):
        place = [_of_voxels(brain.affine, voxels)] if len(voxels) else []
        for structure, index in vertices.items():
            meshes = meshes or coordinates(path, table.mesh)
            place.append(_on_mesh(path, meshes, structure, index))
        middle = np.concatenate(place).mean(axis=0, keepdims=True)
        parts.add([str(name)], np.ones(1, dtype=int), signal[None], middle, measured)


def _dense(path: Path, brain, data: np.ndarray, table, parts: Parts) -> None:
    """Grayordinates, by the labels of an atlas that has the same."""
    if not table.atlas.endswith(".dlabel.nii") or not Path(table.atlas).is_file():
        raise ReadError(path, f"grayordinates do not say what their regions are: give "
                              f"images.atlas, a …dlabel.nii, got {table.atlas!r}")
    atlas = _opened(path, Path(table.atlas))
    labels, of = atlas.header.get_axis(0), atlas.header.get_axis(1)
    code = np.asarray(atlas.dataobj)[0].astype(np.int64)
    # An atlas of the cortex alone is one of fewer grayordinates: what it lacks has no region.
    known = {key: value for key, value in zip(_keys(of), code.tolist(), strict=True)}
    own = _keys(brain)
    label = np.array([known.get(key, 0) for key in own])
    if not (label != 0).any():
        raise ReadError(path, f"{table.atlas} has none of its grayordinates: they are of "
                              f"different meshes")
    place, cortex = np.full((len(own), 3), np.nan), np.isin(brain.name, (_LEFT, _RIGHT))
    if cortex.any():
        meshes = coordinates(path, table.mesh)
        for structure in (_LEFT, _RIGHT):
            rows = brain.name == structure
            place[rows] = _on_mesh(path, meshes, structure, brain.vertex[rows])
    place[~cortex] = _of_voxels(brain.affine, brain.voxel[~cortex])
    names = labels.label[0]
    codes = np.setdiff1d(np.unique(label), [0]).tolist()
    parts.add([names[one][0] for one in codes], label, data, place)


def _keys(axis) -> list[tuple]:
    """What each grayordinate is: structure, and number of the vertex or place of the voxel."""
    return [(name, int(vertex)) if vertex >= 0 else (name, *map(int, voxel))
            for name, vertex, voxel in zip(axis.name, axis.vertex, axis.voxel, strict=True)]


def _on_mesh(path: Path, meshes, structure: str, index: np.ndarray) -> np.ndarray:
    side = {_LEFT: 0, _RIGHT: 1}.get(structure)
    if side is None or (len(index) and index.max() >= len(meshes[side])):
        raise ReadError(path, f"images.mesh has no vertex {index.max() if len(index) else ''} of "
                              f"{structure}: it is another mesh")
    return meshes[side][index]


def _of_voxels(affine, voxels: np.ndarray) -> np.ndarray:
    import nibabel

    return nibabel.affines.apply_affine(affine, voxels) if len(voxels) else np.zeros((0, 3))


def _opened(path: Path, file: Path):
    import nibabel

    try:
        image = nibabel.load(file)
        image.header.get_axis(0)
    except Exception as error:
        raise unreadable(file, error, "CIFTI-2").of(path) from error
    return image
