"""Sections of fMRI: the mean and variance of every region, correlations, and the covariance.

The covariance is shrunk as much as its samples ask for (Ledoit & Wolf 2004, J. Multivar. Anal.
88:365), as nilearn's `ConnectivityMeasure` does.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..second_order import log_of

TINY = 1e-12


def measured(
    signal: Float[Tensor, "scan region time"], there: Bool[Tensor, "scan time"]
) -> dict[str, Float[Tensor, "scan number"]]:
    """Sections by name; volumes that are not `there` do not count."""
    weight = there.double()[:, None]
    count = weight.sum(dim=-1).clamp_min(1)
    mean = (signal.double() * weight).sum(dim=-1) / count
    centered = (signal.double() - mean[..., None]) * weight
    covariance = centered @ centered.mT / count[..., None]
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    scale = variance.clamp_min(TINY).rsqrt()
    correlation = covariance * scale[..., :, None] * scale[..., None, :]
    row, column = torch.triu_indices(*covariance.shape[-2:], offset=1, device=signal.device)
    return {
        "mean": mean, "variance": (variance + TINY).log(),
        "correlation": correlation[:, row, column].clamp(-0.999, 0.999).atanh(),
        "connectivity": log_of(_shrunk(centered, covariance, count[:, 0])),
    }


def _shrunk(
    centered: Float[Tensor, "scan region time"], covariance: Float[Tensor, "scan region region"],
    count: Float[Tensor, " scan"],
) -> Float[Tensor, "scan region region"]:
    n = covariance.shape[-1]
    mean = covariance.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    eye = torch.eye(n, dtype=covariance.dtype, device=covariance.device)
    far = (covariance - mean[:, None, None] * eye).square().sum(dim=(1, 2)) / n
    length = centered.square().sum(dim=1)  # of each volume
    noise = (length.square().sum(dim=1) / count - covariance.square().sum(dim=(1, 2))) / (n * count)
    share = (noise / far.clamp_min(1e-300)).clamp(0, 1)[:, None, None]
    found = (1 - share) * covariance + share * mean[:, None, None] * eye
    return found + 1e-6 * mean.clamp_min(TINY)[:, None, None] * eye
