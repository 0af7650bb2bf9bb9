"""Channels of any layout → features at places that are always the same.

Each place takes a mean of the channels near it, the nearer the more. So what is pooled has one
width for every cap, helmet or parcellation, and keeps where things were.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .leadfield import spiral

N_ANCHORS = 16
_WIDTH = 0.4  # of a place, in units of geometry (0.1 m); neighbors are 0.5 to 0.7 apart


def anchored(
    x: Float[Tensor, "batch channel *rest"], geometry: Float[Tensor, "batch channel 6"],
    valid: Bool[Tensor, "batch channel"],
) -> Float[Tensor, "batch anchor *rest"]:
    """Means of channels around each anchor; directions count, not how far out a channel lies."""
    direction = torch.nn.functional.normalize(geometry[..., :3].float(), dim=-1)
    anchors = spiral(N_ANCHORS, lowest=-0.3).to(direction)
    far = torch.square(direction[:, None] - anchors[None, :, None]).sum(dim=-1)
    score = (-far / (2 * _WIDTH**2)).masked_fill(~valid[:, None], -torch.inf)
    weight = score.softmax(dim=-1).to(x.dtype)
    return torch.einsum("bac,bcn->ban", weight, x.flatten(2)).unflatten(2, x.shape[2:])
