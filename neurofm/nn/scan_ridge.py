"""Ridge regression over scans, whose penalty scans that were left out choose.

Sums of products are kept, not samples: memory does not grow with the number of scans. Features have
one scale already; targets are z-scored, so a value that was not measured counts as their mean.
"""

import itertools

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # of the features' mean power, times n
SHARES = (0.03, 0.1, 0.3, 1.0)  # by which features of the second kind may be scaled
_EVERY = 5  # each fifth scan chooses


class ScanRidge:
    """Adds scans, then solves."""

    def __init__(self, n_features: int, n_targets: int):
        self.products = torch.zeros(2, n_features, n_features, dtype=torch.float64)
        self.cross = torch.zeros(2, n_features, n_targets, dtype=torch.float64)
        self.n, self.n_scans = [0, 0], 0
        self.held: list[tuple[Tensor, Tensor]] = []

    def add(
        self, features: Float[Tensor, "volume feature"], target: Float[Tensor, "volume target"]
    ) -> None:
        """One scan; volumes in which nothing was measured (NaN) are left out."""
        known = (~target.isnan()).any(dim=1)
        x, y = features[known].cpu(), target[known].cpu().nan_to_num(0.0)
        choosing = int(self.n_scans % _EVERY == _EVERY - 1)
        self.n_scans += 1
        if len(x) == 0:
            return
        self.products[choosing] += x.T @ x
        self.cross[choosing] += x.T @ y
        self.n[choosing] += len(x)
        if choosing:
            self.held.append((x, y))

    def solve(
        self, second: Bool[Tensor, " feature"] | None = None
    ) -> tuple[Float[Tensor, "target feature"], Float[Tensor, " target"], str]:
        """(weights, biases, in words).

        second: features whose share is chosen as well (one of `SHARES`), such as those of a network
            beside simpler ones, which would drown in them.
        """
        if sum(self.n) == 0:
            raise ValueError("no volume of a training scan was measured: nothing can be learned")
        scores = {}
        ways = list(itertools.product(PENALTIES, (1.0,) if second is None else SHARES))
        for penalty, share in ways if self.held and self.n[0] else ():
            weights = self._weights(0, penalty, share, second)
            scores[penalty, share] = sum(
                float(_r(x @ weights, y)) for x, y in self.held) / len(self.held)
        best = max(scores, key=scores.__getitem__) if scores else (1.0, ways[0][1])
        weights = self._weights(slice(None), *best, second)
        said = (f"read-out solved on {self.n_scans} scans, {sum(self.n)} volumes; penalty "
                f"{best[0]:g} "
                + ("" if second is None else f"and a share of {best[1]:g} ")
                + (f"chosen by {len(self.held)} scans (r {scores[best]:.3f})" if scores
                   else "(too few scans to choose one)"))
        return weights.T.float(), torch.zeros(weights.shape[1]), said

    def _weights(
        self, which: int | slice, penalty: float, share: float, second: Tensor | None
    ) -> Float[Tensor, "feature target"]:
        """Those of all scans (slice), or of the ones that do not choose (0)."""
        products, cross = (each[which] if which == 0 else each[which].sum(0)
                           for each in (self.products, self.cross))
        scale = torch.ones(len(products), dtype=products.dtype)
        if second is not None:
            scale[second.cpu()] = share
        products = products * scale[:, None] * scale
        size = products.diagonal().mean().clamp(min=1e-12)
        eye = torch.eye(len(products), dtype=products.dtype)
        found = torch.linalg.solve(products + penalty * size * eye, cross * scale[:, None])
        return found * scale[:, None]


def _r(found: Tensor, target: Tensor) -> Tensor:
    """Mean over targets of the correlation over time."""
    one, two = found - found.mean(dim=0), target - target.mean(dim=0)
    size = torch.sqrt(one.square().sum(dim=0) * two.square().sum(dim=0)).clamp(min=1e-12)
    return ((one * two).sum(dim=0) / size).mean()
