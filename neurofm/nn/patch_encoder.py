"""LaBraM's encoder: seconds of electrodes as tokens, and a transformer over all of them.

Source: "LaBraM" (arXiv 2405.18765, sec. 2.2); details by weights and outputs of the reference. A
patch (one second of one electrode) becomes a token by three convolutions over time; which electrode
and which second it is are added; every token looks at every other. Padding and electrodes that are
not known take no part in anything.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .attention import attend
from .labram_channels import N_ROWS

N_SECONDS = 16  # rows of the table of seconds
STRIDE = 8  # of the first convolution: samples that become one
_KERNELS = (15, 3, 3)
_GROUPS = 4


def patch_width(patch: int, n_filters: int) -> int:
    """Features of a patch of so many samples after the convolutions."""
    return n_filters * -(-patch // STRIDE)


class PatchConvolutions(nn.Module):
    """Samples of a patch → features: convolution, group norm, GELU, three times."""

    def __init__(self, n_filters: int):
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(1 if k == 0 else n_filters, n_filters, width, padding=width // 2,
                      stride=STRIDE if k == 0 else 1)
            for k, width in enumerate(_KERNELS))
        self.norms = nn.ModuleList(nn.GroupNorm(_GROUPS, n_filters) for _ in _KERNELS)

    def forward(
        self, patches: Float[Tensor, "batch patch sample"], seen: Bool[Tensor, "batch patch"]
    ) -> Float[Tensor, "batch patch dim"]:
        dtype = self.convolutions[0].weight.dtype
        x = patches.to(dtype).flatten(0, 1)[:, None]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = convolution(x).unflatten(0, seen.shape)
            x = F.gelu(normed(norm, x, seen)).to(dtype).flatten(0, 1)
        return x.transpose(1, 2).flatten(1).unflatten(0, seen.shape)  # filters vary fastest


def normed(
    norm: nn.GroupNorm, x: Float[Tensor, "batch patch filter sample"],
    seen: Bool[Tensor, "batch patch"],
) -> Float[Tensor, "batch patch filter sample"]:
    """Group norm over all patches of a window together, as published: how loud an electrode is
    beside the others survives. Of what is seen only, float32."""
    groups = x.float().unflatten(2, (norm.num_groups, -1))
    n = seen.sum(dim=1).clamp(min=1) * groups.shape[3] * groups.shape[4]
    weight = (seen / n[:, None])[:, :, None, None, None]
    mean = (groups * weight).sum(dim=(1, 3, 4), keepdim=True)
    spread = (torch.square(groups - mean) * weight).sum(dim=(1, 3, 4), keepdim=True)
    flat = ((groups - mean) * torch.rsqrt(spread + norm.eps)).flatten(2, 3)
    return flat * norm.weight[:, None] + norm.bias[:, None]


class NormedAttention(nn.Module):
    """Self-attention whose queries and keys are layer-normed in each head."""

    def __init__(self, dim: int, n_heads: int, qkv_bias: bool):
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        if qkv_bias:  # keys have none, as published
            self.query_bias, self.value_bias = (nn.Parameter(torch.zeros(dim)) for _ in range(2))
        self.qkv_bias = qkv_bias
        self.norm_query, self.norm_key = (nn.LayerNorm(dim // n_heads, eps=1e-6) for _ in range(2))
        self.out = nn.Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, "batch token dim"], seen: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "batch token dim"]:
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        if self.qkv_bias:
            query, value = query + self.query_bias, value + self.value_bias
        heads = (self.n_heads, -1)
        query = self.norm_query(query.unflatten(-1, heads)).flatten(-2).to(value.dtype)
        key = self.norm_key(key.unflatten(-1, heads)).flatten(-2).to(value.dtype)
        return self.out(attend(query, key, value, self.n_heads, seen))


class LaBraMBlock(nn.Module):
    """Pre-norm attention and feed-forward, each added times a learned scale of every feature.

    layer_scale: where that scale starts; 0 = there is none. drop_path: how often, in training, a
    window goes past either of them.
    """

    def __init__(self, dim: int, n_heads: int, expansion: float, layer_scale: float,
                 qkv_bias: bool, drop_path: float):
        super().__init__()
        self.norm_attention, self.norm_feedforward = (nn.LayerNorm(dim, eps=1e-6)
                                                      for _ in range(2))
        self.attention = NormedAttention(dim, n_heads, qkv_bias)
        self.up = nn.Linear(dim, int(expansion * dim))
        self.down = nn.Linear(int(expansion * dim), dim)
        self.scaled, self.drop_path = layer_scale > 0, drop_path
        if self.scaled:
            self.scale_attention, self.scale_feedforward = (
                nn.Parameter(torch.full((dim,), layer_scale)) for _ in range(2))

    def forward(
        self, x: Float[Tensor, "batch token dim"], seen: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "batch token dim"]:
        y = self.attention(self.norm_attention(x), seen)
        x = x + self._sometimes(self.scale_attention * y if self.scaled else y)
        y = self.down(F.gelu(self.up(self.norm_feedforward(x))))
        return x + self._sometimes(self.scale_feedforward * y if self.scaled else y)

    def _sometimes(self, y: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token dim"]:
        if not self.training or self.drop_path == 0:
            return y
        stays = torch.rand(len(y), 1, 1, device=y.device) >= self.drop_path
        return y * stays / (1 - self.drop_path)


class LaBraMEncoder(nn.Module):
    """Signals (in units of 100 µV) and the row of each electrode → tokens.

    drop_path: of the last block, see `LaBraMBlock`; it grows from 0 at the first.
    """

    def __init__(self, patch: int, n_filters: int, dim: int, n_blocks: int, n_heads: int,
                 expansion: float = 4.0, layer_scale: float = 0.1, qkv_bias: bool = False,
                 drop_path: float = 0.0):
        super().__init__()
        self.patch = patch
        self.patches = PatchConvolutions(n_filters)
        self.class_token = nn.Parameter(0.02 * torch.randn(dim))
        self.electrode = nn.Parameter(0.02 * torch.randn(N_ROWS, dim))
        self.second = nn.Parameter(0.02 * torch.randn(N_SECONDS, dim))
        self.blocks = nn.ModuleList(
            LaBraMBlock(dim, n_heads, expansion, layer_scale, qkv_bias,
                        drop_path * k / max(1, n_blocks - 1))
            for k in range(n_blocks))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(
        self, signal: Float[Tensor, "batch channel time"], rows: Int[Tensor, "batch channel"]
    ) -> Float[Tensor, "batch token dim"]:
        """Tokens, the class token first, then the seconds of the first channel, of the next …

        rows: of the table of electrodes; −1 = this channel is not looked at (`pooled` and `normed`
        leave its tokens out).
        """
        n, rest = divmod(signal.shape[-1], self.patch)
        if rest or not 1 <= n <= N_SECONDS:
            raise ValueError(f"LaBraM reads 1 to {N_SECONDS} whole patches of {self.patch} samples "
                             f"(seconds, at the 200 Hz it was trained on), got windows of "
                             f"{signal.shape[-1]} samples: cut them to a multiple of {self.patch}")
        seen = (rows > 0)[..., None].expand(-1, -1, n)
        patches = signal.unflatten(-1, (n, self.patch)).masked_fill(~seen[..., None], 0.0)
        x = self.patches(patches.flatten(1, 2), seen.flatten(1)).unflatten(1, seen.shape[1:])
        x = x + self.electrode[rows.clamp(min=0)][:, :, None] + self.second[:n]
        first = (self.class_token + self.electrode[0]).expand(len(x), 1, -1)
        x = torch.cat([first, x.flatten(1, 2)], dim=1)
        mask = F.pad(seen.flatten(1), (1, 0), value=True)
        for block in self.blocks:
            x = block(x, mask)
        return x

    def pooled(
        self, tokens: Float[Tensor, "batch token dim"], rows: Int[Tensor, "batch channel"]
    ) -> Float[Tensor, "batch dim"]:
        """Mean over the patches of what is looked at, normed: the published feature."""
        patches = tokens[:, 1:].float().unflatten(1, (rows.shape[1], -1)).mean(dim=2)
        weight = (rows > 0) / (rows > 0).sum(dim=1, keepdim=True).clamp(min=1)
        return self.norm(torch.einsum("bc,bcd->bd", weight, patches).to(self.norm.weight.dtype))
