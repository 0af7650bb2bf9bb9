"""Signals at given places on the head from electrodes anywhere: spherical splines.

Source: Perrin et al. 1989, EEG Clin. Neurophysiol. 72:184 (eq. 1-4), with stiffness 4, as in MNE's
`interpolate_bads`. That spline smooths, so where an electrode stands at a wanted place, or within
5 mm of it, its own signal is taken.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

STIFFNESS, TERMS = 4, 50
RIDGE = 1e-5  # on the diagonal, as in MNE
RADIUS_M = 0.095  # of a head
SAME = math.cos(0.005 / RADIUS_M)  # 5 mm


def spline_map(
    wanted: Float[Tensor, "place 3"],
    given: Float[Tensor, "batch channel 3"],
    valid: Bool[Tensor, "batch channel"],
) -> Float[Tensor, "batch place channel"]:
    """Matrices that take signals of electrodes to those of places.

    Parameters
    ----------
    wanted
        Places, from the center of the head; their directions count.
    given
        Electrodes of each window.
    valid
        False = padding.

    Returns
    -------
    Tensor
        float64; columns of padding are 0.
    """
    n_batch, n = valid.shape
    both = (valid[:, :, None] & valid[:, None, :]).double()
    eye = torch.eye(n, dtype=torch.float64, device=valid.device)
    # Padding has a row of the identity, so its weights are 0.
    kernel = _spline(cosines(given, given)) * both + eye * torch.where(
        valid, RIDGE, 1.0)[:, None, :]
    ones = valid.double()[..., None]
    border = torch.cat([ones.mT, torch.zeros(n_batch, 1, 1, dtype=torch.float64,
                                             device=valid.device)], dim=2)
    system = torch.cat([torch.cat([kernel, ones], dim=2), border], dim=1)
    between = cosines(wanted, given)
    row = torch.cat([_spline(between) * ones.mT,
                     torch.ones(n_batch, wanted.shape[-2], 1, dtype=torch.float64,
                                device=valid.device)], dim=2)
    spline = torch.linalg.solve(system, row.mT).mT[..., :n] * ones.mT
    cosine = between.masked_fill(~valid[:, None], -2.0)
    nearest = cosine.argmax(dim=-1, keepdim=True)
    own = torch.zeros_like(spline).scatter(-1, nearest, 1.0)
    return torch.where(cosine.gather(-1, nearest) > SAME, own, spline)


def cosines(
    a: Float[Tensor, "... a 3"], b: Float[Tensor, "... b 3"]
) -> Float[Tensor, "... a b"]:
    """Cosines of the angles between places, seen from the center of the head; float64."""
    a, b = (torch.nn.functional.normalize(x.double(), dim=-1) for x in (a, b))
    return a @ b.mT


def _spline(cosine: Float[Tensor, "... a b"]) -> Float[Tensor, "... a b"]:
    """g(cos) of Perrin et al., by Legendre's recurrence."""
    x = cosine.clamp(-1, 1)
    before, now = torch.ones_like(x), x
    total = torch.zeros_like(x)
    for n in range(1, TERMS + 1):
        total = total + (2 * n + 1) / (n * (n + 1)) ** STIFFNESS * now
        before, now = now, ((2 * n + 1) * x * now - n * before) / (n + 1)
    return total / (4 * math.pi)
