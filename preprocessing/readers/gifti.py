"""Surface time series of both hemispheres (GIFTI, as fMRIPrep writes them) → Recording of an
atlas's regions, through nilearn.

A run is two files, …hemi-L….func.gii and …hemi-R….func.gii; the left one stands for both. The
repetition time is that of the .json beside them: GIFTI has no field for it that all agree on.
"""

from pathlib import Path

import numpy as np

from neurofm.data.recording import Recording

from . import sizes
from .errors import ReadError, sentence
from .nifti import OUTSIDE, sidecar_of, stated_repetition_time
from .scan_events import with_events
from .surface import Parts, coordinates, other_side

KIND = "image"


def claims(path: Path) -> bool:
    """Left hemispheres, and right ones without a left one (which is then said)."""
    name = path.name
    if not name.endswith(".func.gii") or "hemi-" not in name:
        return False
    left = path.with_name(name.replace("hemi-R", "hemi-L"))
    return "hemi-L" in name or not left.exists()


def read(path: Path, options) -> Recording:
    """Mean signal of every region of `options.images.atlas` (labels of the left hemisphere's
    vertices, the right one's beside it)."""
    from nilearn.surface import load_surf_data

    table = options.images
    pair = (path, other_side(path))
    if "hemi-L" not in path.name or not pair[1].is_file():
        raise ReadError(path, "wanted both hemispheres, …hemi-L….func.gii and …hemi-R….func.gii, "
                              "beside each other; one is missing")
    labels = (Path(table.atlas), other_side(table.atlas))
    if not table.atlas or labels[0] == labels[1] or not all(file.is_file() for file in labels):
        raise ReadError(path, f"a surface does not say what its regions are: give images.atlas, "
                              f"labels of the left hemisphere (…hemi-L….label.gii or lh.….annot) "
                              f"with the right one's beside it; got {table.atlas!r}")
    for file in pair:
        sizes.check_gifti(file, options.limit)
    places, found, parts = coordinates(path, table.mesh), [], Parts()
    for side, file, of, place in zip("LR", pair, labels, places, strict=True):
        try:
            signal = np.asarray(load_surf_data(file), dtype=np.float64)
            label = np.asarray(load_surf_data(of)).astype(np.int64)
        except Exception as error:
            raise ReadError(path, f"{file.name} or {of.name} cannot be read as GIFTI: "
                                  f"{sentence(error)}; one of them is damaged") from error
        if signal.ndim != 2 or len({len(signal), len(label), len(place)}) != 1:
            raise ReadError(path, f"{file.name} has shape {signal.shape}, {of.name} "
                                  f"{len(label)} vertices and images.mesh {len(place)}: they are "
                                  f"of different meshes")
        codes = np.setdiff1d(np.unique(label), [0, -1]).tolist()
        parts.add([f"{side}-{code}" for code in codes], np.maximum(label, 0), signal, place)
        found.append(signal.shape[1])
    if found[0] != found[1]:
        raise ReadError(path, f"its hemispheres have {found[0]} and {found[1]} volumes: they are "
                              f"of different runs")
    return with_events(parts.recording(path, _repetition_time(path), OUTSIDE), path, table,
                       options.encoding)


def _repetition_time(path: Path) -> float:
    sidecar = sidecar_of(path)
    said = stated_repetition_time(path, sidecar)
    if said is None or not 0.1 <= said <= 20:
        raise ReadError(path, f"wanted RepetitionTime (seconds) in {sidecar.name} beside it, got "
                              f"{said}: write it there, it is never guessed")
    return said
