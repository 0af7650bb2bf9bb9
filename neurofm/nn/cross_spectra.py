"""Cross-spectra of sources in bands, frame by frame: how they go together from second to second.

The power of any mixture of sources is linear in them, so that a linear read-out of all entries
chooses its own spatial filters; of channels' own powers it could not.
"""

import itertools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

EDGES_HZ = (1.0, 4.0, 8.0, 13.0, 20.0, 30.0, 45.0)
N_BANDS = len(EDGES_HZ) - 1


def cross_spectra(
    signal: Float[Tensor, "batch source time"], sfreq: float, hop: int, length: int
) -> Float[Tensor, "batch frame band source source"]:
    """Real part, summed over a band, of Hann-tapered windows of `length` samples; frame k ends at
    sample (k + 1) · hop. What a window would reach before the signal's begin is 0."""
    n_frames = signal.shape[-1] // hop
    padded = F.pad(signal[..., : n_frames * hop], (length - hop, 0))
    windows = padded.unfold(-1, length, hop) * torch.hann_window(
        length, periodic=False, device=signal.device)
    spectrum = torch.fft.rfft(windows).transpose(1, 2)  # batch frame source frequency
    hz = torch.arange(length // 2 + 1, device=signal.device) * sfreq / length
    found = []
    for low, high in itertools.pairwise(EDGES_HZ):
        part = spectrum[..., (hz >= low) & (hz < high)]
        both = torch.cat([part.real, part.imag], dim=-1)
        found.append(both @ both.mT)
    return torch.stack(found, dim=2)


def whitener(
    mean: Float[Tensor, "*batch source source"], floor: float = 0.01
) -> Float[Tensor, "*batch source source"]:
    """Inverse square root of a mean cross-spectrum, `floor` of its mean power added to each source:
    a person's own scale, sources apart, so that 1 means as always for anybody."""
    n = mean.shape[-1]
    power = mean.diagonal(dim1=-2, dim2=-1).mean(dim=-1).clamp(min=1e-12)
    eye = torch.eye(n, device=mean.device, dtype=mean.dtype)
    value, vector = torch.linalg.eigh(mean + floor * power[..., None, None] * eye)
    return (vector / torch.sqrt(value.clamp(min=1e-12))[..., None, :]) @ vector.mT
