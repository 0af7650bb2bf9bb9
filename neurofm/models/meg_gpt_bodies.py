"""The two bodies of MEG-GPT: tokens so far → features of each position (see `meg_gpt`).

"Patched" is the published one by its layer plan, channels by their number; "Causal" knows channels
by where they lie, and remembers.
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..nn.attention import SelfAttention
from ..nn.causal_attention import CausalAttention, Memory
from ..nn.dropout import Dropout
from ..nn.patched_attention import PatchedAttention, Plan
from ..nn.regions import PlacedRegions

if TYPE_CHECKING:
    from .meg_gpt import MEGGPTConfig

ACTIVATIONS = {"gelu": nn.GELU, "leaky_relu": nn.LeakyReLU, "relu": nn.ReLU}


def start_small(*layers: nn.Linear) -> None:
    """Mark layers that add to a residual stream (or end it): they start near 0, so that a deep
    model starts as a shallow one (see `MEGGPT._init_weights`).

    Parameters
    ----------
    *layers
        The layers.
    """
    for layer in layers:
        layer.starts_small = True


class Embedding(nn.Module):
    """Numbers → vectors of `dim`, by a table of another width where asked for."""

    def __init__(self, n: int, dim: int, width: int = 0):
        super().__init__()
        self.table = nn.Embedding(n, width or dim)
        self.project = nn.Linear(width, dim) if width not in (0, dim) else nn.Identity()

    def forward(self, number: Int[Tensor, "*place"]) -> Float[Tensor, "*place dim"]:
        return self.project(self.table(number))

    def of(self, number: Int[Tensor, " batch"] | None) -> Float[Tensor, "batch 1 1 dim"]:
        """Of each window, to be added to [batch, channel, time, dim]; None and −1 = the mean."""
        rows = self.project(self.table.weight)
        mean = rows.mean(dim=0)
        if number is None:
            return mean[None, None, None]
        chosen = torch.where((number < 0)[:, None], mean, rows[number.clamp_min(0)])
        return chosen[:, None, None]


class Patched(nn.Module):
    """The published body: channels are rows of their own."""

    def __init__(self, config: "MEGGPTConfig"):
        super().__init__()
        dim = config.dim
        self.token = Embedding(config.n_codes, dim, config.token_dim)
        self.position = Embedding(config.context, dim, config.position_dim)
        self.channel = Embedding(config.n_channels, dim, config.channel_dim)
        if config.n_sessions:
            self.session = Embedding(config.n_sessions, dim, config.session_dim)
        self.layers = nn.ModuleList(PatchedLayer(config, Plan(*layer)) for layer in config.plan)
        self.n_channels, self.context = config.n_channels, config.context

    def forward(self, labels, geometry=None, valid=None, session=None
                ) -> Float[Tensor, "batch channel written dim"]:
        batch, channels, n_times = labels.shape
        if channels != self.n_channels or n_times != self.context:
            raise ValueError(
                f"this model knows {self.n_channels} channels by their number and reads "
                f"{self.context} samples, got {channels} channels and {n_times} samples: give "
                f"those, or a model of body 'causal', which reads any"
            )
        x = (self.token(labels) + self.position.project(self.position.table.weight)
             + self.channel.project(self.channel.table.weight)[:, None])
        if hasattr(self, "session"):
            x = x + self.session.of(session)
        x = x.flatten(0, 1)
        for layer in self.layers:
            x = layer(x, channels)
        return x.unflatten(0, (batch, channels))


class PatchedLayer(nn.Module):
    """Attention and feed-forward, each added to the last positions."""

    def __init__(self, config: "MEGGPTConfig", plan: Plan):
        super().__init__()
        self.written, self.norm_first = plan.written, config.norm_first
        self.norm_attention, self.norm_feedforward = (nn.LayerNorm(config.dim) for _ in range(2))
        self.attention = PatchedAttention(config.dim, config.n_heads, plan)
        self.up = nn.Linear(config.dim, config.feedforward_dim)
        self.down = nn.Linear(config.feedforward_dim, config.dim)
        self.activation = ACTIVATIONS[config.activation]()
        self.dropout = Dropout(config.dropout, n_uses=4)
        start_small(self.attention.out, self.down)
        if config.channel_attention:
            self.norm_channels = nn.LayerNorm(config.dim)
            self.over_channels = SelfAttention(config.dim, config.n_heads, config.dropout)

    def forward(
        self, x: Float[Tensor, "row read dim"], channels: int
    ) -> Float[Tensor, "row written dim"]:
        """Rows are the channels of a window, then of the next."""
        if hasattr(self, "over_channels"):
            x = x + self.dropout(self._between(self.norm_channels(x), channels), 0)
        if not self.norm_first:
            x = self.norm_attention(x[:, -self.written :] + self.dropout(self.attention(x), 1))
            return self.norm_feedforward(x + self._fed(x))
        x = x[:, -self.written :] + self.dropout(self.attention(self.norm_attention(x)), 1)
        return x + self._fed(self.norm_feedforward(x))

    def _between(self, x: Float[Tensor, "row read dim"], channels: int):
        windows = x.unflatten(0, (-1, channels)).transpose(1, 2)  # window, time, channel
        seen = self.over_channels(windows.flatten(0, 1)).view(windows.shape)
        return seen.transpose(1, 2).flatten(0, 1)

    def _fed(self, x: Float[Tensor, "row written dim"]) -> Float[Tensor, "row written dim"]:
        return self.dropout(self.down(self.dropout(self.activation(self.up(x)), 2)), 3)


class Causal(nn.Module):
    """Channels at one time look at each other, then each at its own past."""

    def __init__(self, config: "MEGGPTConfig"):
        super().__init__()
        self.token = Embedding(config.n_codes, config.dim, config.token_dim)
        self.place = PlacedRegions(config.dim)
        # As large as what stands beside it in attention, so that channels are told apart by where
        # they lie from the first step on.
        self.norm_place = nn.RMSNorm(config.dim, eps=1e-6)
        if config.n_sessions:
            self.session = Embedding(config.n_sessions, config.dim, config.session_dim)
        self.blocks = nn.ModuleList(CausalBlock(config) for _ in range(config.n_blocks))
        self.norm = nn.RMSNorm(config.dim, eps=1e-6)

    def memory(self) -> list[Memory]:
        """An empty one of each block."""
        return [Memory(block.over_time.reach) for block in self.blocks]

    def forward(self, labels, geometry, valid=None, session=None, memory=None
                ) -> Float[Tensor, "batch channel time dim"]:
        """memory: of the labels before these, which are then added to it."""
        if valid is None:
            valid = torch.ones(labels.shape[:2], dtype=torch.bool, device=labels.device)
        place = self.place(geometry)
        x = self.token(labels) + place[:, :, None]
        if hasattr(self, "session"):
            x = x + self.session.of(session)
        place = self.norm_place(place)
        for k, block in enumerate(self.blocks):
            x = block(x, place, valid, None if memory is None else memory[k])
        return self.norm(x)


class CausalBlock(nn.Module):
    def __init__(self, config: "MEGGPTConfig"):
        super().__init__()
        self.norms = nn.ModuleList(nn.RMSNorm(config.dim, eps=1e-6) for _ in range(3))
        self.over_channels = SelfAttention(config.dim, config.n_heads, config.dropout)
        self.over_time = CausalAttention(config.dim, config.n_heads, config.context,
                                         config.dropout)
        self.up = nn.Linear(config.dim, config.feedforward_dim)
        self.down = nn.Linear(config.feedforward_dim, config.dim)
        self.activation = ACTIVATIONS[config.activation]()
        self.dropout = Dropout(config.dropout, n_uses=3)
        start_small(self.over_time.out, self.down)

    def forward(self, x: Float[Tensor, "batch channel time dim"], place, valid, memory=None):
        batch, channels, n_times, _ = x.shape
        y = self.norms[0](x) + place[:, :, None]  # who is asked, besides what it holds
        mask = valid | ~valid.any(dim=1, keepdim=True)
        mask = mask[:, None].expand(-1, n_times, -1).reshape(-1, channels)
        y = self.over_channels(y.transpose(1, 2).flatten(0, 1), None, mask)
        x = x + self.dropout(y.unflatten(0, (batch, n_times)).transpose(1, 2), 0)
        y = self.over_time(self.norms[1](x).flatten(0, 1), memory)
        x = x + self.dropout(y.unflatten(0, (batch, channels)), 1)
        return x + self.dropout(self.down(self.activation(self.up(self.norms[2](x)))), 2)
