"""What regions have in common: a few factors, known by where regions lie.

Factor analysis whose loadings are a function of the region (kriging, in the words of geography): a
region measures its loadings times the factors, and noise of its own. Given the regions that were
seen, the best linear guess of factors, and of any other region, follows by solving. It is what a
ridge regression between regions finds for one atlas, but of any regions, any of them hidden, and
with loadings that learn together with the layers above.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

_LEAST_NOISE = 0.01  # of a region's variance


class Factors(NamedTuple):
    """guess: what each region should measure by what the *others* do. scores: the factors. doubt:
    their covariance, given what was seen."""

    guess: Float[Tensor, "batch segment region tap"]
    scores: Float[Tensor, "batch segment factor tap"]
    doubt: Float[Tensor, "batch segment factor factor"]


class RegionFactors(nn.Module):
    """dim: of region embeddings. n_factors: of what regions have in common."""

    def __init__(self, dim: int, n_factors: int, wide: int = 256):
        super().__init__()
        self.norm = nn.RMSNorm(dim, eps=1e-6)
        # Not nn.Linear: models start those small, and no loading at all is a place without slope.
        self.up = nn.Parameter(torch.randn(dim, wide) / dim**0.5)
        self.loadings = nn.Parameter(torch.randn(wide, n_factors) / wide**0.5)
        self.noise = nn.Parameter(torch.zeros(wide))

    def about(self, regions: Float[Tensor, "batch region dim"]
              ) -> tuple[Float[Tensor, "batch region factor"], Float[Tensor, "batch region"]]:
        """(loadings, variance of the noise) of each region."""
        x = F.gelu(self.norm(regions.float()) @ self.up)
        return x @ self.loadings, F.softplus(x @ self.noise - 1.0) + _LEAST_NOISE

    def forward(
        self, signal: Float[Tensor, "batch segment region tap"],
        regions: Float[Tensor, "batch region dim"], seen: Bool[Tensor, "batch segment region"],
    ) -> "Factors":
        """Factors, by all regions that were seen, and what they say of each region."""
        with torch.autocast(signal.device.type, enabled=False):
            loading, noise = self.about(regions)
            signal, trust = signal.float(), seen / noise[:, None]
            # Posterior of factors whose prior is standard normal: (I + L' N^-1 L) z = L' N^-1 x
            precision = torch.einsum("bsr,brk,brl->bskl", trust, loading, loading)
            precision = precision + torch.eye(loading.shape[2], device=signal.device)
            factor = torch.linalg.cholesky(precision)
            pull = torch.einsum("bsr,brk,bsrt->bskt", trust, loading, signal)
            scores = torch.cholesky_solve(pull, factor)
            guess = torch.einsum("brk,bskt->bsrt", loading, scores)
            # A region that was seen has pulled at the factors itself: take its part out again.
            spread = torch.linalg.solve_triangular(
                factor, loading.mT[:, None].expand(-1, signal.shape[1], -1, -1), upper=False)
            own = trust * torch.square(spread).sum(dim=2)  # [batch, segment, region], below 1
            guess = (guess - own[..., None] * signal) / (1 - own[..., None])
            doubt = torch.cholesky_inverse(factor)
        return Factors(guess, scores, doubt)
