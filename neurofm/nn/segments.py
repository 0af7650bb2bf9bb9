"""Segments of fixed seconds, cut from scans of any repetition time, on one common grid.

A kernel that was learned at one repetition time (TR) is brought to another by the pseudo-inverse of
the resampling B between them (FlexiViT, arXiv 2212.08013; Brain Harmony, arXiv 2509.24693, for
fMRI): of all kernels for the new samples it gives the one whose answers are nearest. What the
kernel w sees of samples x is then w · pinv(B) x, so it is the samples that are brought to the grid
of the kernel, once, and every layer above works on the same number of taps.

Deviations from both: B knows the times of the volumes, not only their number, so segments stay
`segment_s` long where that is no multiple of TR. Volumes that are missing are left out of B instead
of being filled with zeros. And of all signals on the grid that agree with the volumes it is not the
smallest that is taken, as by the plain pseudo-inverse, but the likeliest of slow signals, which
bridges what lies between the volumes of a long TR instead of pulling it toward 0.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_EXACT = 1e-6  # of a volume: rounding errors of its time
_SLOW_S = 3.0  # how far apart in time a signal is still alike: blood answers over some seconds
_NOISE = 0.003  # of the variance: what differs from tap to tap


class Grid(NamedTuple):
    """Segments of a scan. first: number of their first volume. weight: what each volume of a
    segment is of its taps, 0 where the segment has fewer volumes than the longest."""

    first: Int[Tensor, " segment"]
    weight: Float[Tensor, "segment volume tap"]

    @property
    def there(self) -> Bool[Tensor, "segment volume"]:
        """True for volumes that a segment has."""
        return self.weight.sum(dim=-1) > 0


@lru_cache(maxsize=256)
def grid(t_r: float, n_volumes: int, segment_s: float, n_taps: int) -> Grid:
    """Where segments of a scan lie, and the resampling matrix of each.

    Volume j was taken about (j + ½) · t_r, tap m of a segment stands (m + ½) · segment_s / n_taps
    after its begin; a volume lies between two taps, linearly. A last segment that is not full is
    kept. Where t_r is the taps' own spacing every matrix is the identity.
    """
    spacing = segment_s / n_taps
    n = max(1, -int(-(n_volumes * t_r / segment_s - _EXACT) // 1))
    edge = torch.arange(n + 1, dtype=torch.float64) * segment_s / t_r - 0.5
    border = torch.ceil(edge - _EXACT).long().clamp(max=n_volumes)
    first, count = border[:-1], border[1:] - border[:-1]
    volume = first[:, None] + torch.arange(int(count.max()))  # [segment, volume]
    tap_s = (torch.arange(n_taps, dtype=torch.float64) + 0.5) * spacing
    begin_s = torch.arange(n, dtype=torch.float64)[:, None] * segment_s
    since = (volume.double() + 0.5) * t_r - begin_s
    weight = (1 - (since[:, :, None] - tap_s).abs() / spacing).clamp(min=0)
    weight[torch.arange(int(count.max())) >= count[:, None]] = 0
    total = weight.sum(dim=-1, keepdim=True)
    return Grid(first, (weight / total.where(total > 0, 1)).float())


class Segments(NamedTuple):
    """A batch of scans in segments.

    taps: signal on the common grid. volumes: the signal as it was measured, 0 where it was not.
    measured: which volumes of a segment were. weight: as in Grid, 0 for volumes that were not.
    valid: segments of which at least half the volumes were measured.
    """

    taps: Float[Tensor, "batch region segment tap"]
    volumes: Float[Tensor, "batch region segment volume"]
    measured: Bool[Tensor, "batch segment volume"]
    weight: Float[Tensor, "batch segment volume tap"]
    valid: Bool[Tensor, "batch segment"]


def cut(
    signal: Float[Tensor, "batch region time"], t_r: Float[Tensor, " batch"],
    measured: Bool[Tensor, "batch time"], segment_s: float, n_taps: int,
) -> Segments:
    """Scans of mixed repetition times → segments side by side; see the top of the file."""
    n_volumes = signal.shape[2]
    # As long as every scan's volumes reach; what is padded was never measured.
    grids = [grid(round(float(one), 6), n_volumes, segment_s, n_taps) for one in t_r]
    n, width = (max(each.weight.shape[axis] for each in grids) for axis in (0, 1))
    batch = len(grids)
    weight = signal.new_zeros(batch, n, width, n_taps)
    index = torch.zeros(batch, n, width, dtype=torch.int64, device=signal.device)
    full = torch.ones(batch, 1, device=signal.device)
    for row, each in enumerate(grids):
        segments, volumes = each.weight.shape[:2]
        weight[row, :segments, :volumes] = each.weight.to(signal)
        number = each.first[:, None] + torch.arange(volumes)
        index[row, :segments, :volumes] = number.clamp(max=n_volumes - 1).to(signal.device)
        full[row] = segment_s / float(t_r[row])
    seen = weight.sum(dim=-1) > 0
    seen &= measured.gather(1, index.flatten(1)).view_as(seen)
    weight = weight * seen[..., None]
    at = index.flatten(1)[:, None].expand(-1, signal.shape[1], -1)
    volumes = signal.gather(2, at).unflatten(2, (n, width)) * seen[:, None]
    taps = torch.einsum("bsmv,brsv->brsm", inverse(weight, segment_s / n_taps), volumes)
    valid = seen.sum(dim=-1) >= 0.5 * full
    return Segments(taps * valid[:, None, :, None], volumes, seen, weight, valid)


def inverse(
    weight: Float[Tensor, "batch segment volume tap"], spacing_s: float
) -> Float[Tensor, "batch segment tap volume"]:
    """Pseudo-inverses in the metric of slow signals; scans with the same volumes share one."""
    shape = weight.shape
    each, of = torch.unique(weight.flatten(0, 1).flatten(1), dim=0, return_inverse=True)
    root = _root(shape[3], round(spacing_s, 6))
    found = root @ torch.linalg.pinv(each.unflatten(1, shape[2:]).double().cpu() @ root, rtol=1e-5)
    return found.to(weight)[of].unflatten(0, shape[:2])


@lru_cache(maxsize=16)
def _root(n_taps: int, spacing_s: float) -> Float[Tensor, "tap tap"]:
    """Root of the covariance of slow signals between taps."""
    since = torch.arange(n_taps, dtype=torch.float64) * spacing_s
    alike = torch.exp(-0.5 * ((since[:, None] - since) / _SLOW_S) ** 2)
    value, vector = torch.linalg.eigh(alike + _NOISE * torch.eye(n_taps, dtype=torch.float64))
    return vector * value.clamp(min=0).sqrt() @ vector.T
