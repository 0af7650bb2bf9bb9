"""Attentive pooling: learned queries choose which places of a window matter.

Source: the attentive probe of "Context Autoencoder" (arXiv 2202.03026, sec. 4) and V-JEPA
(arXiv 2404.08471): where features of single places are good but their mean says little, a frozen
model is judged by one cross-attention instead.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class AttentivePool(nn.Module):
    """[batch, place, dim] → [batch, dim]: each head's query weighs the places, by softmax, for its
    part of the features. Queries start at 0, which is the mean over places."""

    def __init__(self, dim: int, n_heads: int):
        super().__init__()
        self.query = nn.Parameter(torch.zeros(n_heads, dim))
        self.n_heads = n_heads

    def forward(
        self, x: Float[Tensor, "batch place dim"], mask: Bool[Tensor, "batch place"] | None = None
    ) -> Float[Tensor, "batch dim"]:
        """Places where `mask` is False do not count; without any the result is 0."""
        score = torch.einsum("bpd,hd->bhp", x, self.query / x.shape[-1] ** 0.5)
        if mask is not None:
            score = score.masked_fill(~mask[:, None], -torch.inf)
        weight = score.softmax(dim=-1).nan_to_num(0.0)
        parts = x.unflatten(-1, (self.n_heads, -1))
        return torch.einsum("bhp,bphk->bhk", weight, parts).flatten(1)
