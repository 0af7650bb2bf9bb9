"""How blood follows activity: the canonical response and its derivative, as functions of delay.

Double gamma of SPM (peak after 5 s, undershoot after 15 s, a sixth of its size; Friston et al.
1998) and its derivative, by which a response may come earlier or later. They are functions of real
seconds, so that frames and volumes may come at any rates and offsets.
"""

import torch
from jaxtyping import Float
from torch import Tensor

REACH_S = 24.0  # delays beyond are not looked at
N_RESPONSES = 2


def _gamma(delay: Tensor, shape: float) -> Tensor:
    """Density of a gamma distribution of scale 1 s; 0 at delays of 0 or less."""
    safe = delay.clamp(min=1e-6)
    constant = torch.lgamma(torch.tensor(shape, device=delay.device, dtype=delay.dtype))
    return torch.where(delay > 0, torch.exp((shape - 1) * safe.log() - safe - constant), 0.0)


def canonical(delay: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Response to a moment of activity `delay` seconds ago."""
    return _gamma(delay, 6.0) - _gamma(delay, 16.0) / 6


def lag_basis(
    volume_s: Float[Tensor, "batch volume"], end_s: Float[Tensor, " frame"], hop_s: float,
    window_s: float,
) -> Float[Tensor, "batch volume frame response"]:
    """Weight of each frame for each volume in each response; 0 for frames that end after the volume
    or more than `REACH_S` before it. A frame's weight is proportional to how often there is one.

    end_s: of each frame's window, window_s: its length; what it tells is of its middle.
    """
    since = volume_s[..., None] - end_s
    delay = since + window_s / 2
    early = canonical(delay + 0.5) - canonical(delay - 0.5)
    seen = (since >= 0) & (since < REACH_S)
    return torch.stack([canonical(delay), early], dim=-1) * seen[..., None] * hop_s
