"""What a view is, and the sections of what windows are measured by.

A window is measured once, without labels: `sections` side by side make one row. The mean of a
person's rows is that person's center, whatever the view: covariances are kept as logarithms, whose
mean is the log-Euclidean mean (Arsigny et al. 2007). A view makes features of rows, re-centered or
not; what it must know of the training windows it takes in `fit`, and keeps in buffers.
"""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Rows = Mapping[str, Tensor]  # section → [window, number]


class View(nn.Module):
    """Features of windows from their rows.

    Parameters
    ----------
    recentered
        Whether a person's center is taken away.
    """

    needs: tuple[str, ...] = ()  # sections

    def __init__(self, recentered: bool):
        super().__init__()
        self.recentered = recentered

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Width of the features."""

    def fit(self, rows: Rows, centers: Rows, of: Int[Tensor, " window"], target: Tensor,
            n_classes: int) -> None:
        """Take what is needed from the training windows; by default nothing.

        rows, centers, of: as in `forward`. target: class index or number of each window. n_classes:
        0 = numbers.
        """

    @abstractmethod
    def forward(
        self, rows: Rows, centers: Rows, of: Int[Tensor, " window"]
    ) -> Float[Tensor, "window feature"]:
        """Features, float64.

        rows: sections of the windows. centers: sections of the centers, [center, number]. of: which
        center each window has.
        """


def matrix(entries: Float[Tensor, "... pair"]) -> Float[Tensor, "... n n"]:
    """Symmetric matrices of their entries on and above the diagonal, of which those above count √2.
    """
    n = round(((8 * entries.shape[-1] + 1) ** 0.5 - 1) / 2)
    row, column = torch.triu_indices(n, n, device=entries.device)
    full = entries.new_zeros(*entries.shape[:-1], n, n)
    value = entries * torch.where(row == column, 1.0, 0.5**0.5).to(entries)
    full[..., row, column] = value
    full[..., column, row] = value
    return full


def power_of(symmetric: Float[Tensor, "... n n"], exponent: float) -> Float[Tensor, "... n n"]:
    """exp(exponent · X) of symmetric matrices X: powers of those whose logarithms they are."""
    value, vector = torch.linalg.eigh(symmetric)
    return (vector * (exponent * value).exp()[..., None, :]) @ vector.mT
