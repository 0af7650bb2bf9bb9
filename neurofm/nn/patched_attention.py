"""Attention of the last positions over patches of what came before (MEG-GPT's "GASP").

Source: "MEG-GPT" (arXiv 2510.18080) and its released layer plan. A layer reads n_in patches of
len_in positions and writes the last n_out · len_out positions. Where a patch has several positions,
heads and positions are mixed into one key and one value for each dimension of a head.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Plan(NamedTuple):
    """Of one layer. band: farthest patch that is looked at; 0 = all."""

    n_in: int
    len_in: int
    n_out: int
    len_out: int
    band: int = 0

    @property
    def read(self) -> int:
        return self.n_in * self.len_in

    @property
    def written(self) -> int:
        return self.n_out * self.len_out


@lru_cache(maxsize=64)
def blocked(plan: Plan) -> Bool[Tensor, "query patch"]:
    """Patches that a query may not look at, because they hold what comes after it or lie beyond the
    band. As released, the band counts queries from the first that is written."""
    query = torch.arange(plan.written)[:, None]
    patch = torch.arange(plan.n_in)[None]
    late = query < ((patch + 1 - plan.n_in) * plan.len_in + plan.written - 1).clamp(min=0)
    if not plan.band:
        return late
    return late | ((patch - query // plan.len_in).abs() > plan.band)


class PatchedAttention(nn.Module):
    """[row, read, dim] → [row, written, dim]."""

    def __init__(self, dim: int, n_heads: int, plan: Plan):
        super().__init__()
        self.n_heads, self.plan = n_heads, plan
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        if plan.len_in > 1:
            self.key_of_patch = nn.Linear(n_heads * plan.len_in, n_heads)
            self.value_of_patch = nn.Linear(n_heads * plan.len_in, n_heads)
        self.out = nn.Linear(dim, dim)

    def _patches(self, x: Float[Tensor, "row read dim"], mix: str
                 ) -> Float[Tensor, "row patch dim"]:
        """One vector a patch."""
        if self.plan.len_in == 1:
            return x
        x = x.unflatten(1, (self.plan.n_in, self.plan.len_in)).unflatten(-1, (self.n_heads, -1))
        x = x.permute(0, 1, 4, 3, 2).flatten(3)  # row patch within (head position)
        return getattr(self, mix)(x).transpose(2, 3).flatten(2)

    def forward(self, x: Float[Tensor, "row read dim"]) -> Float[Tensor, "row written dim"]:
        def heads(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

        query = heads(self.query(x[:, -self.plan.written :]))
        key = heads(self.key(self._patches(x, "key_of_patch")))
        value = heads(self.value(self._patches(x, "value_of_patch")))
        score = query @ key.mT / query.shape[-1] ** 0.5
        # A row that may look at nothing takes nothing: weights alike would let it see what comes.
        score = score.masked_fill(blocked(self.plan).to(x.device), -torch.inf)
        weight = score.softmax(dim=-1).nan_to_num(0.0)
        return self.out((weight @ value).transpose(1, 2).flatten(2))
