"""Resting fMRI of simulated people: five networks of regions, two of which are coupled as much as
the person's function says.

    region = √c · network + √(1 − c) · its own;  networks 1 and 2 correlate with tanh(0.2 + k · f)

Both are slow (below 0.1 Hz). c, the strength of each region and drift are nuisances of the person.
"""

from functools import lru_cache

import numpy as np
import scipy.ndimage
from jaxtyping import Float, Float32, Float64, Int16

from ..anatomy import template as templates

N_NETWORKS = 5
BASE_COUPLING = 0.2
_BAND_HZ = (0.01, 0.09)
_BASELINE, _PERCENT = 1000.0, 1.0  # of a voxel; standard deviation of a region's signal
_VOXEL_NOISE = 1.5  # per cent, standard deviation


@lru_cache(maxsize=2)
def atlas(n_regions: int, voxel_mm: float
          ) -> tuple[Int16[np.ndarray, "x y z"], Float64[np.ndarray, "4 4"]]:
    """Labels 1 … n of patches of gray matter, and the affine of the grid. Region k is of network
    (k − 1) mod 5, so that each network lies all over the brain."""
    found = templates.load(2.0)
    gray = found.mask & (found.intensity > 0.5) & (found.intensity < 0.74)
    places = found.places(gray)
    some = places[np.random.default_rng(11).permutation(len(places))[:4000]]
    chosen = [some[0]]
    away = np.linalg.norm(some - some[0], axis=1)
    for _ in range(n_regions - 1):
        chosen.append(some[away.argmax()])
        away = np.minimum(away, np.linalg.norm(some - chosen[-1], axis=1))
    shape = np.ceil(np.array(found.mask.shape) * found.voxel_mm / voxel_mm).astype(int)
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = found.affine[:3, 3] + (voxel_mm - found.voxel_mm) / 2
    onto = np.linalg.inv(found.affine) @ affine
    inside = scipy.ndimage.affine_transform(
        scipy.ndimage.gaussian_filter(gray.astype(np.float32), voxel_mm / 4), onto[:3, :3],
        onto[:3, 3], tuple(shape), order=1) > 0.25
    grid = np.argwhere(inside) @ affine[:3, :3].T + affine[:3, 3]
    order = np.random.default_rng(12).permutation(n_regions)
    nearest = np.linalg.norm(grid[:, None] - np.array(chosen)[order], axis=2).argmin(axis=1)
    labels = np.zeros(tuple(shape), dtype=np.int16)
    labels[inside] = nearest + 1
    return labels, affine


def regions(
    coupling: float, n_regions: int, n_volumes: int, t_r_s: float, person_seed: list[int],
    seed: list[int],
) -> Float32[np.ndarray, "region volume"]:
    """Per cent of the baseline."""
    own, rng = np.random.default_rng(person_seed), np.random.default_rng(seed)
    share = np.clip(own.normal(0.45, 0.05), 0.2, 0.7)
    strength = np.exp(own.normal(0, 0.2, n_regions))
    networks = _slow(rng, N_NETWORKS, n_volumes, t_r_s)
    r = np.tanh(BASE_COUPLING + coupling)
    networks[1] = r * networks[0] + np.sqrt(1 - r**2) * networks[1]
    mixed = (np.sqrt(share) * networks[np.arange(n_regions) % N_NETWORKS]
             + np.sqrt(1 - share) * _slow(rng, n_regions, n_volumes, t_r_s))
    return (_PERCENT * strength[:, None] * mixed).astype(np.float32)


def image(
    course: Float[np.ndarray, "region volume"], labels: Int16[np.ndarray, "x y z"],
    seed: list[int],
) -> Int16[np.ndarray, "x y z volume"]:
    """The series of volumes: each voxel its region's course, drift and noise; 0 outside."""
    rng, n = np.random.default_rng(seed), course.shape[1]
    inside = labels > 0
    which = labels[inside].astype(int) - 1
    noise = _VOXEL_NOISE * rng.standard_normal((len(which), n), dtype=np.float32)
    drift = rng.normal(0, 0.5, (len(which), 1)) * np.linspace(-1, 1, n)
    base = _BASELINE * np.exp(rng.normal(0, 0.1, (len(which), 1)))
    found = np.zeros((*labels.shape, n), dtype=np.int16)
    found[inside] = np.rint(base * (1 + (course[which] + noise + drift) / 100)).astype(np.int16)
    return found


def _slow(rng: np.random.Generator, n_rows: int, n_volumes: int, t_r_s: float) -> np.ndarray:
    """Noise of the band, mean 0 and standard deviation 1 in expectation, [row, volume]."""
    longer = 2 * n_volumes
    hz = np.fft.rfftfreq(longer, t_r_s)
    gain = ((hz >= _BAND_HZ[0]) & (hz <= _BAND_HZ[1])).astype(float)
    gain /= np.sqrt(2 * (gain**2).sum() / longer)
    white = np.fft.rfft(rng.standard_normal((n_rows, longer)))
    return np.fft.irfft(white * gain, longer)[:, :n_volumes]
