"""Log power of every channel in every band; re-centered, minus the person's mean."""

from jaxtyping import Float, Int
from torch import Tensor

from .view import Rows, View


class Difference(View):
    """A section as it is, or minus that of the person's center.

    Parameters
    ----------
    section
        Name of the section.
    width
        Its numbers.
    recentered
        See `View`.
    """

    def __init__(self, section: str, width: int, recentered: bool):
        super().__init__(recentered)
        self.needs, self.width = (section,), width

    @property
    def n_features(self) -> int:
        return self.width

    def forward(
        self, rows: Rows, centers: Rows, of: Int[Tensor, " window"]
    ) -> Float[Tensor, "window feature"]:
        (section,) = self.needs
        found = rows[section].double()
        return found - centers[section].double()[of] if self.recentered else found
