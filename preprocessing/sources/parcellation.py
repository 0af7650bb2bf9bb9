"""Where parcels are: points on a grid in MNI space, of an atlas's image or made from geometry."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from neurofm.data.parcel_rule import ParcelRule

from . import template

GRID_MM = 8.0
# Cortex lies so far below the inner skull; below it is white matter, which has no dipoles.
SHALLOWEST_MM, DEEPEST_MM = 6.0, 26.0


def filled(rule: ParcelRule) -> ParcelRule:
    """The rule with its points; one that has them (a checkpoint's) stays as it is."""
    if rule.points:
        return rule
    made = of_image(rule.atlas) if rule.atlas else of_geometry(rule.n_parcels)
    points = {name: tuple((round(float(x), 1), round(float(y), 1), round(float(z), 1))
                          for x, y, z in places) for name, places in made.items()}
    # The path is of this machine; what it said is in the points.
    return replace(rule, points=points, atlas=Path(rule.atlas).name)


def of_image(path: str) -> dict[str, Float[np.ndarray, "point 3"]]:
    """Parcel → places (MNI, mm): the middles of what each label has in the cells of the grid.

    0 is no parcel. Raises ValueError where the image holds no labels.
    """
    import nibabel

    if not Path(path).is_file():
        raise ValueError(f"parcels.atlas: there is no file {path}")
    image = nibabel.load(path)
    labels = np.asarray(image.dataobj)
    if labels.ndim != 3 or not np.array_equal(labels, labels.round()) or not labels.any():
        raise ValueError(f"parcels.atlas {path}: wanted an image of labels (three axes, whole "
                         f"numbers, some above 0), got shape {labels.shape} of {labels.dtype}")
    voxel = np.argwhere(labels != 0)
    code = labels[tuple(voxel.T)].astype(int)
    place = nibabel.affines.apply_affine(image.affine, voxel)
    return {str(label): _on_grid(place[code == label]) for label in np.unique(code)}


def _on_grid(place: Float[np.ndarray, "voxel 3"]) -> Float[np.ndarray, "point 3"]:
    _, cell = np.unique(np.floor(place / GRID_MM), axis=0, return_inverse=True)
    cell = cell.ravel()
    total = np.zeros((cell.max() + 1, 3))
    np.add.at(total, cell, place)
    return total / np.bincount(cell)[:, None]


def of_geometry(n_parcels: int) -> dict[str, Float[np.ndarray, "point 3"]]:
    """`n_parcels` (even) of about equal size in the shell below the template's inner skull, by
    k-means of the right half; the left half is its mirror image."""
    from scipy.spatial import cKDTree
    from sklearn.cluster import KMeans

    skull = template.inner_skull_mni() * 1000
    axis = [np.arange(low, high, GRID_MM) for low, high in ((4, 80), (-120, 90), (-50, 90))]
    grid = np.stack(np.meshgrid(*axis, indexing="ij"), axis=-1).reshape(-1, 3)
    center = skull.mean(axis=0)
    depth, nearest = cKDTree(skull).query(grid)
    outer = skull[nearest]
    inside = np.linalg.norm(grid - center, axis=1) < np.linalg.norm(outer - center, axis=1)
    shell = inside & (depth > SHALLOWEST_MM) & (depth < DEEPEST_MM)
    cerebellum = (grid[:, 1] < -40) & (grid[:, 2] < -20)
    grid = grid[shell & ~cerebellum & (grid[:, 2] > -40)]
    found = KMeans(n_parcels // 2, n_init=4, random_state=0).fit(grid)
    # From front to back, so that a parcel's number says about where it lies.
    order = np.argsort(-found.cluster_centers_[:, 1])
    parcels = {}
    for number, cluster in enumerate(order, start=1):
        places = grid[found.labels_ == cluster]
        parcels[f"L{number:02d}"] = places * (-1, 1, 1)
        parcels[f"R{number:02d}"] = places
    return parcels


def centers_m(rule: ParcelRule) -> Float[np.ndarray, "parcel 3"]:
    """Middle of each parcel, MNI space, meters: as those of fMRI's regions."""
    return np.array([np.mean(places, axis=0) for places in rule.points.values()]) / 1000
