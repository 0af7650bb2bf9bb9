"""Sections of EEG and MEG: power and covariances in bands, and the signal slowed down.

One Fourier transform of the tapered window gives all covariances: that of the band-passed signal is
the sum of X Xᴴ over the band's frequencies (Parseval). Baselines see the same numbers
(`neurofm.downstream.baselines.spectra`).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ..second_order import log_of

# Edges in Hz; the usual names are delta, theta, alpha, beta, low gamma.
BANDS = ((1.0, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 45.0))
SHRINKAGE = 0.02  # toward a multiple of the identity
LEAST = 1e-9  # power of a dead window, to that of the training windows: logarithms stay finite
TINY = 1e-12


def covariances(
    signal: Float[Tensor, "window channel time"], sfreq: float,
    bands: tuple[tuple[float, float], ...],
) -> Float[Tensor, "window band channel channel"]:
    """Covariance between channels in each band, float64."""
    n = signal.shape[-1]
    taper = torch.hann_window(n, periodic=False, dtype=torch.float64, device=signal.device)
    centered = signal.double() - signal.double().mean(dim=-1, keepdim=True)
    spectrum = torch.fft.rfft(centered * taper, dim=-1)
    frequency = torch.arange(n // 2 + 1, device=signal.device) * (sfreq / n)
    parts = []
    for low, high in bands:
        inside = ((frequency >= low) & (frequency < high)).to(torch.float64)
        real, imaginary = spectrum.real * inside, spectrum.imag * inside
        parts.append((real @ real.mT + imaginary @ imaginary.mT) * (2 / n**2))
    return torch.stack(parts, dim=1)


def log_power(
    covariance: Float[Tensor, "window band channel channel"]
) -> Float[Tensor, "window band_channel"]:
    """Log power of every channel in every band."""
    return (covariance.diagonal(dim1=-2, dim2=-1) + TINY).log().flatten(1)


def log_covariance(
    covariance: Float[Tensor, "window band channel channel"], basis: Float[Tensor, "channel n"],
    least: Float[Tensor, ""],
) -> Float[Tensor, "window band_pair"]:
    """Logarithms of the covariances of `basis`ᵀ · signal in every band, and of their sum over bands
    as a last one; each shrunk to full rank.

    least: power below which a window is taken for dead.
    """
    small = basis.T @ covariance @ basis
    small = torch.cat([small, small.sum(dim=1, keepdim=True)], dim=1)
    n = small.shape[-1]
    mean = small.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[..., None, None]
    eye = torch.eye(n, dtype=small.dtype, device=small.device)
    shrunk = (1 - SHRINKAGE) * small + SHRINKAGE * torch.maximum(mean, least) * eye
    return log_of(shrunk).flatten(1)


def slowed(
    signal: Float[Tensor, "window channel time"], n: int
) -> Float[Tensor, "window channel n"]:
    """Means over n stretches of equal length; samples that are left over belong to none."""
    length = signal.shape[-1] // n
    return signal[..., : n * length].double().unflatten(-1, (n, length)).mean(dim=-1)
