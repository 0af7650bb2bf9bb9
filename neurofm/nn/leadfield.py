"""Sources by a learned lead field: channels are mixed into sources before anything is encoded.

Where the published BrainTokenizer encodes every channel and lets attention gather sources from the
codes, this encodes the sources themselves. A sensor's row of the lead field is a smooth function of
where it is, which way it points and its kind:

    lead[c, s] = Σ_m  W_kind[s, m] · φ_m(c)        φ: bumps on the sphere, and their slopes
    sources    = (LᵀL + λ)⁻¹ Lᵀ · signal           ridge inverse over the visible channels
    signal     = L · sources

Any number and order of channels, on any device, therefore gives the same sources up to what it can
see, and hidden channels are filled in by physics rather than by luck. It removes the published
start's plateau, where near-uniform attention returns the mean over channels, which average
referencing has made zero; and the encoder's cost no longer grows with the number of channels.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..data.sensors import KINDS
from .seanet import SEANetDecoder, SEANetEncoder

N_BUMPS = 128  # directions on the whole sphere, about 18 degrees apart
BUMP = 12.0  # concentration: exp(BUMP · (cos angle − 1)) falls to a half at 19.6 degrees


def spiral(n: int, lowest: float, device=None) -> Float[Tensor, "n 3"]:
    """n directions spread evenly over the sphere above height `lowest` (−1 = all of it): a
    Fibonacci spiral."""
    k = torch.arange(n, device=device)
    z = 1 - (k + 0.5) / n * (1 - lowest)
    azimuth = k * math.pi * (3 - math.sqrt(5))
    radius = torch.sqrt(1 - z.square())
    return torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), z], dim=1)


class LeadField(nn.Module):
    """Rows of the lead field for any sensors, and its ridge inverse."""

    def __init__(self, n_sources: int):
        super().__init__()
        bumps = spiral(N_BUMPS, lowest=-1.0)
        places = spiral(n_sources, lowest=-0.3)
        # Every source starts as one bump under its place, as wide as sources are apart. Planar
        # gradiometers measure the slope of the field along their orientation, the others the field.
        width = torch.exp(BUMP / 2 * (places @ bumps.T - 1))
        width = width / width.sum(1, keepdim=True)
        start = torch.zeros(len(KINDS), n_sources, 2 * N_BUMPS)
        for index, kind in enumerate(KINDS):
            half = N_BUMPS if kind == "planar_grad" else 0
            start[index, :, half : half + N_BUMPS] = width
        self.weight = nn.Parameter(start * 4.0)
        self.log_ridge = nn.Parameter(torch.full((1,), -4.0))  # one number; FSDP cuts no scalars

    def forward(
        self,
        geometry: Float[Tensor, "batch channel 6"],
        kind: Int[Tensor, "batch channel"],
        seen: Bool[Tensor, "batch channel"],
    ) -> Float[Tensor, "batch channel source"]:
        """Rows of the lead field; 0 where not `seen` (padded or hidden)."""
        # BUMP times the rounding of a cosine in bf16 is not small, so autocast is off.
        with torch.autocast(geometry.device.type, enabled=False):
            return self._rows(geometry, kind, seen)

    def _rows(
        self,
        geometry: Float[Tensor, "batch channel 6"],
        kind: Int[Tensor, "batch channel"],
        seen: Bool[Tensor, "batch channel"],
    ) -> Float[Tensor, "batch channel source"]:
        # Made anew: transformers loads a model without running this class's arithmetic, so a
        # buffer that is not in the file would come back as whatever was in memory.
        bumps = spiral(N_BUMPS, lowest=-1.0, device=geometry.device)
        position, orientation = geometry.split(3, dim=-1)
        radius = position.norm(dim=-1, keepdim=True).clamp_min(1e-3)
        direction = position / radius
        bump = torch.exp(BUMP * (direction @ bumps.T - 1))
        # d/ds of exp(BUMP (cos − 1)) along the part of the orientation that is tangential.
        tangential = orientation - (orientation * direction).sum(-1, keepdim=True) * direction
        slope = math.sqrt(BUMP) * (tangential @ bumps.T) * bump
        features = torch.cat([bump, slope], dim=-1)
        # Rows for every kind, then each sensor's own: a table [batch, channel, source, feature] of
        # weights gathered by kind would be a hundred times larger.
        rows = torch.einsum("bcm,ksm->bcks", features, self.weight)
        lead = rows.gather(2, kind[..., None, None].expand(-1, -1, 1, rows.shape[-1]))[:, :, 0]
        return lead * seen[..., None]

    def sources(
        self,
        signal: Float[Tensor, "batch channel time"],
        lead: Float[Tensor, "batch channel source"],
    ) -> Float[Tensor, "batch source time"]:
        """Ridge-regularised least squares over the channels whose row in `lead` is not zero."""
        with torch.autocast(signal.device.type, enabled=False):
            seen = lead.float()
            gram = seen.mT @ seen
            power = gram.diagonal(dim1=-2, dim2=-1).mean(-1)
            ridge = self.log_ridge.exp() * power.clamp_min(1e-6)
            eye = torch.eye(gram.shape[-1], device=gram.device)
            inverse = torch.linalg.solve(gram + ridge[:, None, None] * eye, seen.mT)
            return inverse @ signal.float()


class LeadFieldCodec(nn.Module):
    """Signals → features of sources → signals: the lead field outside, SEANet inside.

    The same methods and shapes as `neurofm.nn.spatial.AttentionCodec`. What is decoded has the
    scale of what was encoded, so channels keep their relative amplitudes.
    """

    keeps_scale = True

    sources: Tensor

    def __init__(self, dim: int, n_sources: int, n_filters: int, ratios: list[int],
                 kernel: int, last_kernel: int):
        super().__init__()
        self.lead_field = LeadField(n_sources)
        self.encoder = SEANetEncoder(dim, n_filters, ratios, kernel, last_kernel)
        self.decoder = SEANetDecoder(dim, n_filters, ratios, kernel, last_kernel)
        # Only models that read tokens use it; a parameter would never get a gradient here.
        self.register_buffer("sources", torch.randn(n_sources, dim))

    def work(self, widths: np.ndarray) -> np.ndarray:
        """Work of windows by their channels; measured: a source takes as long as 50 channels."""
        return widths + 50 * len(self.sources)

    def source_embedding(self) -> Float[Tensor, "source dim"]:
        """What tells sources apart, for models that read tokens."""
        return self.sources

    def encode(
        self,
        windows: Float[Tensor, "batch channel window time"],
        geometry: Float[Tensor, "batch channel 6"],
        kind: Int[Tensor, "batch channel"],
        visible: Bool[Tensor, "batch channel"],
    ) -> Float[Tensor, "batch source window frame dim"]:
        """Features of the sources in each window, from the visible channels alone."""
        b, _, w, t = windows.shape
        lead = self.lead_field(geometry, kind, visible)
        sources = self.lead_field.sources(windows.flatten(2), lead)
        rows = self.encoder(sources.reshape(-1, t))
        return rows.unflatten(0, (b, -1, w))

    def decode(
        self,
        features: Float[Tensor, "batch source window frame dim"],
        geometry: Float[Tensor, "batch channel 6"],
        kind: Int[Tensor, "batch channel"],
        valid: Bool[Tensor, "batch channel"],
    ) -> Float[Tensor, "batch channel window time"]:
        """Signals of all valid channels; 0 where padded."""
        sources = self.decoder(features.flatten(0, 2)).unflatten(0, features.shape[:3])
        return torch.einsum("bcs,bswt->bcwt", self.lead_field(geometry, kind, valid), sources)
