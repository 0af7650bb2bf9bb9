"""Random bits that are a function of a window's seed and of a place, and dropout by them.

The bits are those of MurmurHash3's finalizer (Appleby, public domain) of seed and place: no
generator has a state. So what is dropped or hidden in a window is the same on any device, in any
batch, in any number of processes, compiled or not, and nothing waits for a GPU.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

_ROUNDS = (-2048144789, -1028477387)  # of 32 bits, as torch writes them
_GOLDEN = -1640531527  # 2^32 / golden ratio, odd
_CHUNK = 1 << 16  # places at once on a CPU: they stay in the cache


def window_keys(
    seed: Int[Tensor, " batch"] | None, n_windows: int, n_keys: int, device: torch.device
) -> Int[Tensor, "key batch"]:
    """Keys of windows, int32: `n_keys` of each, for as many uses.

    Parameters
    ----------
    seed
        Seeds of the windows; None = torch's global generator draws them.
    n_windows
        Number of windows.
    n_keys
        Number of uses, such as layers with dropout.
    device
        Where the keys are wanted.

    Returns
    -------
    Tensor
        `[key, batch]`.
    """
    if seed is None:
        seed = torch.randint(2**62, (n_windows,))
    seed = seed.to(device)
    use = torch.arange(1, n_keys + 1, dtype=torch.int32, device=device)[:, None]
    low, high = seed.to(torch.int32), (seed >> 32).to(torch.int32)
    return _mixed(_mixed(low + use * _GOLDEN) ^ high)


def _mixed(x: Int[Tensor, "*place"]) -> Int[Tensor, "*place"]:
    """Each number becomes another one, 1 to 1, all bits of which depend on all bits of it."""
    # Masks: torch's shift to the right copies the sign.
    x = (x ^ (x >> 16 & 0xFFFF)) * _ROUNDS[0]
    x = (x ^ (x >> 13 & 0x7FFFF)) * _ROUNDS[1]
    return x ^ (x >> 16 & 0xFFFF)


def bits(key: Int[Tensor, " batch"], n: int) -> Int[Tensor, "batch n"]:
    """32 random bits for each of `n` places of each window."""
    place = torch.arange(n, dtype=torch.int32, device=key.device) * _GOLDEN
    return _mixed(place + key[:, None])


def normal(key: Int[Tensor, " batch"], n: int) -> Float[Tensor, "batch n"]:
    """Normally distributed numbers (Box and Muller), for each of `n` places of each window."""
    uniform = (bits(key, 2 * n).float() * 2.0**-32 + 0.5).clamp_(2.0**-33, 1.0)
    first, second = uniform.unflatten(1, (n, 2)).unbind(-1)
    return (-2 * first.log()).sqrt_() * (2 * torch.pi * second).cos_()


def kept(key: Int[Tensor, " batch"], n: int, share: float) -> Bool[Tensor, "batch n"]:
    """False at a share of `n` places of each window, True elsewhere; 16 bits decide."""
    least = round(share * 2**16) - 2**15
    # A subclass is a fake tensor, which has a shape and no values.
    if key.device.type == "cpu" and type(key) is Tensor and not torch.compiler.is_compiling():
        return _kept_in_chunks(key, n, least)
    place = torch.arange(n, dtype=torch.int32, device=key.device)
    both = _mixed((place >> 1) * _GOLDEN + key[:, None])
    # The low half of 32 bits at even places, the high half at odd ones, each with its sign.
    return torch.where(place % 2 == 0, (both << 16) >> 16, both >> 16) >= least


def _kept_in_chunks(key: Int[Tensor, " batch"], n: int, least: int) -> Bool[Tensor, "batch n"]:
    """The same, in passes over what stays in the cache."""
    found = torch.empty(len(key), n, dtype=torch.bool)
    step = torch.arange(min(_CHUNK, -(-n // 2)), dtype=torch.int32) * _GOLDEN
    room = torch.empty(2, len(step), dtype=torch.int32)
    for row, one in enumerate(key.numpy().tolist()):
        for start in range(0, n, 2 * len(step)):
            part = found[row, start : start + 2 * len(step)]
            half = -(-len(part) // 2)
            x, shifted = room[:, :half]
            torch.add(step[:half], _wrapped(one + start // 2 * _GOLDEN), out=x)
            for by, factor in ((16, _ROUNDS[0]), (13, _ROUNDS[1]), (16, 1)):
                torch.bitwise_right_shift(x, by, out=shifted).bitwise_and_(2 ** (32 - by) - 1)
                x.bitwise_xor_(shifted)
                if factor != 1:
                    x.mul_(factor)
            torch.ge(x.view(torch.int16)[: len(part)], least, out=part)
    return found


def _wrapped(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31


def drop(
    x: Float[Tensor, "*rows last"], key: Int[Tensor, " batch"], share: float
) -> Float[Tensor, "*rows last"]:
    """0 at a share of all places of each window; the others are not scaled up by 1 / (1 − share).

    x: windows one after another, each of as many rows.
    """
    return x * kept(key, x.numel() // len(key), share).view(x.shape).to(x.dtype)


def drop_at(
    x: Float[Tensor, "*rows last"], key: Int[Tensor, " batch"], share: float
) -> Float[Tensor, "*rows last"]:
    """As `drop`, scaled up. A number's fate depends on its place along each axis and not on the
    axes' lengths, so padding of a batch changes nothing.

    x: windows one after another, each of as many rows.
    """
    rows = torch.arange(x.shape[0] // len(key), dtype=torch.int32, device=x.device)
    key = _mixed(key[:, None] + rows * _GOLDEN).flatten()
    for length in x.shape[1:-1]:
        place = torch.arange(length, dtype=torch.int32, device=x.device)
        key = _mixed(key[..., None] + place * _GOLDEN)
    pair = torch.arange(-(-x.shape[-1] // 2), dtype=torch.int32, device=x.device)
    both = _mixed(key[..., None] + pair * _GOLDEN)
    halves = torch.stack([(both << 16) >> 16, both >> 16], dim=-1).flatten(-2)
    left = halves[..., : x.shape[-1]] >= round(share * 2**16) - 2**15
    return torch.where(left, x, 0) / (1 - share)


class Dropout(nn.Module):
    """Dropout whose numbers come from seeds of the windows, once `seed_dropout` has told them; else
    torch's own.

    Parameters
    ----------
    share
        Share of the numbers that become 0 in training.
    n_uses
        How often a model calls it in a pass; `forward` is told which time it is.
    """

    def __init__(self, share: float, n_uses: int = 1):
        super().__init__()
        self.share, self.n_uses = share, n_uses
        self.keys: Tensor | None = None  # [use, batch]

    @property
    def active(self) -> bool:
        """Whether anything is dropped."""
        return self.training and self.share > 0

    def forward(self, x: Float[Tensor, "*rows last"], use: int = 0) -> Float[Tensor, "*rows last"]:
        """x: windows one after another, each of as many rows."""
        if not self.active:
            return x
        if self.keys is None:
            return F.dropout(x, self.share)
        return drop_at(x, self.keys[use], self.share)


def seed_dropout(
    model: nn.Module, seed: Int[Tensor, " batch"] | None, n_windows: int, device: torch.device
) -> None:
    """Tell every `Dropout` inside the seeds of the windows that come next; None = they are as
    random as torch's generator.

    Parameters
    ----------
    model
        The model.
    seed
        Seeds of the windows.
    n_windows
        Number of windows.
    device
        Where they are computed.
    """
    layers = [each for each in model.modules() if isinstance(each, Dropout) and each.active]
    if not layers:
        return
    keys = window_keys(seed, n_windows, sum(each.n_uses for each in layers), device)
    for layer, part in zip(layers, keys.split([each.n_uses for each in layers]), strict=True):
        layer.keys = part
