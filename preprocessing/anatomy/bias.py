"""The bias field of an image: smooth differences of intensity that the coil makes.

"smooth" alternates between three tissues (k-means of log intensity) and a polynomial of order 4 of
place, fitted to what the tissues leave (Wells et al. 1996, IEEE Transactions on Medical Imaging
15:429, with a polynomial for their filter). "n4" is ITK's N4 (Tustison et al. 2010, IEEE
Transactions on Medical Imaging 29:1310). Both see the brain alone.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32

from neurofm import extras

_ORDER = 4  # of the polynomial
_ROUNDS = 12
_TISSUES = (0.2, 0.5, 0.8)  # quantiles of log intensity with which they begin
_MOST = 40_000  # voxels that are fitted
_LARGEST = np.log(5.0)  # of the field, either way
_SHRINK = 2  # N4 works on every second voxel


def smooth(
    data: Float32[np.ndarray, "x y z"], mask: Bool[np.ndarray, "x y z"]
) -> Float32[np.ndarray, "x y z"]:
    """The field by tissues and a polynomial, mean log 0 inside the mask; 1 where it is not known
    (fewer than a thousand voxels)."""
    at = np.argwhere(mask & (data > 0))
    if len(at) < 1000:
        return np.ones(data.shape, dtype=np.float32)
    low, high = at.min(axis=0), at.max(axis=0)

    def unit(places: np.ndarray) -> np.ndarray:
        """In [-1, 1] inside the brain; beyond it the field goes on as at its edge."""
        return np.clip(2 * (places - low) / np.maximum(high - low, 1) - 1, -1, 1)

    some = at[:: max(1, len(at) // _MOST)]
    log = np.log(data[tuple(some.T)].astype(np.float64))
    terms = _terms(*unit(some).T)
    field, weights = np.zeros(len(log)), np.zeros(terms.shape[1])
    centers = np.quantile(log, _TISSUES)
    for _ in range(_ROUNDS):
        flat = log - field
        for _ in range(5):
            tissue = np.abs(flat[:, None] - centers).argmin(axis=1)
            centers = np.array([np.median(flat[tissue == k]) if (tissue == k).any() else center
                                for k, center in enumerate(centers)])
        left = log - centers[tissue]
        # Liquor is mixed with what lies beside it: it counts less.
        trust = np.where(tissue == 0, 0.1, 1.0)
        spread = 1.4826 * np.median(np.abs(left - field)) + 1e-6
        trust *= np.minimum(1.0, 1.5 * spread / np.maximum(np.abs(left - field), 1e-9))
        weighted = terms * trust[:, None]
        weights = np.linalg.solve(weighted.T @ terms + 1e-6 * len(log) * np.eye(terms.shape[1]),
                                  weighted.T @ left)
        weights[0] -= (terms @ weights).mean()
        field = terms @ weights
    grid = [unit(np.stack([np.arange(n)] * 3, axis=1))[:, axis]
            for axis, n in enumerate(data.shape)]
    whole = np.zeros(data.shape)
    for weight, (i, j, k) in zip(weights, _orders(), strict=True):
        whole += weight * (_legendre(grid[0], i)[:, None, None] * _legendre(grid[1], j)[:, None]
                           * _legendre(grid[2], k))
    return np.exp(np.clip(whole, -_LARGEST, _LARGEST)).astype(np.float32)


def n4(
    data: Float32[np.ndarray, "x y z"], mask: Bool[np.ndarray, "x y z"], voxel_mm: float
) -> Float32[np.ndarray, "x y z"]:
    """The field by N4, mean log 0 inside the mask.

    Raises MissingError where SimpleITK is not installed.
    """
    itk = extras.need("SimpleITK", "t1.bias: n4")
    image = itk.GetImageFromArray(np.maximum(data, 1e-6 * data.max()))
    inside = itk.GetImageFromArray(mask.astype(np.uint8))
    for each in (image, inside):
        each.SetSpacing([voxel_mm] * 3)
    n4 = itk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([40, 40, 30])
    n4.SetNumberOfThreads(1)  # ingest has a process a core
    n4.Execute(itk.Shrink(image, [_SHRINK] * 3), itk.Shrink(inside, [_SHRINK] * 3))
    log = itk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image)).astype(np.float64)
    log -= log[mask].mean()
    return np.exp(np.clip(log, -_LARGEST, _LARGEST)).astype(np.float32)


def _orders() -> list[tuple[int, int, int]]:
    return [(i, j, k) for i in range(_ORDER + 1) for j in range(_ORDER + 1)
            for k in range(_ORDER + 1) if i + j + k <= _ORDER]


def _legendre(x: np.ndarray, order: int) -> np.ndarray:
    return np.polynomial.legendre.Legendre.basis(order)(x)


def _terms(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> Float[np.ndarray, "voxel term"]:
    parts = [[_legendre(each, order) for order in range(_ORDER + 1)] for each in (x, y, z)]
    return np.stack([parts[0][i] * parts[1][j] * parts[2][k] for i, j, k in _orders()], axis=1)
