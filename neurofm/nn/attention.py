"""Attention, rotary positions, feed-forward, and BrainOmni's criss-cross block.

Sources: "BrainOmni" (arXiv 2505.18185, sec. 3.3) for the criss-cross block; rotary positions from
RoFormer (arXiv 2104.09864); RMSNorm from arXiv 1910.07467.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .dropout import Dropout, drop, window_keys

ROTARY_BASE = 10_000.0


class FeedForward(nn.Module):
    """Linear → SELU → dropout → Linear → dropout, `expansion` times as wide inside."""

    def __init__(self, dim: int, dropout: float = 0.0, expansion: int = 4):
        super().__init__()
        self.up = nn.Linear(dim, expansion * dim)
        self.down = nn.Linear(expansion * dim, dim)
        self.dropout = Dropout(dropout, n_uses=2)

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        return self.dropout(self.down(self.dropout(F.selu(self.up(x)), 0)), 1)


def attend(
    q: Float[Tensor, "batch query dim"],
    k: Float[Tensor, "batch key dim"],
    v: Float[Tensor, "batch key dim"],
    n_heads: int,
    mask: Bool[Tensor, "batch key"] | None = None,
    dropout: float = 0.0,
    window_key: Int[Tensor, " window"] | None = None,
    layer: Dropout | None = None,
) -> Float[Tensor, "batch query dim"]:
    """Multi-head attention on projected queries, keys and values; keys where `mask` is False are
    not seen.

    `dropout` acts on the attention weights: pass 0 in evaluation. (The published BrainOmni passes
    its dropout in evaluation too, so its features are random.) `window_key`: drop by these keys of
    the windows (`neurofm.nn.dropout`) instead of torch's generator. `layer`: drops instead, where
    windows have seeds.
    """
    q, k, v = (rearrange(t, "b i (h d) -> b h i d", h=n_heads) for t in (q, k, v))
    if layer is not None and layer.active:
        seen = None if mask is None else mask[:, None, None, :]
        x = attend_dropping(q, k, v, seen, layer)
    elif dropout and window_key is not None and mask is None:
        weight = torch.matmul(q * q.shape[-1] ** -0.5, k.mT).softmax(dim=-1, dtype=q.dtype)
        x = drop(weight, window_key, dropout) @ (v * (1 / (1 - dropout)))
    else:
        if mask is not None:
            mask = mask[:, None, None, :]
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    return rearrange(x, "b h i d -> b i (h d)")


def attend_dropping(
    q: Float[Tensor, "batch head query within"],
    k: Float[Tensor, "batch head key within"],
    v: Float[Tensor, "batch head key within"],
    mask: Bool[Tensor, "*#shape"] | None,
    layer: Dropout,
) -> Float[Tensor, "batch head query within"]:
    """Attention whose weights a layer drops; torch's own cannot be told which."""
    score = torch.matmul(q * q.shape[-1] ** -0.5, k.mT)
    if mask is not None:
        score = score.masked_fill(~mask, -torch.inf)
    return layer(score.softmax(dim=-1, dtype=q.dtype)) @ v


def rotary_table(n: int, dim: int, device=None) -> Float[Tensor, "2 n half"]:
    """cos and sin of position × frequency, float32; frequencies 10000^(−2i/dim)."""
    exponent = torch.arange(0, dim, 2, device=device, dtype=torch.float32)[: dim // 2] / dim
    angle = torch.outer(torch.arange(n, device=device).float(), ROTARY_BASE**-exponent)
    return torch.stack([angle.cos(), angle.sin()])


def cosine_table(n: int, dim: int, device=None) -> Float[Tensor, "2 n half"]:
    """The rotary table without its sines: `rotate` then multiplies by cosines."""
    table = rotary_table(n, dim, device)
    table[1] = 0
    return table


def rotate(
    x: Float[Tensor, "batch n dim"], table: Float[Tensor, "2 n half"]
) -> Float[Tensor, "batch n dim"]:
    """Turn each pair of neighboring features (2i, 2i+1) by its angle, in float32.

    As published, the angles run over the whole width *before* it is cut into heads, so the heads
    see different frequencies: the first the fastest, the last the slowest.
    """
    cos, sin = table
    if x.device.type == "cpu" and not (torch.compiler.is_exporting()
                                       or torch.compiler.is_compiling()):
        # One pass over memory instead of seven; the same numbers up to rounding.
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * torch.complex(cos, sin)).flatten(-2).to(x.dtype)
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(-2).to(x.dtype)


class SelfAttention(nn.Module):
    """Self-attention over one axis, with rotary positions if a table is given; places where a mask
    is False are not looked at."""

    def __init__(self, dim: int, n_heads: int, dropout: float = 0.0):
        super().__init__()
        self.n_heads = n_heads
        self.dropout = Dropout(dropout)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "batch n dim"],
        table: Float[Tensor, "2 n half"] | None = None,
        mask: Bool[Tensor, "batch n"] | None = None,
        window_key: Int[Tensor, " window"] | None = None,
    ) -> Float[Tensor, "batch n dim"]:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        if table is not None:
            q, k = rotate(q, table), rotate(k, table)
        if window_key is not None:
            dropout = self.dropout.share * self.training
            return self.out(attend(q, k, v, self.n_heads, mask, dropout, window_key))
        return self.out(attend(q, k, v, self.n_heads, mask, layer=self.dropout))


class CrissCrossBlock(nn.Module):
    """Half the features attend over time (rotary), half over sources; then a feed-forward.

    Pre-norm: x + concat(sources, time), then x + feed-forward. As published, the *first* half of
    the normed features goes over time, and its result comes back as the *last* half. Each half
    has half the heads. Dropout, in training: of both attentions' weights, and of what the
    feed-forward adds.
    """

    def __init__(self, dim: int, n_heads: int, dropout: float = 0.0):
        super().__init__()
        self.dropout = dropout
        self.norm_attention = nn.RMSNorm(dim, eps=1e-6)
        self.over_time = SelfAttention(dim // 2, n_heads // 2, dropout)
        self.over_sources = SelfAttention(dim // 2, n_heads // 2, dropout)
        self.norm_feedforward = nn.RMSNorm(dim, eps=1e-6)
        self.feedforward = FeedForward(dim)

    def forward(
        self, x: Float[Tensor, "batch source frame dim"], table: Float[Tensor, "2 frame half"],
        keys: Int[Tensor, "3 batch"] | None = None,
    ) -> Float[Tensor, "batch source frame dim"]:
        """keys: of the windows, for dropout in training; None = torch's generator draws them."""
        b, s, t, _ = x.shape
        dropout = self.dropout * self.training
        if not dropout:
            keys = None
        elif keys is None:
            keys = window_keys(None, b, 3, x.device)
        of_time, of_sources, of_rest = (None,) * 3 if keys is None else keys.unbind()
        first, second = self.norm_attention(x).chunk(2, dim=-1)
        time = self.over_time(rearrange(first, "b s t d -> (b s) t d"), table, window_key=of_time)
        sources = self.over_sources(rearrange(second, "b s t d -> (b t) s d"),
                                    window_key=of_sources)
        x = x + torch.cat(
            [
                rearrange(sources, "(b t) s d -> b s t d", b=b, t=t),
                rearrange(time, "(b s) t d -> b s t d", b=b, s=s),
            ],
            dim=-1,
        )
        more = self.feedforward(self.norm_feedforward(x))
        if of_rest is None:
            return x + more
        return torch.add(x, drop(more, of_rest, dropout), alpha=1 / (1 - dropout))
