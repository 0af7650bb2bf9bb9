"""Linear models of a part of the training cap's electrodes, solved when that part is known.

A model that was fitted with 64 electrodes is of no use where 8 of them are there: what 8 electrodes
cannot see does not vary, which it has never met. To fit again the training windows would be needed.
Their first and second moments will do. To first order the tangent vector of a part's covariance is
linear in that of the whole: with the people's mean covariance G, and M that takes signals of the
whole to those of the part, T' = Q T Qᵀ, where Q = (M G Mᵀ)^-½ M G^½. So the moments of any part
follow from those of the whole, and ridge regression is solved from them in milliseconds.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .second_order import log_of
from .spline_map import cosines
from .views import spectra
from .views.view import Rows, matrix, power_of

RANK = 64  # principal directions that are kept of the training windows
TOGETHER = 2  # stretches of the slow signal: 50 ms
NEAR = 0.94  # cosine of 20°, 3 cm on a head: an electrode that far from a place still sees it
LEAST_SEEN = 0.97  # share of the cap below which models are solved again


class Moments(nn.Module):
    """Second moments of features, and of features with targets.

    Parameters
    ----------
    n
        Features.
    n_outputs
        Targets.
    """

    mean: Tensor
    factor: Tensor
    toward: Tensor
    penalty: Tensor
    share: Tensor

    def __init__(self, n: int, n_outputs: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("factor", torch.zeros(RANK, n))  # factorᵀ · factor = covariance
        self.register_buffer("toward", torch.zeros(RANK, n_outputs))  # factorᵀ · it: with targets
        self.register_buffer("penalty", torch.full((1,), 0.01))  # a feature
        self.register_buffer("share", torch.ones(1))

    def fit(self, x: Float[Tensor, "window feature"], target: Float[Tensor, "window output"],
            weight: Float[Tensor, " window"]) -> None:
        """Take the moments of windows. weight: of each, 1 on average."""
        root = (weight / len(x)).sqrt()[:, None]
        mean = (weight[:, None] * x).mean(dim=0)
        z = (x - mean) * root
        value, left = torch.linalg.eigh(z @ z.mT)
        left = left[:, value > 1e-9 * value[-1].clamp_min(1e-300)].flip(1)[:, :RANK]
        self.mean.copy_(mean)
        self.factor.zero_()[: left.shape[1]] = (left.mT @ z).to(self.factor.dtype)
        self.toward.zero_()[: left.shape[1]] = (left.mT @ (root * target)).to(self.toward.dtype)

    def solved(self, down, penalty: float | None = None
               ) -> tuple[Float[Tensor, " part"], Float[Tensor, "part output"]]:
        """Mean and weights of ridge regression of other features, `down` of these ones.

        down: a linear function, [row, feature] → [row, part].
        """
        rows = down(self.factor.double())
        size = rows.square().sum(dim=0).sqrt()
        scale = torch.where(size > 1e-9, 1 / size.clamp_min(1e-300), 0.0)
        z = rows * scale
        eye = torch.eye(RANK, dtype=z.dtype, device=z.device)
        much = self.penalty.double() if penalty is None else penalty
        inner = torch.linalg.solve(z @ z.mT + much * z.shape[1] * eye, self.toward.double())
        return down(self.mean.double()[None])[0], scale[:, None] * (z.mT @ inner)


class PartialCap(nn.Module):
    """Outputs for windows of a part of the cap: of rhythms, and of what is locked to events.

    Parameters
    ----------
    n
        Components of the whole.
    n_bands
        Bands.
    n_slow
        Samples of the slow signal; 0 = no events.
    n_outputs
        Classes, or 1.
    recentered
        Whether a person's center is taken away.
    """

    middle: Tensor

    def __init__(self, n: int, n_bands: int, n_slow: int, n_outputs: int, recentered: bool):
        super().__init__()
        self.n, self.n_bands, self.n_slow, self.recentered = n, n_bands, n_slow, recentered
        self.n_evoked = max(1, n_slow // TOGETHER) if n_slow else 0
        self.register_buffer("middle", torch.zeros(n_bands + 1, n * (n + 1) // 2))
        sizes = [n_bands * n * (n + 1) // 2] + [n * self.n_evoked] * bool(n_slow)
        self.blocks = nn.ModuleList([Moments(size, n_outputs) for size in sizes])

    @property
    def ready(self) -> bool:
        """Whether it was fitted."""
        return bool(self.blocks[0].toward.any())

    def fit(self, rows: Rows, centers: Rows, of: Int[Tensor, " window"],
            target: Float[Tensor, "window output"], weight: Float[Tensor, " window"]) -> None:
        """Take the moments of windows with the whole cap. target: deviations from its mean."""
        middle = centers["covariance"].double().mean(dim=0)
        self.middle.copy_(middle.unflatten(0, self.middle.shape))
        for block, x in zip(self.blocks, self.features(rows, centers, of, self.n), strict=True):
            block.fit(x, target, weight)

    def features(self, rows: Rows, centers: Rows, of: Int[Tensor, " window"], n: int
                 ) -> list[Float[Tensor, "window feature"]]:
        """Of windows that are measured by n signals, at the beginning of each section."""
        logs = _logs(rows["covariance"], self.n_bands + 1, n)
        around = _logs(centers["covariance"], self.n_bands + 1, n)
        found = []
        for k in range(self.n_bands):
            whitener = power_of(matrix(around[:, k]), -0.5)[of]
            found.append(log_of(whitener @ power_of(matrix(logs[:, k]), 1.0) @ whitener))
        blocks = [torch.cat(found, dim=1)]
        if self.n_slow:
            power = power_of(matrix(around[:, -1]), 1.0).diagonal(dim1=1, dim2=2).mean(dim=1)
            slow = rows["slow"][:, : n * self.n_slow].double().unflatten(1, (n, -1))
            length = self.n_slow // self.n_evoked
            slow = slow[..., : length * self.n_evoked].unflatten(-1, (self.n_evoked, length))
            blocks.append((slow.mean(dim=-1) / power.sqrt()[of, None, None]).flatten(1))
        return blocks

    def fewer(self, section: Float[Tensor, "row number"], part: Float[Tensor, "k n"],
              least: Float[Tensor, ""]) -> Float[Tensor, "row fewer"]:
        """Section of covariances of `part` · signals, from that of the whole."""
        logs = _logs(section, self.n_bands + 1, self.n)[:, :-1]
        whole = power_of(matrix(logs), 1.0)
        return spectra.log_covariance(whole, part.mT, least)

    def centers(self, centers: Rows, part: Float[Tensor, "k n"], seen: Bool[Tensor, " channel"],
                least: Float[Tensor, ""]) -> dict[str, Tensor]:
        """A center for windows of a part of the cap. One that is made of their mean and of the
        training people's (a stream's) is taken apart: the part has no channel outside it."""
        whole = self.middle.flatten()[None].double()
        few = self.fewer(whole, part, least)
        prior = float(centers["seen"][0, ~seen].mean()) if self.recentered else 1.0
        if prior < 1 - 1e-6:
            own = centers["covariance"].double() - prior * whole
            few = prior * few + own[:, : few.shape[1]]
        return {"covariance": few}

    def prepared(self, rows: Rows, centers: Rows, of: Int[Tensor, " window"],
                 part: Float[Tensor, "k n"], least: Float[Tensor, ""]) -> list[tuple]:
        """(block, features, down) of each block, for windows of a part of the cap.

        rows, centers: measured with the part. part: takes signals of the whole to those of the
        part. down: as in `Moments.solved`.
        """
        downs = [self._rhythms(part, least), lambda x: (part @ x.unflatten(1, (self.n, -1))
                                                        ).flatten(1)]
        return [*zip(self.blocks, self.features(rows, centers, of, len(part)), downs,
                     strict=False)]

    def outputs(self, rows: Rows, centers: Rows, of: Int[Tensor, " window"],
                part: Float[Tensor, "k n"], least: Float[Tensor, ""]
                ) -> Float[Tensor, "window output"]:
        """Sum of the blocks, each by its share; arguments as in `prepared`."""
        total = torch.zeros((), dtype=torch.float64, device=part.device)
        for block, x, down in self.prepared(rows, centers, of, part, least):
            with torch.no_grad():
                mean, weight = block.solved(down)
            total = total + block.share.double() * ((x - mean) @ weight)
        return total

    def _rhythms(self, part: Float[Tensor, "k n"], least: Float[Tensor, ""]):
        """T → Q T Qᵀ in every band."""
        whole = matrix(self.middle.double())
        inner = _logs(self.fewer(self.middle.flatten()[None], part, least), self.n_bands + 1,
                      len(part))[0]
        turn = (power_of(matrix(inner), -0.5) @ part @ power_of(whole, 0.5))[: self.n_bands]

        def down(x: Float[Tensor, "row feature"]) -> Float[Tensor, "row part"]:
            each = turn @ matrix(x.unflatten(1, (self.n_bands, -1))) @ turn.mT
            row, column = torch.triu_indices(len(part), len(part), device=x.device)
            twice = torch.where(row == column, 1.0, 2**0.5).to(each)
            return (each[..., row, column] * twice).flatten(1)

        return down


def seen_places(
    places: Float[Tensor, "place 3"], given: Float[Tensor, "batch channel 3"],
    valid: Bool[Tensor, "batch channel"],
) -> Bool[Tensor, "batch place"]:
    """Places that are the nearest one of some electrode, and not far from it."""
    cosine = cosines(given, places).masked_fill(~valid[..., None], -2.0)
    nearest, which = cosine.max(dim=-1)
    count = torch.zeros(len(given), len(places), dtype=torch.float64, device=places.device)
    return count.scatter_add(1, which, (nearest > NEAR).double()) > 0


def part_of(basis: Float[Tensor, "channel n"], seen: Bool[Tensor, " channel"], average: bool
            ) -> Float[Tensor, "k n"]:
    """What takes the cap's components to the signals of the channels that are seen."""
    found = basis.double()[seen]
    return found - found.mean(dim=0) if average else found


def _logs(section: Float[Tensor, "row number"], n_matrices: int, n: int
          ) -> Float[Tensor, "row matrix pair"]:
    return section[:, : n_matrices * n * (n + 1) // 2].double().unflatten(1, (n_matrices, -1))
