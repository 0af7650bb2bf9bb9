"""Atlases as images of labels: names and centers of their regions."""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from .. import text

_NEAR = 0.01  # of a whole number: labels that were stored as floats
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

    image = nibabel.squeeze_image(nibabel.load(path))
    labels = labels_of(image)
    if labels is None:
        raise ValueError(f"{path}: wanted an image of labels (three axes, whole numbers), got "
                         f"shape {image.shape} of {image.get_data_dtype()}; probabilistic maps "
                         f"have no one label a voxel: give a table of centers instead (.tsv: "
                         f"name, x, y, z)")
    inside = np.argwhere(labels != 0)
    if len(inside) == 0:
        raise ValueError(f"{path}: there is no label in it, all voxels are 0")
    code, of = np.unique(labels[labels != 0], return_inverse=True)
    total = np.zeros((len(code), 3))
    np.add.at(total, of.ravel(), inside)
    voxel = total / np.bincount(of.ravel())[:, None]
    place_mm = nibabel.affines.apply_affine(image.affine, voxel)
    return tuple(map(str, code.tolist())), place_mm / 1000


def labels_of(image) -> Int64[np.ndarray, "x y z"] | None:
    """The labels of an image of three axes; None where it holds maps: several, or numbers that are
    not whole."""
    if len(image.shape) != 3:
        return None
    values = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float64))
    if np.abs(values - values.round()).max(initial=0.0) > _NEAR:
        return None
    return values.round().astype(np.int64)


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
