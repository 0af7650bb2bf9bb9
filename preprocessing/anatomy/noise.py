"""Noise of an image, by what a voxel differs from its six neighbors in."""

import numpy as np
from jaxtyping import Float32


def level(data: Float32[np.ndarray, "x y z"], at: np.ndarray) -> float:
    """Standard deviation of the noise at voxels [voxel, 3]: that of white noise whose median of
    absolute differences this is. Noise that an earlier interpolation smoothed is underestimated."""
    inner = at[(at > 0).all(axis=1) & (at < np.array(data.shape) - 1).all(axis=1)]
    if not len(inner):
        return 0.0
    around = np.zeros(len(inner))
    for axis in range(3):
        for side in (-1, 1):
            step = np.zeros(3, dtype=int)
            step[axis] = side
            around += data[tuple((inner + step).T)]
    differs = data[tuple(inner.T)] - around / 6
    return float(1.4826 * np.median(np.abs(differs - np.median(differs))) / np.sqrt(7 / 6))
