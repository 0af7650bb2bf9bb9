"""From sensors to latent sources and back by attention: BrainOmni's codec (arXiv 2505.18185, 3.1).

A *codec* turns windows of any sensor layout into features of a fixed number of sources, and back.
This one runs SEANet on every channel, then lets learned source queries attend over channels
("backward solution"); on the way back each sensor's embedding attends over sources ("forward
solution") and SEANet decodes every channel. Any codec has the two methods `encode` and `decode`
below with these shapes, and `source_embedding()`; `BrainTokenizer` knows nothing else of it.
"""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .attention import attend
from .dropout import Dropout
from .seanet import SEANetDecoder, SEANetEncoder
from .sensor_encoder import SensorEncoder


class BackwardSolution(nn.Module):
    """Sensors → sources, frame by frame: learned source queries attend over channels.

    Keys see what a channel carries and where it is, values only what it carries. There is no
    query projection and no order of channels.
    """

    def __init__(self, dim: int, n_sources: int, n_heads: int, dropout: float):
        super().__init__()
        self.n_heads, self.dropout = n_heads, Dropout(dropout)
        self.sources = nn.Parameter(torch.randn(n_sources, dim))
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "batch channel frame dim"],
        place: Float[Tensor, "batch channel dim"],
        visible: Bool[Tensor, "batch channel"],
    ) -> Float[Tensor, "batch source frame dim"]:
        b, _, t, _ = x.shape
        # key(x + place) = key(x) + weight · place, and place is the same in every frame
        k = self.key(x) + F.linear(place, self.key.weight)[:, :, None]
        k, v = (rearrange(y, "b c t d -> (b t) c d") for y in (k, self.value(x)))
        q = self.sources.expand(b * t, -1, -1)
        mask = repeat(visible, "b c -> (b t) c", t=t)
        y = self.out(attend(q, k, v, self.n_heads, mask, layer=self.dropout))
        return rearrange(y, "(b t) s d -> b s t d", t=t)


class ForwardSolution(nn.Module):
    """Sources → sensors, frame by frame: sensor embeddings attend over sources."""

    def __init__(self, dim: int, n_heads: int, dropout: float):
        super().__init__()
        self.n_heads, self.dropout = n_heads, Dropout(dropout)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "batch source frame dim"],
        place: Float[Tensor, "batch channel dim"],
    ) -> Float[Tensor, "batch channel frame dim"]:
        t = x.shape[2]
        k, v = self.key_value(rearrange(x, "b s t d -> (b t) s d")).chunk(2, dim=-1)
        q = repeat(place, "b c d -> (b t) c d", t=t)
        y = self.out(attend(q, k, v, self.n_heads, layer=self.dropout))
        return rearrange(y, "(b t) c d -> b c t d", t=t)


class AttentionCodec(nn.Module):
    """SEANet on every channel, attention between channels and sources.

    dim: width of features. n_sources: latent sources. n_heads: of both attentions.
    n_filters, ratios, kernel, last_kernel: of SEANet. kind_rows: see `SensorEncoder`.
    keeps_scale: False: what is decoded is z-scored, whatever the scale of what was encoded.
    """

    keeps_scale = False

    def __init__(
        self,
        dim: int,
        n_sources: int,
        n_heads: int,
        n_filters: int,
        ratios: list[int],
        kernel: int,
        last_kernel: int,
        kind_rows: tuple[int, ...],
        dropout: float = 0.0,
    ):
        super().__init__()
        self.sensors = SensorEncoder(dim, kind_rows)
        self.encoder = SEANetEncoder(dim, n_filters, ratios, kernel, last_kernel)
        self.backward_solution = BackwardSolution(dim, n_sources, n_heads, dropout)
        self.forward_solution = ForwardSolution(dim, n_heads, dropout)
        self.decoder = SEANetDecoder(dim, n_filters, ratios, kernel, last_kernel)

    def work(self, widths: np.ndarray) -> np.ndarray:
        """Work of windows by their channels; measured: in proportion."""
        return widths

    def source_embedding(self) -> Float[Tensor, "source dim"]:
        """What tells sources apart, for models that read tokens."""
        return self.backward_solution.sources

    def encode(
        self,
        windows: Float[Tensor, "batch channel window time"],
        geometry: Float[Tensor, "batch channel 6"],
        kind: Int[Tensor, "batch channel"],
        visible: Bool[Tensor, "batch channel"],
    ) -> Float[Tensor, "batch source window frame dim"]:
        """Only channels that are `visible` (real and not hidden) are looked at, let alone read."""
        b, c, w, _ = windows.shape
        windows = windows.to(self.source_embedding().dtype)
        if torch.compiler.is_exporting():  # a program cannot have as many rows as are visible
            rows = self.encoder(windows.flatten(0, 2))
            x = rows.reshape(b, c, -1, rows.shape[-1]) * visible[..., None, None]
        else:
            rows = self.encoder(windows[visible].flatten(0, 1))
            x = rows.new_zeros(b, c, w * rows.shape[1], rows.shape[2])
            x[visible] = rows.reshape(-1, *x.shape[2:])
        # A window with nothing visible would divide by zero: let it see its (zero) features.
        visible = visible | ~visible.any(dim=1, keepdim=True)
        x = self.backward_solution(x, self.sensors(geometry, kind), visible)
        return x.unflatten(2, (w, -1))

    def decode(
        self,
        features: Float[Tensor, "batch source window frame dim"],
        geometry: Float[Tensor, "batch channel 6"],
        kind: Int[Tensor, "batch channel"],
        valid: Bool[Tensor, "batch channel"],
    ) -> Float[Tensor, "batch channel window time"]:
        """Signals of all sensors; 0 where not `valid`."""
        w = features.shape[2]
        features = features.flatten(2, 3).to(self.source_embedding().dtype)
        x = self.forward_solution(features, self.sensors(geometry, kind))
        rows = x[valid]
        rows = self.decoder(rows.reshape(-1, rows.shape[1] // w, rows.shape[2]))
        signal = rows.new_zeros(*valid.shape, w, rows.shape[-1])
        signal[valid] = rows.reshape(-1, *signal.shape[2:])
        return signal
