"""The signal over stretches of time, for what is locked to an event.

Re-centered: whitened by the person's mean covariance (Euclidean alignment, He & Wu 2020, IEEE TBME
67:399, by the log-Euclidean mean).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..second_order import log_of
from .view import Rows, View, matrix, power_of

LEAST = 1e-3  # eigenvalue of a person's covariance, to the mean one, that is still blown up to 1
SHRINKAGE = 0.05
FILTERS = 4  # of each class


class Evoked(View):
    """Means of all channels over stretches of time.

    Parameters
    ----------
    n
        Channels, or components.
    n_slow
        Samples of the section "slow".
    together
        Samples that make a stretch.
    recentered
        See `View`.
    """

    needs = ("slow", "covariance")

    def __init__(self, n: int, n_slow: int, together: int, recentered: bool):
        super().__init__(recentered)
        self.n, self.n_slow, self.together = n, n_slow, together

    @property
    def n_features(self) -> int:
        return self.n * max(1, self.n_slow // self.together)

    def forward(
        self, rows: Rows, centers: Rows, of: Int[Tensor, " window"]
    ) -> Float[Tensor, "window feature"]:
        signal = aligned(rows, centers, of, self.n, self.recentered)
        n = max(1, self.n_slow // self.together)
        length = self.n_slow // n
        return signal[..., : n * length].unflatten(-1, (n, length)).mean(dim=-1).flatten(1)


class EvokedCovariance(View):
    """Covariances of the filtered signal with each class's filtered mean, in tangent space.

    Sources: Rivet et al. 2009, IEEE TBME 56:2035 (xDAWN); Barachant 2014 (covariances of the two
    together).
    """

    needs = ("slow", "covariance")
    filters: Tensor
    means: Tensor
    reference: Tensor

    def __init__(self, n: int, n_slow: int, n_classes: int, recentered: bool):
        super().__init__(recentered)
        self.n, self.n_filters = n, min(FILTERS, n)
        width = n_classes * self.n_filters
        self.register_buffer("filters", torch.zeros(width, n))
        self.register_buffer("means", torch.zeros(width, n_slow))
        self.register_buffer("reference", torch.eye(2 * width))

    @property
    def n_features(self) -> int:
        n = 2 * len(self.filters)
        return n * (n + 1) // 2

    def fit(self, rows: Rows, centers: Rows, of: Int[Tensor, " window"], target: Tensor,
            n_classes: int) -> None:
        signal = aligned(rows, centers, of, self.n, self.recentered)
        every = (signal @ signal.mT).mean(dim=0) / signal.shape[-1]
        eye = torch.eye(self.n, dtype=every.dtype, device=every.device)
        every = every + 0.02 * every.diagonal().mean() * eye
        value, vector = torch.linalg.eigh(every)
        whitener = (vector / value.sqrt()) @ vector.T
        filters, means = [], []
        for k in range(n_classes):
            mean = signal[target == k].mean(dim=0)
            _, best = torch.linalg.eigh(whitener @ (mean @ mean.T) @ whitener)
            filters.append((whitener @ best.flip(-1)[:, : self.n_filters]).T)
            means.append(filters[-1] @ mean)
        self.filters.copy_(torch.cat(filters))
        self.means.copy_(torch.cat(means))
        found = matrix(log_of(self._matrices(signal)))
        self.reference.copy_(power_of(found.mean(dim=0), -0.5))

    def forward(
        self, rows: Rows, centers: Rows, of: Int[Tensor, " window"]
    ) -> Float[Tensor, "window feature"]:
        whitener = self.reference.double()
        found = self._matrices(aligned(rows, centers, of, self.n, self.recentered))
        return log_of(whitener @ found @ whitener)

    def _matrices(self, signal: Float[Tensor, "window n time"]) -> Float[Tensor, "window m m"]:
        both = torch.cat([self.means.double().expand(len(signal), -1, -1),
                          self.filters.double() @ signal], dim=1)
        both = both - both.mean(dim=-1, keepdim=True)
        found = both @ both.mT / both.shape[-1]
        mean = found.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[..., None, None].clamp_min(1e-300)
        eye = torch.eye(found.shape[-1], dtype=found.dtype, device=found.device)
        return (1 - SHRINKAGE) * found + SHRINKAGE * mean * eye


def aligned(
    rows: Rows, centers: Rows, of: Int[Tensor, " window"], n: int, recentered: bool
) -> Float[Tensor, "window n time"]:
    """The slow signal, whitened where it is re-centered. Directions without power (average
    reference, interpolated channels) are not blown up to that of the others."""
    signal = rows["slow"].double().unflatten(1, (n, -1))
    if not recentered:
        return signal
    wide = centers["covariance"][:, -n * (n + 1) // 2 :].double()
    value, vector = torch.linalg.eigh(matrix(wide))
    power = value.exp()
    floor = LEAST * power.mean(dim=-1, keepdim=True)
    scale = torch.maximum(power, floor).rsqrt()
    return ((vector * scale[..., None, :]) @ vector.mT)[of] @ signal
