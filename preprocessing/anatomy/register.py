"""Affine registration of a head to the template, by least squares on intensities.

    minimize  Σ_q w(q) (S(A q) − a T(q) − b)²    over the 12 numbers of A, gain a and offset b

q runs over the template's brain and the dark rim about it, so that the scalp of a head whose skull
is not removed does not count (Friston et al. 1995, "Spatial registration and normalization of
images", Human Brain Mapping 3:165; weights of Huber against what has no match). Gauss–Newton from
coarse to fine, from several places and tilts of the head. Everything is in millimeters.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.ndimage
from jaxtyping import Float, Float32, Float64

from . import template as templates

RIM_MM = 6.0  # about the brain: liquor and skull, dark in a T1
_COARSE_MM, _FINE_MM = 8.0, 4.0  # grids of the template; images are smoothed to match
_TILTS = (-20.0, 0.0, 20.0)  # degrees of nodding that are tried
_LIFTS_MM = (-25.0, 0.0, 25.0)  # heights that are tried
_TOP_MM = 92.0  # of the head over the template's origin, with its scalp
_SCALES = (0.75, 1.33)  # of a head, over the template's
_HUBER = 1.5  # standard deviations from which on a residual counts less


@dataclass(frozen=True)
class Registered:
    """affine: millimeters of MNI space → of the image. match: correlation of intensities with the
    template inside the brain."""

    affine: Float64[np.ndarray, "4 4"]
    match: float

    @property
    def size(self) -> float:
        """Volume of the head over that of the template."""
        return float(np.linalg.det(self.affine[:3, :3]))


class _Image:
    """An image, smoothed, with its slopes, to be read at places."""

    def __init__(self, data: Float32[np.ndarray, "x y z"], affine: np.ndarray, smooth_mm: float):
        voxel_mm = np.linalg.norm(affine[:3, :3], axis=0)
        step = np.maximum(1, np.floor(smooth_mm / 2 / voxel_mm)).astype(int)
        soft = scipy.ndimage.gaussian_filter(data, smooth_mm / 2.355 / voxel_mm)
        soft = soft[::step[0], ::step[1], ::step[2]]  # as dense as it is smooth
        self.affine = affine @ np.diag([*step, 1.0])
        self.inverse = np.linalg.inv(self.affine)
        turn = self.inverse[:3, :3]
        slopes = np.stack(np.gradient(soft))
        self.parts = [soft, *np.einsum("ij,i...->j...", turn, slopes)]

    def at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values [place] and slopes [place, 3] per mm; 0 outside."""
        index = (places @ self.inverse[:3, :3].T + self.inverse[:3, 3]).T
        value, *slope = (scipy.ndimage.map_coordinates(part, index, order=1)
                         for part in self.parts)
        return value, np.stack(slope, axis=1)


def affine(data: Float32[np.ndarray, "x y z"], to_mm: Float[np.ndarray, "4 4"]) -> Registered:
    """Register an image; to_mm: its voxels → millimeters, x to the right."""
    starts = _starts(data, to_mm)
    image, target = _Image(data, to_mm, _COARSE_MM), _target(_COARSE_MM)
    found = [_descend(image, target, start, 8, rigid=True) for start in starts]
    found = sorted(found, key=lambda each: -_match(image, target, each))[:2]
    found = [_descend(image, target, each, 12) for each in found]
    best = max(found, key=lambda each: _match(image, target, each))
    image, target = _Image(data, to_mm, _FINE_MM), _target(_FINE_MM)
    best = _descend(image, target, best, 16)
    return Registered(best, _match(image, target, best))


def match(data: Float32[np.ndarray, "x y z"], to_mm: np.ndarray) -> float:
    """Correlation with the template of an image that is in MNI space."""
    return _match(_Image(data, to_mm, _FINE_MM), _target(_FINE_MM), np.eye(4))


def _target(voxel_mm: float):
    """(places [n, 3], intensities [n], is in the brain [n]) of the template with its rim."""
    found = templates.load(voxel_mm)
    wide = templates.grown(found.mask, RIM_MM, voxel_mm)
    soft = scipy.ndimage.gaussian_filter(found.intensity * found.mask, 1 / 2.355)
    return found.places(wide), soft[wide], found.mask[wide]


