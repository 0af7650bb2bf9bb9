"""NeuroBOLT's spectral branch: spectra at several resolutions, and a transformer whose cost grows
with the number of tokens, not with its square.

Source: "NeuroBOLT" (arXiv 2410.05341, sec. 3.2); linear attention from "Efficient Attention" (arXiv
1812.01243); details by weights and outputs of the reference. A scale cuts a channel in windows,
twice as long as those of the scale before; the magnitudes of a window become features, and the
windows of every scale are brought to the same steps in time, where scales are added.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .dropout import Dropout

EXPANSION = 4


class Scale(nn.Module):
    """Spectra of windows of one length, side by side, as features at steps in time."""

    def __init__(self, window: int, n_times: int, n_steps: int, dim: int):
        super().__init__()
        self.window = window
        self.spectrum = nn.Linear(window // 2 + 1, dim)
        self.over_time = nn.Linear(n_times // window, n_steps)

    def forward(
        self, signal: Float[Tensor, "batch channel time"]
    ) -> Float[Tensor, "batch channel step dim"]:
        windows = signal.float().unfold(-1, self.window, self.window)
        magnitude = torch.fft.rfft(windows).abs().to(self.spectrum.weight.dtype)
        return self.over_time(self.spectrum(magnitude).mT).mT


class LinearAttention(nn.Module):
    """Softmax of queries over features and of keys over tokens, so that tokens are summed up first
    and asked afterwards."""

    def __init__(self, dim: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key, self.value = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token dim"]:
        heads = (self.n_heads, -1)
        query, key, value = (part(x).unflatten(-1, heads).transpose(1, 2)
                             for part in (self.query, self.key, self.value))
        query = query.softmax(dim=-1) * query.shape[-1] ** -0.5
        summary = key.softmax(dim=-2).to(value.dtype).mT @ value
        return self.out((query.to(value.dtype) @ summary).transpose(1, 2).flatten(2))


class LinearBlock(nn.Module):
    """Pre-norm linear attention and feed-forward."""

    def __init__(self, dim: int, n_heads: int, dropout: float):
        super().__init__()
        self.norm_attention, self.norm_feedforward = (nn.LayerNorm(dim) for _ in range(2))
        self.attention = LinearAttention(dim, n_heads)
        self.up = nn.Linear(dim, EXPANSION * dim)
        self.down = nn.Linear(EXPANSION * dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token dim"]:
        x = x + self.dropout(self.attention(self.norm_attention(x)))
        return x + self.down(F.gelu(self.up(self.norm_feedforward(x))))


class SpectralBranch(nn.Module):
    """Signals (in units of 100 µV) of numbered channels → one vector of each window.

    shortest: samples of a window of the first scale, and of a step in time. Of longer windows, what
    does not fill one at the end of the signal is not looked at, as published.
    """

    def __init__(self, n_channels: int, n_times: int, dim: int, n_scales: int, n_blocks: int,
                 n_heads: int, dropout: float, shortest: int = 100):
        super().__init__()
        n_steps = n_times // shortest
        self.scales = nn.ModuleList(Scale(shortest * 2**k, n_times, n_steps, dim)
                                    for k in range(n_scales))
        self.channel = nn.Parameter(torch.randn(n_channels, dim))
        self.blocks = nn.ModuleList(LinearBlock(dim, n_heads, dropout) for _ in range(n_blocks))

    def forward(self, signal: Float[Tensor, "batch channel time"]) -> Float[Tensor, "batch dim"]:
        x = torch.stack([scale(signal) for scale in self.scales]).sum(dim=0)
        n, dim = x.shape[2:]
        x = x + self.channel[:, None] + sinusoids(n, dim, x.device).to(x.dtype)
        x = x.flatten(1, 2)
        for block in self.blocks:
            x = block(x)
        return x.mean(dim=1)


def sinusoids(n: int, dim: int, device=None) -> Float[Tensor, "n dim"]:
    """Positions as sines (even features) and cosines (odd ones), arXiv 1706.03762, sec. 3.5; by
    way of a logarithm, as the published table was made, whose last digits show far out."""
    even = torch.arange(0, dim, 2, device=device)
    angle = torch.arange(n, device=device)[:, None] * torch.exp(even * (-math.log(1e4) / dim))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
