"""Weights of bounded norm, as convolutional networks of EEG have them (arXiv 1703.05051)."""

import torch
from torch import Tensor


@torch.no_grad()
def max_norm_(weight: Tensor, largest: float) -> None:
    """Shorten the weights of every output to a norm of at most `largest`, in place.

    Called as a network is applied, so the optimizer's last step is under the constraint as well.
    Weights that are short enough are not touched: somebody may hold a gradient through them.
    """
    if weight.flatten(1).norm(dim=1).max() > largest * (1 + 1e-6):
        weight.copy_(weight.renorm(2, 0, largest))