def _starts(data: np.ndarray, to_mm: np.ndarray) -> list[np.ndarray]:
    """Places and tilts from which a descent begins: by the top of the head and its middle."""
    step = max(1, min(data.shape) // 48)
    small = data[::step, ::step, ::step]
    there = small > 0.5 * small[small > small.mean()].mean()
    places = np.argwhere(there) * step @ to_mm[:3, :3].T + to_mm[:3, 3]
    top = np.quantile(places[:, 2], 0.999)
    upper = places[places[:, 2] > top - 150]
    middle = (np.quantile(upper, 0.02, axis=0) + np.quantile(upper, 0.98, axis=0)) / 2
    found = []
    for tilt in np.radians(_TILTS):
        for lift in _LIFTS_MM:
            turn = np.eye(4)
            turn[1:3, 1:3] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
            turn[:3, 3] = (middle[0], middle[1] + 18, top - _TOP_MM + lift)
            found.append(turn)
    return found


def _descend(image: _Image, target, start: np.ndarray, steps: int, rigid: bool = False
             ) -> np.ndarray:
    """Gauss–Newton with damping from `start`; rigid: turns, shifts and one scale only."""
    places, wanted, _ = target
    current, damping = start, 1e-3
    cost, normal, slope = _system(image, places, wanted, current, rigid)
    for _ in range(steps):
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), -slope)
        trial = current @ _change(step, rigid)
        sizes = np.linalg.svd(trial[:3, :3], compute_uv=False)
        inside = _SCALES[0] < sizes.min() and sizes.max() < _SCALES[1]
        new = _system(image, places, wanted, trial, rigid) if inside else None
        if new is not None and new[0] < cost:
            done = cost - new[0] < 1e-6 * cost
            current, (cost, normal, slope), damping = trial, new, max(damping / 5, 1e-6)
            if done:
                break
        else:
            damping = damping * 10 + 1e-4
            if damping > 1e3:
                break
    return current


def _system(image: _Image, places, wanted, at, rigid: bool):
    """(cost, normal matrix, slope) of the change of a registration on its template side."""
    value, slope = image.at(places @ at[:3, :3].T + at[:3, 3])
    design = np.stack([wanted, np.ones_like(wanted)], axis=1)
    gain = np.linalg.lstsq(design, value, rcond=None)[0]
    left = value - design @ gain
    spread = 1.4826 * np.median(np.abs(left)) + 1e-9
    weight = np.minimum(1.0, _HUBER * spread / np.maximum(np.abs(left), 1e-12))
    slope = slope @ at[:3, :3]  # to the template's side
    if rigid:
        x, y, z = places.T
        columns = [*slope.T, slope[:, 2] * y - slope[:, 1] * z, slope[:, 0] * z - slope[:, 2] * x,
                   slope[:, 1] * x - slope[:, 0] * y, (slope * places).sum(axis=1)]
        jacobian = np.stack(columns, axis=1)
    else:
        jacobian = (slope[:, :, None] * np.concatenate(
            [places, np.ones((len(places), 1))], axis=1)[:, None, :]).reshape(len(places), 12)
    # Gain and offset follow any change at once: they are projected out.
    inner = (design * weight[:, None]).T @ design
    jacobian = jacobian - design @ np.linalg.solve(inner, (design * weight[:, None]).T @ jacobian)
    normal = (jacobian * weight[:, None]).T @ jacobian
    # Explained away by gain 0 an image would match anything: the cost is relative to its spread.
    scale = (weight * (value - np.average(value, weights=weight)) ** 2).sum() + 1e-12
    cost = (weight * left**2).sum() / scale
    if gain[0] <= 0:
        cost = cost + 1.0
    return cost, normal, jacobian.T @ (weight * left)


def _change(step: np.ndarray, rigid: bool) -> np.ndarray:
    """The small affine map of a step."""
    found = np.eye(4)
    if not rigid:
        found[:3] += step.reshape(3, 4)
        return found
    shift, (a, b, c), scale = step[:3], step[3:6], step[6]
    skew = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    found[:3, :3] = np.exp(np.clip(scale, -0.1, 0.1)) * scipy.linalg.expm(skew)
    found[:3, 3] = shift
    return found


def _match(image: _Image, target, at: np.ndarray) -> float:
    """Correlation inside the brain and its rim."""
    places, wanted, _ = target
    value, _ = image.at(places @ at[:3, :3].T + at[:3, 3])
    if value.std() == 0:
        return 0.0
    return float(np.corrcoef(value, wanted)[0, 1])
