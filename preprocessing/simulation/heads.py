"""T1-weighted images of simulated heads: the MNI152 template, deformed.

    image(p) = bias(p) · head(q + wobble(q) + ventricles(q)) + noise,     q = A⁻¹ p

A is where the head lies in the scanner and how large it is; the wobble is a smooth random
deformation of a few millimeters; the last term widens or narrows the lateral ventricles by a given
distance at their wall. The template has no skull, so liquor, skull, scalp, neck and a coarse face
are drawn about its brain. What is simulated is the shape and the artifacts, not the texture of
tissue: all heads are of one brain.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.linalg
import scipy.ndimage
from jaxtyping import Bool, Float32, Float64

from ..anatomy import template as templates

_MODEL_MM = 2.0  # grid of the model head
_ABOUT, _BELOW = 12, 36  # voxels of air, and of neck, about the template
_LIQUOR_MM, _SKULL_MM, _SCALP_MM = 2.5, 8.0, 14.0  # outer edges of layers over the brain
_LIQUOR, _SKULL, _SCALP, _MUSCLE = 0.12, 0.06, 0.85, 0.45  # intensities; white matter is 0.85
_REACH_MM = 9.0  # from the wall of the ventricles on over which tissue is moved
_WOBBLE_MM, _WOBBLE_SIZE_MM = 1.5, 40.0  # deformation: standard deviation and smoothness


@dataclass(frozen=True)
class Shape:
    """What makes a head: scale of each length, distance by which ventricles are widened (mm)."""

    size: float = 1.0
    ventricles_mm: float = 0.0


@dataclass(frozen=True)
class T1Scanner:
    """How an image is taken.

    Parameters
    ----------
    voxel_mm
        Edge of a voxel.
    bias
        Standard deviation of the log of the bias field.
    noise
        Standard deviation of the noise over the intensity of white matter.
    turn_deg, shift_mm
        Standard deviations of the head's turns and place.
    """

    voxel_mm: float = 2.0
    bias: float = 0.15
    noise: float = 0.03
    turn_deg: float = 5.0
    shift_mm: float = 5.0


@dataclass(frozen=True, eq=False)
class Head:
    """An image and what is true of it, all on its grid."""

    image: Float32[np.ndarray, "x y z"]  # white matter about 850
    affine: Float64[np.ndarray, "4 4"]  # voxel → millimeters of the scanner, x to the right
    brain: Bool[np.ndarray, "x y z"]
    bias: Float32[np.ndarray, "x y z"]
    to_mni: Float64[np.ndarray, "4 4"]  # millimeters of the scanner → of the template
    ventricles_ml: float
    brain_ml: float


def head(shape: Shape, scanner: T1Scanner, person_seed: list[int], seed: list[int]) -> Head:
    """Take an image of a head. person_seed: of its own deformation; seed: of this image."""
    own, rng = np.random.default_rng(person_seed), np.random.default_rng(seed)
    model, voxel_mm = _model(), scanner.voxel_mm
    pose = _pose(rng, scanner, shape.size)
    extent = np.ceil(np.array([184, 232, 240]) * max(1.0, shape.size) / voxel_mm).astype(int)
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = pose[:3, :3] @ [0, -18, -22] + pose[:3, 3] - voxel_mm * (extent - 1) / 2
    to_mni = np.linalg.inv(pose)
    place = (np.linalg.inv(model.affine) @ to_mni @ affine)
    index = np.indices(tuple(extent)).reshape(3, -1)
    at = (place[:3, :3] @ index + place[:3, 3:]).astype(np.float32)
    moved = at.copy()
    for axis, part in enumerate(_wobble(own, model.intensity.shape)):
        moved[axis] += scipy.ndimage.map_coordinates(part, at, order=1, mode="nearest")
    if shape.ventricles_mm:
        for axis, part in enumerate(model.outward):
            moved[axis] -= (shape.ventricles_mm / _MODEL_MM
                            * scipy.ndimage.map_coordinates(part, at, order=1))

    def seen(part: np.ndarray) -> np.ndarray:
        return scipy.ndimage.map_coordinates(
            part.astype(np.float32), moved, order=1).reshape(tuple(extent))

    brain, ventricles = seen(model.brain) > 0.5, seen(model.ventricles)
    clean = seen(model.intensity)
    bias = np.exp(scanner.bias * _smooth_field(rng, clean.shape, voxel_mm))
    # Magnitude of two noisy channels (Rician).
    noise = scanner.noise * 0.85 * rng.standard_normal((2, *clean.shape), dtype=np.float32)
    image = 1000 * np.hypot(clean * bias + noise[0], noise[1])
    ml = voxel_mm**3 / 1000
    return Head(image.astype(np.float32), affine, brain, bias.astype(np.float32), to_mni,
                float(ventricles.sum() * ml), float(brain.sum() * ml))


@dataclass(frozen=True, eq=False)
class _Model:
    intensity: Float32[np.ndarray, "x y z"]
    brain: Bool[np.ndarray, "x y z"]
    ventricles: Bool[np.ndarray, "x y z"]
    outward: Float32[np.ndarray, "3 x y z"]  # away from the ventricles, 1 at their wall
    affine: Float64[np.ndarray, "4 4"]


@lru_cache(maxsize=1)
def _model() -> _Model:
    """The template with its ventricles, and the head about it."""
    found = templates.load(_MODEL_MM)
    pad = [(_ABOUT, _ABOUT), (_ABOUT, _ABOUT), (_BELOW, _ABOUT)]
    intensity, brain = (np.pad(part, pad) for part in (found.intensity, found.mask))
    affine = found.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [side[0] for side in pad]
    intensity = np.where(brain, intensity, 0).astype(np.float32)
    x, y, z = (np.indices(brain.shape).T @ affine[:3, :3].T + affine[:3, 3]).T
    ventricles = _lateral(intensity, brain, x, y, z)
    away_mm = scipy.ndimage.distance_transform_edt(~brain, sampling=_MODEL_MM)
    rough = 1 + 0.15 * _smooth_field(np.random.default_rng(7), brain.shape, _MODEL_MM, 6.0)
    body = (((x / 58) ** 2 + ((y + 30) / 62) ** 2 < 1) & (z < -40)) | (
        ((x / 42) ** 2 + ((y - 55) / 42) ** 2 < 1) & (z < -18) & (z > -105))
    for layer, level in ((body, _MUSCLE * rough), (away_mm < _SCALP_MM, _SCALP * rough),
                         (away_mm < _SKULL_MM, _SKULL), (away_mm < _LIQUOR_MM, _LIQUOR)):
        intensity = np.where(layer & ~brain, level, intensity)
    wall_mm = (scipy.ndimage.distance_transform_edt(~ventricles, sampling=_MODEL_MM)
               - scipy.ndimage.distance_transform_edt(ventricles, sampling=_MODEL_MM))
    wall_mm = scipy.ndimage.gaussian_filter(wall_mm, 1.0)
    slope = np.stack(np.gradient(wall_mm, _MODEL_MM))
    slope /= np.maximum(np.linalg.norm(slope, axis=0), 1e-6)
    outward = slope * np.exp(-((wall_mm / _REACH_MM) ** 2))
    soft = np.where(brain, intensity, scipy.ndimage.gaussian_filter(intensity, 0.5))
    return _Model(soft.astype(np.float32), brain, ventricles, outward.astype(np.float32), affine)


def _lateral(intensity, brain, x, y, z) -> Bool[np.ndarray, "x y z"]:
    """The lateral ventricles: two dark bodies deep in the brain."""
    inner = templates.grown(brain, -20, _MODEL_MM) & (intensity < 0.42)
    bodies, _ = scipy.ndimage.label(inner)
    found = np.zeros_like(brain)
    for side in (-1, 1):
        near = inner & (np.abs(x - side * 13) < 8) & (np.abs(y + 14) < 15) & (np.abs(z - 15) < 10)
        found |= bodies == np.bincount(bodies[near]).argmax()
    return found


def _pose(rng: np.random.Generator, scanner: T1Scanner, size: float) -> np.ndarray:
    """Millimeters of the template → of the scanner."""
    a, b, c = np.radians(scanner.turn_deg) * rng.standard_normal(3)
    found = np.eye(4)
    found[:3, :3] = size * scipy.linalg.expm(np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]]))
    found[:3, 3] = scanner.shift_mm * rng.standard_normal(3)
    return found


def _wobble(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    """A displacement along each axis, in voxels of the model."""
    return [_WOBBLE_MM / _MODEL_MM * _smooth_field(rng, shape, _MODEL_MM, _WOBBLE_SIZE_MM)
            for _ in range(3)]


def _smooth_field(rng: np.random.Generator, shape: tuple[int, ...], voxel_mm: float,
                  size_mm: float = 70.0) -> Float32[np.ndarray, "x y z"]:
    """Random, smooth over `size_mm`, mean 0 and standard deviation 1."""
    step = max(1.0, size_mm / voxel_mm / 4)
    coarse = np.ceil(np.array(shape) / step).astype(int) + 9
    field = scipy.ndimage.gaussian_filter(rng.standard_normal(tuple(coarse)), 4 / 2.355)[
        4:-4, 4:-4, 4:-4]
    field = (field - field.mean()) / field.std()
    at = [np.linspace(0, n - 1, m) for n, m in zip(field.shape, shape, strict=True)]
    for axis, places in enumerate(at):
        low = np.minimum(places.astype(int), field.shape[axis] - 2)
        part = (places - low).reshape([-1 if k == axis else 1 for k in range(3)])
        field = (np.take(field, low, axis) * (1 - part) + np.take(field, low + 1, axis) * part)
    return field.astype(np.float32)
