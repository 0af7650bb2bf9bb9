"""SEANet encoder and decoder: strided convolutions with weight norm, residual units, an LSTM.

Sources: SEANet (arXiv 2009.02095) as EnCodec arranges it (arXiv 2210.13438, sec. 3.1), with the
choices of BrainTokenizer (arXiv 2505.18185): one input channel, non-causal reflect padding, a
convolution on the skip path of residual units, a 2-layer unidirectional LSTM with a skip.

Time is short and features are narrow, so the network is bound by memory, not by arithmetic: on a
CPU without gradients rows are taken in chunks whose activations stay in the cache.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

CPU_CHUNK = 64


def reflect_pad(x: Float[Tensor, "n dim time"], left: int, right: int) -> Float[Tensor, "n dim _"]:
    """Reflect at both ends. A signal shorter than the padding is first lengthened by zeros, which
    are cut off again (EnCodec's rule; torch alone refuses)."""
    lacking = max(left, right) + 1 - x.shape[-1]
    if lacking > 0:
        x = F.pad(F.pad(x, (0, lacking)), (left, right), mode="reflect")
        return x[..., : x.shape[-1] - lacking]
    return F.pad(x, (left, right), mode="reflect") if left or right else x


class _WeightNormed(nn.Module):
    """weight = gain · direction / ‖direction‖, norms over all but the first axis
    (arXiv 1602.07868)."""

    def __init__(self, shape: tuple[int, int, int], n_out: int):
        super().__init__()
        self.direction = nn.Parameter(torch.empty(shape))
        nn.init.kaiming_uniform_(self.direction, a=5**0.5)
        self.gain = nn.Parameter(_norm(self.direction.detach()))
        bound = (shape[1] * shape[2]) ** -0.5
        self.bias = nn.Parameter(torch.empty(n_out).uniform_(-bound, bound))
        self.folded: Tensor | None = None

    def weight(self) -> Tensor:
        if self.folded is not None:
            return self.folded
        return self.direction * (self.gain / _norm(self.direction))


def _norm(direction: Float[Tensor, "i j k"]) -> Float[Tensor, "i 1 1"]:
    return torch.linalg.vector_norm(direction, dim=(1, 2), keepdim=True)


class Conv(_WeightNormed):
    """Convolution whose output has ceil(time / stride) samples, reflect-padded."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1):
        super().__init__((n_out, n_in, kernel), n_out)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Float[Tensor, "n n_in time"]) -> Float[Tensor, "n n_out frame"]:
        total = self.kernel - self.stride
        right = total // 2
        fill = -x.shape[-1] % self.stride
        x = reflect_pad(x, total - right, right + fill)
        return F.conv1d(x, self.weight(), self.bias, stride=self.stride)


class TransposedConv(_WeightNormed):
    """The mirror of a strided `Conv`: time · stride samples come out."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int):
        super().__init__((n_in, n_out, kernel), n_out)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Float[Tensor, "n n_in frame"]) -> Float[Tensor, "n n_out time"]:
        x = F.conv_transpose1d(x, self.weight(), self.bias, stride=self.stride)
        total = self.kernel - self.stride
        right = total // 2
        return x[..., total - right : x.shape[-1] - right]


class ELU(nn.Module):
    """ELU, in place where no gradient is wanted: it saves a pass through memory."""

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(x, inplace=not torch.is_grad_enabled())


class ResidualUnit(nn.Module):
    """skip(x) + conv1(ELU(conv3(ELU(x)))), half as wide inside, with a convolution as the skip."""

    def __init__(self, dim: int):
        super().__init__()
        self.wide = Conv(dim, dim // 2, kernel=3)
        self.narrow = Conv(dim // 2, dim, kernel=1)
        self.skip = Conv(dim, dim, kernel=1)
        self.elu = ELU()

    def forward(self, x: Float[Tensor, "n dim time"]) -> Float[Tensor, "n dim time"]:
        skipped = self.skip(x)  # before ELU, which may overwrite x
        return skipped + self.narrow(self.elu(self.wide(self.elu(x))))


class SkipLSTM(nn.Module):
    """x + LSTM(x) over time: two layers, forward in time only."""

    def __init__(self, dim: int, n_layers: int = 2):
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, n_layers)

    def forward(self, x: Float[Tensor, "n dim frame"]) -> Float[Tensor, "n dim frame"]:
        steps = x.permute(2, 0, 1)
        return (steps + self.lstm(steps)[0]).permute(1, 2, 0)


class _InChunks(nn.Module):
    """Runs `self.layers` over the rows of its input, in chunks that fit the cache."""

    layers: nn.Sequential

    def _run(self, x: Float[Tensor, "n dim_in time"]) -> Float[Tensor, "n dim_out _"]:
        if torch.is_grad_enabled() or x.device.type != "cpu" or len(x) <= CPU_CHUNK:
            return self.layers(x)
        with folded_weights(self.layers):
            return torch.cat([self.layers(chunk) for chunk in x.split(CPU_CHUNK)])


@contextmanager
def folded_weights(module: nn.Module) -> Iterator[None]:
    """Inside, the weight-normed layers of `module` keep their weight instead of recomputing it."""
    layers = [m for m in module.modules() if isinstance(m, _WeightNormed)]
    for layer in layers:
        layer.folded = layer.weight().detach()
    try:
        yield
    finally:
        for layer in layers:
            layer.folded = None


class SEANetEncoder(_InChunks):
    """Signals [n, time] → features [n, frame, dim], frame = time / product of `ratios`.

    `ratios` are listed as the decoder applies them; the encoder strides in reverse order.
    """

    def __init__(
        self, dim: int, n_filters: int, ratios: list[int], kernel: int, last_kernel: int
    ):
        super().__init__()
        width = n_filters
        layers: list[nn.Module] = [Conv(1, width, kernel)]
        for ratio in reversed(ratios):
            layers += [ResidualUnit(width), ELU(), Conv(width, 2 * width, 2 * ratio, ratio)]
            width *= 2
        layers += [SkipLSTM(width), ELU(), Conv(width, dim, last_kernel)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "n time"]) -> Float[Tensor, "n frame dim"]:
        return self._run(x[:, None]).transpose(1, 2)


class SEANetDecoder(_InChunks):
    """Features [n, frame, dim] → signals [n, frame × product of `ratios`]."""

    def __init__(
        self, dim: int, n_filters: int, ratios: list[int], kernel: int, last_kernel: int
    ):
        super().__init__()
        width = n_filters * 2 ** len(ratios)
        layers: list[nn.Module] = [Conv(dim, width, kernel), SkipLSTM(width)]
        for ratio in ratios:
            layers += [ELU(), TransposedConv(width, width // 2, 2 * ratio, ratio)]
            width //= 2
            layers += [ResidualUnit(width)]
        layers += [ELU(), Conv(width, 1, last_kernel)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "n frame dim"]) -> Float[Tensor, "n time"]:
        return self._run(x.transpose(1, 2))[:, 0]
