"""Brain masks that others have made of an image: fMRIPrep's, FreeSurfer's, FastSurfer's.

Looked for beside the image, then in `derivatives` of its BIDS folder (every pipeline there), then
in the folder that `volumes.derivatives` names. All of them keep the scanner's coordinates, so a
mask may have other voxels than the image.
"""

import glob
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.ndimage

from . import bids, derivatives
from .readers.errors import ReadError, unreadable
from .readers.options import VolumeTable

_FREESURFER = ("mri/brainmask.mgz", "mri/mask.mgz")
_FREE = {"desc", "space", "res", "label"}  # entities of a mask that say no scan


def find(path: Path, table: VolumeTable) -> Path | None:
    """The first mask of an image, in the order above."""
    if table.masks == "none":
        return None
    return next((mask for mask in _candidates(path, table) if mask.is_file()), None)


def of(path: Path, table: VolumeTable, shape: tuple[int, ...], affine: np.ndarray
       ) -> tuple[np.ndarray | None, str]:
    """The mask of an image on its grid, bool [x, y, z], and where it comes from; (None, "") where
    there is none."""
    import nibabel

    found = find(path, table)
    if found is None:
        return None, ""
    try:
        mask = nibabel.as_closest_canonical(nibabel.load(found))
        data = np.asarray(mask.dataobj, dtype=np.float32)
        if data.ndim != 3 or not (data > 0).any():
            raise ReadError(path, f"its brain mask {found} holds no brain (shape {data.shape}); "
                                  f"make it again, or --volumes.masks none")
        to_voxel = np.linalg.inv(mask.affine) @ affine
    except ReadError:
        raise
    except Exception as error:
        raise unreadable(found, error, "its brain mask").of(path) from error
    there = scipy.ndimage.affine_transform(
        (data > 0).astype(np.float32), to_voxel[:3, :3], to_voxel[:3, 3], shape, order=1)
    return there > 0.5, f"by the mask of {_pipeline(found, path)}"


def _candidates(path: Path, table: VolumeTable) -> Iterator[Path]:
    stem = path.name.split(".")[0]
    said = derivatives.entities(path.name)
    for name in (f"{stem}_brain_mask", f"{stem}_mask"):
        yield from (path.with_name(f"{name}.nii{packed}") for packed in (".gz", ""))
    yield from _of_scan(path.parent, said)
    if "sub" not in said:
        return
    root = bids.find_root(path.absolute())
    homes = [Path(table.derivatives).expanduser()] if table.derivatives else []
    if root is not None:
        homes += [root / "derivatives", *([root] if root.parent.name == "derivatives" else [])]
    subject = f"sub-{said['sub']}"
    session = f"ses-{said['ses']}" if "ses" in said else ""
    for home in homes:
        for pipeline in (home, *sorted(home.glob("*/"))):
            yield from _of_scan(pipeline / subject / session / "anat", said)
            yield from _of_scan(pipeline / subject / "anat", said)
    for home in homes:
        for pipeline in (home, *sorted(home.glob("*/")), *sorted(home.glob("*/sourcedata/*/")),
                         home / "sourcedata" / "freesurfer"):
            for person in ([f"{subject}_{session}"] if session else []) + [subject]:
                yield from (pipeline / person / name for name in _FREESURFER)


def _of_scan(folder: Path, said: dict[str, str]) -> list[Path]:
    """Masks of BIDS Derivatives in a folder that are of this scan and space."""
    if not folder.is_dir() or "sub" not in said:
        return []
    fitting = []
    for mask in sorted(folder.glob(f"sub-{glob.escape(said['sub'])}*_mask.nii*")):
        theirs = derivatives.entities(mask.name)
        if theirs.get("desc") != "brain" or not _same_space(said, theirs):
            continue
        if all(said.get(key) == value for key, value in theirs.items() if key not in _FREE):
            fitting.append((-len(theirs), mask))
    return [mask for _, mask in sorted(fitting)]


def _same_space(ours: dict[str, str], theirs: dict[str, str]) -> bool:
    spaces = [said.get("space", "") for said in (ours, theirs)]
    own = ["" if space.casefold() in derivatives.OWN else space for space in spaces]
    return own[0] == own[1] and (not own[0] or ours.get("res") == theirs.get("res"))


def _pipeline(mask: Path, path: Path) -> str:
    if mask.suffix == ".mgz":
        return "FreeSurfer" if mask.name == "brainmask.mgz" else "FastSurfer"
    if mask.parent == path.parent:
        return "a file beside it"
    parts = mask.parts
    at = next((k for k, part in enumerate(parts) if part.startswith("sub-")), 0)
    return parts[at - 1] if at else "a file"
