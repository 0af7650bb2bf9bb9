"""Attention to what came before, with a memory of fixed length: a new sample costs the same however
long the past is."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .attention import ROTARY_BASE, attend_dropping
from .dropout import Dropout


class Memory:
    """Keys and values of the last `reach` positions of each row, and how many positions came before
    the next one."""

    def __init__(self, reach: int):
        self.reach, self.seen = reach, 0
        self.key = self.value = None

    def add(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values that the new positions can see, theirs included."""
        if self.key is not None:
            key = torch.cat([self.key, key], dim=2)
            value = torch.cat([self.value, value], dim=2)
        self.key, self.value = key[:, :, -self.reach :], value[:, :, -self.reach :]
        return key, value


def turned(
    x: Float[Tensor, "row head time within"], first: int
) -> Float[Tensor, "row head time within"]:
    """Rotary positions within each head (RoFormer, arXiv 2104.09864), counted from `first`."""
    half = x.shape[-1] // 2
    rate = ROTARY_BASE ** (-torch.arange(half, device=x.device).float() / half)
    angle = torch.outer(torch.arange(first, first + x.shape[2], device=x.device).float(), rate)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    one, two = x.chunk(2, dim=-1)
    return torch.cat([one * cos - two * sin, one * sin + two * cos], dim=-1)


class CausalAttention(nn.Module):
    """Over time, of each row by itself; a position sees itself and the reach − 1 before it."""

    def __init__(self, dim: int, n_heads: int, reach: int, dropout: float = 0.0):
        super().__init__()
        self.n_heads, self.reach = n_heads, reach
        self.dropout = Dropout(dropout)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, "row time dim"], memory: Memory | None = None
    ) -> Float[Tensor, "row time dim"]:
        """memory: of what came before; the new positions are added to it."""
        first = 0 if memory is None else memory.seen
        q, k, v = (part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
                   for part in self.qkv(x).chunk(3, dim=-1))
        q, k = turned(q, first), turned(k, first)
        if memory is not None:
            k, v = memory.add(k, v)
            memory.seen += x.shape[1]
        back = (torch.arange(k.shape[2] - x.shape[1], k.shape[2], device=x.device)[:, None]
                - torch.arange(k.shape[2], device=x.device))
        seen = (back >= 0) & (back < self.reach)
        taken = (attend_dropping(q, k, v, seen, self.dropout) if self.dropout.active
                 else F.scaled_dot_product_attention(q, k, v, attn_mask=seen))
        return self.out(taken.transpose(1, 2).flatten(2))
