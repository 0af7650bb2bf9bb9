"""Covariances in the tangent space of the training windows' mean.

Sources: Barachant et al. 2012, IEEE TBME 59:920; re-centering: Zanini et al. 2018, IEEE TBME
65:1107, by the log-Euclidean mean, which is the mean of what windows are measured by.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..second_order import log_of
from .view import Rows, View, matrix, power_of


class Tangent(View):
    """Tangent vectors of some matrices of a section, side by side.

    Parameters
    ----------
    section
        Name of the section, of logarithms of matrices.
    n
        Rows of a matrix.
    which
        Numbers of the matrices that are used.
    recentered
        See `View`.
    """

    reference: Tensor

    def __init__(self, section: str, n: int, which: tuple[int, ...], recentered: bool):
        super().__init__(recentered)
        self.needs, self.n, self.which = (section,), n, which
        self.register_buffer("reference", torch.eye(n).repeat(len(which), 1, 1))

    @property
    def n_features(self) -> int:
        return len(self.which) * self.n * (self.n + 1) // 2

    def fit(self, rows: Rows, centers: Rows, of: Int[Tensor, " window"], target: Tensor,
            n_classes: int) -> None:
        logs = torch.stack([matrix(log_of(each)) for each in self._matrices(rows, centers, of)])
        self.reference.copy_(power_of(logs.mean(dim=1), -0.5))

    def forward(
        self, rows: Rows, centers: Rows, of: Int[Tensor, " window"]
    ) -> Float[Tensor, "window feature"]:
        parts = []
        for whitener, each in zip(self.reference.double(), self._matrices(rows, centers, of),
                                  strict=True):
            parts.append(log_of(whitener @ each @ whitener))
        return torch.cat(parts, dim=1)

    def _matrices(
        self, rows: Rows, centers: Rows, of: Int[Tensor, " window"]
    ) -> list[Float[Tensor, "window n n"]]:
        (section,) = self.needs
        n_pairs, found = self.n * (self.n + 1) // 2, []
        for k in self.which:
            part = slice(k * n_pairs, (k + 1) * n_pairs)
            each = power_of(matrix(rows[section][:, part].double()), 1.0)
            if self.recentered:
                whitener = power_of(matrix(centers[section][:, part].double()), -0.5)[of]
                each = whitener @ each @ whitener
            found.append(each)
        return found
