"""Smooth functions of delay: how much of a frame reaches a volume so many seconds later.

A response of the blood to activity lasts half a minute and has no corners: a few bumps, each wider
than the one before, describe any. They are functions of real seconds, so that frames and volumes
may come at any rates and offsets.
"""

import torch
from jaxtyping import Float
from torch import Tensor

REACH_S = 24.0  # delays beyond are not looked at
N_BUMPS = 8


def lag_basis(
    volume_s: Float[Tensor, "batch volume"], frame_s: Float[Tensor, " frame"], hop_s: float
) -> Float[Tensor, "batch volume frame bump"]:
    """Weight of each frame for each volume in each bump; 0 for frames after the volume or more than
    `REACH_S` before it. A frame's weight is proportional to how long it lasts."""
    delay = volume_s[..., None] - frame_s
    # Raised cosines over the square root of delay: narrow at short delays, wide at long ones.
    place = torch.sqrt(delay.clamp(min=0)) / REACH_S**0.5 * (N_BUMPS + 1)
    centre = torch.arange(1, N_BUMPS + 1, device=volume_s.device)
    away = (place[..., None] - centre).clamp(-1.5, 1.5)
    bump = 0.5 * (1 + torch.cos(away * torch.pi / 1.5))
    seen = (delay >= 0) & (delay < REACH_S)
    return bump * seen[..., None] * hop_s
