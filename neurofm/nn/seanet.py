"""SEANet encoder and decoder: strided convolutions with weight norm, residual units, an LSTM.

Sources: SEANet (arXiv 2009.02095) as EnCodec arranges it (arXiv 2210.13438, sec. 3.1), with the
choices of BrainTokenizer (arXiv 2505.18185): one input channel, non-causal reflect padding, a
convolution on the skip path of residual units, a 2-layer unidirectional LSTM with a skip.

Features are the last axis, [n, time, dim], all the way: convolutions of width 1 are then plain
matrix products and the others run in the layout that CPUs and GPUs convolve fastest. On a CPU
without gradients rows are taken in chunks whose activations stay in the cache, for the network is
bound by memory more than by arithmetic.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

# Numbers of the widest layer at once: 32 rows of the published sizes. Twice as many already
# overflow the second-level cache and fault pages in.
CPU_CHUNK = 32 * 32 * 512


def reflect_pad(x: Float[Tensor, "n time dim"], left: int, right: int) -> Float[Tensor, "n _ dim"]:
    """Reflect at both ends of time. A signal shorter than the padding is first lengthened by
    zeros, which are cut off again (EnCodec's rule; torch alone refuses)."""
    if not (left or right):
        return x
    lacking = max(0, max(left, right) + 1 - x.shape[1])
    x = F.pad(x, (0, 0, 0, lacking)) if lacking else x
    end = x.shape[1] - 1
    before, after = x[:, 1 : left + 1].flip(1), x[:, end - right : end].flip(1)
    x = torch.cat([before, x, after], dim=1)
    return x[:, : x.shape[1] - lacking]


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

    def weight(self) -> Float[Tensor, "i j kernel"]:
        if self.folded is not None:
            return self.folded
        return self.direction * (self.gain / _norm(self.direction))


def _norm(direction: Float[Tensor, "i j k"]) -> Float[Tensor, "i 1 1"]:
    return torch.linalg.vector_norm(direction, dim=(1, 2), keepdim=True)


def _as_image(x: Float[Tensor, "n time dim"]) -> Float[Tensor, "n dim 1 time"]:
    """A view that two-dimensional convolutions take as "channels last", without a copy."""
    return x.transpose(1, 2).unsqueeze(2)


class Conv(_WeightNormed):
    """Convolution whose output has ceil(time / stride) samples, reflect-padded."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1):
        super().__init__((n_out, n_in, kernel), n_out)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Float[Tensor, "n time n_in"]) -> Float[Tensor, "n frame n_out"]:
        if self.kernel == 1 and self.stride == 1:
            return F.linear(x, self.weight()[:, :, 0], self.bias)
        total = self.kernel - self.stride
        right = total // 2
        fill = -x.shape[1] % self.stride
        x = _as_image(reflect_pad(x, total - right, right + fill))
        x = F.conv2d(x, self.weight().unsqueeze(2), self.bias, stride=(1, self.stride))
        return x.squeeze(2).transpose(1, 2)


class TransposedConv(_WeightNormed):
    """The mirror of a strided `Conv`: time · stride samples come out."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int):
        super().__init__((n_in, n_out, kernel), n_out)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Float[Tensor, "n frame n_in"]) -> Float[Tensor, "n time n_out"]:
        total = self.kernel - self.stride
        right = total // 2  # cut off at both ends, and one sample more on the left if total is odd
        x = F.conv_transpose2d(_as_image(x), self.weight().unsqueeze(2), self.bias,
                               stride=(1, self.stride), padding=(0, right))
        return x.squeeze(2).transpose(1, 2)[:, total - 2 * right :]


class ELU(nn.Module):
    """x above 0, exp(x) − 1 below."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.device.type != "cpu":
            return F.elu(x)
        # In place, as exp(x) − 1 > x below 0: torch's own takes almost twice as long here.
        return torch.maximum(x, x.clamp(max=0).exp_().sub_(1), out=x)


class ResidualUnit(nn.Module):
    """skip(x) + conv1(ELU(conv3(ELU(x)))), half as wide inside, with a convolution as the skip."""

    def __init__(self, dim: int):
        super().__init__()
        self.wide = Conv(dim, dim // 2, kernel=3)
        self.narrow = Conv(dim // 2, dim, kernel=1)
        self.skip = Conv(dim, dim, kernel=1)
        self.elu = ELU()

    def forward(self, x: Float[Tensor, "n time dim"]) -> Float[Tensor, "n time dim"]:
        skipped = self.skip(x)  # before ELU, which may overwrite x
        return skipped + self.narrow(self.elu(self.wide(self.elu(x))))


class SkipLSTM(nn.Module):
    """x + LSTM(x) over time: two layers, forward in time only."""

    def __init__(self, dim: int, n_layers: int = 2):
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, n_layers)

    def forward(self, x: Float[Tensor, "n frame dim"]) -> Float[Tensor, "n frame dim"]:
        return x + self.lstm(x.transpose(0, 1))[0].transpose(0, 1)


class _InChunks(nn.Module):
    """Runs `self.layers` over the rows of its input, in chunks that fit the cache."""

    layers: nn.Sequential
    widest: int  # numbers of the widest layer for each sample or frame of the input

    def _run(self, x: Float[Tensor, "n time dim_in"]) -> Float[Tensor, "n _ dim_out"]:
        # In an export the number of rows is not known.
        if torch.is_grad_enabled() or torch.compiler.is_exporting() or x.device.type != "cpu":
            return self.layers(x)
        rows = max(1, CPU_CHUNK // (x.shape[1] * self.widest))
        with folded_weights(self.layers):
            return torch.cat([self.layers(chunk) for chunk in x.split(rows)])


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
        width = self.widest = n_filters
        layers: list[nn.Module] = [Conv(1, width, kernel)]
        for ratio in reversed(ratios):
            layers += [ResidualUnit(width), ELU(), Conv(width, 2 * width, 2 * ratio, ratio)]
            width *= 2
        layers += [SkipLSTM(width), ELU(), Conv(width, dim, last_kernel)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "n time"]) -> Float[Tensor, "n frame dim"]:
        return self._run(x[..., None])


class SEANetDecoder(_InChunks):
    """Features [n, frame, dim] → signals [n, frame × product of `ratios`]."""

    def __init__(
        self, dim: int, n_filters: int, ratios: list[int], kernel: int, last_kernel: int
    ):
        super().__init__()
        width, self.widest = n_filters * 2 ** len(ratios), n_filters * math.prod(ratios)
        layers: list[nn.Module] = [Conv(dim, width, kernel), SkipLSTM(width)]
        for ratio in ratios:
            layers += [ELU(), TransposedConv(width, width // 2, 2 * ratio, ratio)]
            width //= 2
            layers += [ResidualUnit(width)]
        layers += [ELU(), Conv(width, 1, last_kernel)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "n frame dim"]) -> Float[Tensor, "n time"]:
        # Autocast is off: with it the tokenizer of `neurofm demo`, trained in bf16, reconstructs
        # validation people at r .70, without it at .84; trained in float32, at .85.
        with torch.autocast(x.device.type, enabled=False):
            return self._run(x.to(next(self.parameters()).dtype))[..., 0]
