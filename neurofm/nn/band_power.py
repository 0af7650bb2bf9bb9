"""Power in learned bands, from windows of several lengths that end together: frames of a signal.

The multi-scale idea is that of NeuroBOLT's spectral branch (arXiv 2410.05341, sec. 3.2); bands are
learned as non-negative weights over frequencies, and what is given on is the logarithm of power
and its square root, amplitude.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

EDGES_HZ = (1.0, 4.0, 8.0, 10.0, 13.0, 20.0, 30.0, 45.0)  # where bands begin to be learned
FLOOR = 1e-4  # of z-scored signals' power in a band: what is called silence


class BandPower(nn.Module):
    """hop_s: from frame to frame. windows_s: lengths, each at least a hop; frame k ends at
    (k + 1) · hop_s. What a window would reach before the signal's begin is 0."""

    def __init__(self, sfreq: float, hop_s: float, windows_s: tuple[float, ...]):
        super().__init__()
        self.hop = round(hop_s * sfreq)
        self.lengths = [round(length * sfreq) for length in windows_s]
        self.weights = nn.ParameterList()
        for length in self.lengths:
            hz = torch.arange(length // 2 + 1) * sfreq / length
            inside = torch.stack([(hz >= low) & (hz < high) for low, high
                                  in itertools.pairwise(EDGES_HZ)]).float()
            # softplus⁻¹ of 1 inside a band and of 0.01 outside
            self.weights.append(nn.Parameter(torch.where(inside > 0, math.log(math.e - 1),
                                                         math.log(math.expm1(0.01)))))

    @property
    def n_features(self) -> int:
        """Of a signal in a frame."""
        return 2 * len(self.lengths) * (len(EDGES_HZ) - 1)

    def forward(
        self, signal: Float[Tensor, "batch source time"]
    ) -> Float[Tensor, "batch source frame feature"]:
        n_frames, found = signal.shape[-1] // self.hop, []
        for length, weight in zip(self.lengths, self.weights, strict=True):
            padded = F.pad(signal[..., : n_frames * self.hop], (length - self.hop, 0))
            windows = padded.unfold(-1, length, self.hop)
            taper = torch.hann_window(length, periodic=False, device=signal.device)
            spectrum = torch.fft.rfft(windows * taper)
            power = spectrum.real.square() + spectrum.imag.square()
            band = power @ F.softplus(weight).T / (length * taper.square().sum())
            found += [torch.log(band + FLOOR), torch.sqrt(band + FLOOR)]
        return torch.cat(found, dim=-1)
