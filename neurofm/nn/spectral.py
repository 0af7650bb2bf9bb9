"""Spectra as the losses compare them."""

import torch
from jaxtyping import Float
from torch import Tensor


def magnitude_and_phase(
    x: Float[Tensor, "*batch time"],
) -> tuple[Float[Tensor, "*batch frequency"], Float[Tensor, "*batch frequency"]]:
    """Magnitude and phase (radians) of the orthonormal rFFT under a (periodic) Hamming window."""
    window = torch.hamming_window(x.shape[-1], device=x.device, dtype=torch.float32)
    spectrum = torch.fft.rfft(x.float() * window, norm="ortho")
    return spectrum.abs(), spectrum.angle()
