"""Log power through common spatial patterns: filters by which classes differ most in power.

Source: Blankertz et al. 2008, IEEE Signal Processing Magazine 25(1):41; of several classes each
against the mean of all (Dornhege et al. 2004, IEEE TBME 51:993).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .tangent import Tangent
from .view import Rows

FILTERS = 4  # of each class


class SpatialPatterns(Tangent):
    """Log power of each class's filters, as a share of that of all filters.

    Parameters
    ----------
    n
        Rows of a matrix.
    which
        Numbers of the matrices of the section "covariance"; their sum is looked at.
    n_classes
        Number of classes.
    recentered
        See `View`.
    """

    filters: Tensor

    def __init__(self, n: int, which: tuple[int, ...], n_classes: int, recentered: bool):
        super().__init__("covariance", n, which, recentered)
        del self.reference
        self.n_filters = min(FILTERS, n)
        self.register_buffer("filters", torch.zeros(n_classes * self.n_filters, n))

    @property
    def n_features(self) -> int:
        return len(self.filters)

    def fit(self, rows: Rows, centers: Rows, of: Int[Tensor, " window"], target: Tensor,
            n_classes: int) -> None:
        found = self._together(rows, centers, of)
        of_class = [found[target == k].mean(dim=0) for k in range(n_classes)]
        value, vector = torch.linalg.eigh(torch.stack(of_class).mean(dim=0))
        whitener = (vector / value.clamp_min(1e-12 * value[-1]).sqrt()) @ vector.T
        filters = []
        for each in of_class:
            _, best = torch.linalg.eigh(whitener @ each @ whitener)
            filters.append((whitener @ best.flip(-1)[:, : self.n_filters]).T)
        self.filters.copy_(torch.cat(filters))

    def forward(
        self, rows: Rows, centers: Rows, of: Int[Tensor, " window"]
    ) -> Float[Tensor, "window feature"]:
        filters = self.filters.double()
        power = ((filters @ self._together(rows, centers, of)) * filters).sum(dim=-1)
        return (power / power.sum(dim=1, keepdim=True)).clamp_min(1e-12).log()

    def _together(
        self, rows: Rows, centers: Rows, of: Int[Tensor, " window"]
    ) -> Float[Tensor, "window n n"]:
        """Matrices with trace 1: a window counts as much as another."""
        found = torch.stack(self._matrices(rows, centers, of)).sum(dim=0)
        trace = found.diagonal(dim1=-2, dim2=-1).sum(dim=-1).clamp_min(1e-300)
        return found / trace[:, None, None]
