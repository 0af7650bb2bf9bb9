"""One signal a parcel out of those of its points, and what parcels share taken out.

Source: the pipeline of MEG-GPT (arXiv 2510.18080): first principal component of the points of a
parcel; symmetric orthogonalization (Colclough et al. 2015, NeuroImage 117:439): the signals without
any correlation at lag 0 that are nearest to the parcels' own. All is linear and follows from the
covariance of the sensors, so the result is one matrix [parcel, channel].
"""

import numpy as np
from jaxtyping import Float

_STEPS = 100


def first_components(
    weights: Float[np.ndarray, "point channel"],
    covariance: Float[np.ndarray, "channel channel"],
    of: Float[np.ndarray, " point"],
) -> Float[np.ndarray, "parcel channel"]:
    """The component that holds most of the power of a parcel's points, which is that over noise of
    a beamformer; of unit variance. of: number of each point's parcel, 0 … n − 1."""
    found = []
    for parcel in range(int(of.max()) + 1):
        rows = weights[of == parcel]
        one = np.linalg.eigh(rows @ covariance @ rows.T)[1][:, -1] @ rows
        found.append(one / np.sqrt(one @ covariance @ one))
    return np.array(found)


def orthogonalized(
    operator: Float[np.ndarray, "parcel channel"], covariance: Float[np.ndarray, "channel channel"]
) -> Float[np.ndarray, "parcel channel"]:
    """Signals of the parcels without correlation at lag 0, nearest to theirs in least squares.

    Raises ValueError where the sensors have fewer independent signals than there are parcels.
    """
    shared = operator @ covariance @ operator.T
    value = np.linalg.eigvalsh(shared)
    rank = int((value > 1e-8 * value[-1]).sum())
    if rank < len(operator):
        raise ValueError(f"{len(operator)} parcels, but sensors with {rank} independent signals")
    size = np.sqrt(np.diag(shared))
    for _ in range(_STEPS):
        scaled = size[:, None] * shared * size
        value, vector = np.linalg.eigh(scaled)
        root = (vector / np.sqrt(value)) @ vector.T  # scaled to the power −1/2
        matrix = root * size
        new = np.einsum("ij,ji->i", matrix, shared)
        if np.allclose(new, size, rtol=1e-6):
            break
        size = new
    return size[:, None] * (matrix @ operator)


def pointing_out(
    operator: Float[np.ndarray, "parcel channel"],
    covariance: Float[np.ndarray, "channel channel"],
    gain: Float[np.ndarray, "parcel channel 3"],
    outward: Float[np.ndarray, "parcel 3"],
) -> Float[np.ndarray, "parcel channel"]:
    """Signs by a rule that is the same for everybody: the dipole at a parcel's middle that best
    explains how its signal lies over the sensors points outwards, up or to the front.

    gain: field of a dipole at each parcel's middle, channels scaled to one unit.
    """
    pattern = operator @ covariance
    rule = outward + np.array([0.0, 0.5, 0.5])
    signs = np.ones(len(operator))
    for row, (field, lies, direction) in enumerate(zip(gain, pattern, rule, strict=True)):
        moment = np.linalg.lstsq(field, lies, rcond=1e-2)[0]
        signs[row] = 1.0 if moment @ direction >= 0 else -1.0
    return signs[:, None] * operator
