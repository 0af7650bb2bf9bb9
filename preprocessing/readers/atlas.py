"""Atlases as images of labels: names and centers of their regions."""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from .. import text
from .errors import ReadError, unreadable

_NEAR, _APART = 0.01, 0.1  # of a whole number: labels that were stored as floats
_MOST_LABELS = 2000
_TABLES = (".tsv", ".csv", ".txt", ".lut", ".xml")
_CODES, _NAMES = ("index", "code", "label_index", "id"), ("name", "label", "region", "roi_name")


def claims(path: str | Path) -> bool:
    return str(path).endswith((".nii", ".nii.gz"))


@lru_cache(maxsize=4)
def centers(path: str) -> tuple[tuple[str, ...], Float[np.ndarray, "region 3"]]:
    """(labels as text in ascending order, centers of mass in meters, in the space of the image).

    0 is no region. Raises ValueError where the image holds no labels.
    """
    import nibabel

    try:
        image = squeezed(nibabel.load(path))
    except Exception as error:
        raise unreadable(Path(path), error, "NIfTI") from error
    labels = labels_of(image)
    if labels is None:
        raise ReadError(path, f"wanted an image of labels (three axes, whole numbers), got shape "
                              f"{image.shape} of {image.get_data_dtype()}; probabilistic maps "
                              f"have no one label a voxel: give a table of centers instead (.tsv: "
                              f"name, x, y, z)")
    inside = np.argwhere(labels != 0)
    if len(inside) == 0:
        raise ReadError(path, "there is no label in it, all voxels are 0")
    code, of = np.unique(labels[labels != 0], return_inverse=True)
    total = np.zeros((len(code), 3))
    np.add.at(total, of.ravel(), inside)
    voxel = total / np.bincount(of.ravel())[:, None]
    place_mm = nibabel.affines.apply_affine(image.affine, voxel)
    return tuple(map(str, code.tolist())), place_mm / 1000


def labels_of(image) -> Int64[np.ndarray, "x y z"] | None:
    """The labels of an image of three axes (below 0: no region); None where it holds maps: several,
    or numbers that are not whole.

    Raises ValueError for what is neither.
    """
    if image.get_data_dtype().names:
        raise ValueError("it holds colors: give the labels that they stand for")
    if len(image.shape) != 3:
        _check_maps(image)
        return None
    values = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float64))
    off = float(np.abs(values - values.round()).max(initial=0.0))
    if off > _NEAR and not (off <= _APART and _one_a_label(values)):
        return None
    return np.maximum(values.round(), 0).astype(np.int64)


def _one_a_label(values: np.ndarray) -> bool:
    """Whether numbers that are not quite whole are few, and each belongs to one whole number: no
    map is so."""
    found = np.unique(values[values != 0])
    return (1 < len(found) <= _MOST_LABELS and found.min() > 0.5
            and len(np.unique(found.round())) == len(found))


def _check_maps(image) -> None:
    """Raise ValueError for several images of labels in one: maps rarely share a voxel, labels
    each cover the brain."""
    if len(image.shape) != 4 or image.shape[3] > 20:
        return
    values = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float64))
    there = values != 0
    if (np.array_equal(values, values.round()) and values.max(initial=0.0) > 1
            and there.all(axis=3).sum() > 0.5 * there.any(axis=3).sum()):
        raise ValueError(f"it holds {image.shape[3]} images of labels: give one of them, as an "
                         f"image of three axes")


def squeezed(image):
    """An image without axes of length 1 after the third. An axis of time that was not the fourth
    has no step: nobody says which of the header's is its own."""
    import nibabel

    shape = (*image.shape[:3], *(n for n in image.shape[3:] if n > 1))
    if shape == image.shape:
        return image
    zooms = image.header.get_zooms()
    steps = [zooms[3]] if image.shape[3] > 1 else [0.0]
    steps += [0.0] * (len(shape) - 4)
    made = nibabel.Nifti1Image(np.asarray(image.dataobj).reshape(shape), image.affine)
    made.header.set_xyzt_units(*image.header.get_xyzt_units())
    made.header.set_zooms((*zooms[:3], *steps)[:len(shape)])
    return made


@lru_cache(maxsize=16)
def names(path: str) -> dict[int, str]:
    """Label → name, of the table beside an atlas: X.tsv or .csv (BIDS: index, name), .txt (a line a
    label: number, name), .xml (AAL, FSL). Empty where there is none, or a name comes twice."""
    stem = Path(path).name.removesuffix(".gz").removesuffix(".nii")
    # BIDS: one table for all resolutions and spaces of an atlas.
    plain = re.sub(r"_(res|space|den)-[^_]+", "", stem)
    files = [Path(path).with_name(name + end) for name in (stem, plain) for end in _TABLES]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return {}
    content = text.read(file)
    if file.suffix == ".xml":
        found = re.findall(r"<index>\s*(\d+)\s*</index>\s*<name>([^<]+)</name>", content)
    elif file.suffix in (".txt", ".lut"):
        found = re.findall(r"^\s*(\d+)[\s,;]+([^\s,;]+)", content, flags=re.MULTILINE)
    else:
        columns, rows = text.table(content)
        code = next((name for name in _CODES if name in columns), "")
        named = next((name for name in _NAMES if name in columns), "")
        found = [(row[code], row[named]) for row in rows] if code and named else []
    known = {int(code): name.strip() for code, name in found
             if re.fullmatch(r"\d+", code) and name.strip() not in ("", "n/a")}
    return known if len(set(known.values())) == len(known) else {}
