"""How the numbers of a window are kept on disk: float32, float16 or int16 with a scale a channel.

A window is float32 `[channel, time]` for whoever reads it, however it is kept.

- float16: the numbers, rounded to 11 binary digits.
- int16: `n` (uint32), the scale of each of n channels (float32), and the numbers divided by it. A
  scale is a power of two, so decoding is exact, and what was decoded is encoded to the same bytes.
  An error is at most 1/32767 of the largest number of the channel in the window. NaN (a volume that
  was not measured) is -32768.
"""

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np

Storage = Literal["float32", "float16", "int16"]
_LARGEST, _NAN = 32767, -32768
_LEAST_FLOAT16 = 1e-3  # smaller ones would lose digits: float16 has none below 6e-8


def check(storage: str, scale: str) -> None:
    """Whether numbers of a contract can be kept so.

    Parameters
    ----------
    storage
        How numbers are kept.
    scale
        Of the contract: what its numbers are divided by, "none" = they keep their unit.

    Raises
    ------
    ValueError
        float16 for numbers of a unit, such as volts, which it cannot hold.
    """
    if storage not in get_args(Storage):
        raise ValueError(f"storage: wanted one of {', '.join(get_args(Storage))}, got {storage!r}")
    if storage == "float16" and scale == "none":
        raise ValueError("storage float16 holds numbers of about 1, but the contract's scale is "
                         "none, so that they keep their unit (volts, tesla or that of the image): "
                         "take storage int16, which has a scale a channel, or float32")


def encode(signal: np.ndarray, storage: str) -> np.ndarray:
    """A window as it is kept.

    Parameters
    ----------
    signal
        `[channel, time]`.
    storage
        "float16" or "int16".

    Returns
    -------
    ndarray
        float16 `[channel, time]`, or bytes.

    Raises
    ------
    ValueError
        It holds numbers that cannot be kept so.
    """
    signal = np.asarray(signal, dtype=np.float32)
    largest = np.nanmax(np.abs(signal), axis=1, initial=0.0)
    if not np.isfinite(largest).all():
        raise ValueError(f"wanted finite numbers or NaN to store as {storage}, got infinite ones")
    if storage == "float16":
        if largest.max(initial=0.0) > np.finfo(np.float16).max or (
                0 < largest.max(initial=0.0) < _LEAST_FLOAT16):
            raise ValueError(f"wanted numbers of about 1 to store as float16, got up to "
                             f"{largest.max():.3g}: take storage int16 or float32")
        return signal.astype(np.float16)
    exponent = np.ceil(np.log2(np.maximum(largest, 1e-30).astype(np.float64) / _LARGEST))
    scale = np.exp2(np.maximum(exponent, -126)).astype(np.float32)
    with np.errstate(invalid="ignore"):
        codes = np.rint(signal / scale[:, None])
    codes[np.isnan(signal)] = _NAN
    return np.concatenate([np.array([len(signal)], np.uint32).view(np.uint8),
                           scale.view(np.uint8), codes.astype(np.int16).reshape(-1).view(np.uint8)])


def error(signals: Iterable[np.ndarray], storage: str) -> float:
    """What storing costs.

    Parameters
    ----------
    signals
        Windows, each `[channel, time]`.
    storage
        "float16" or "int16".

    Returns
    -------
    float
        RMS of the error over RMS of the signal, of the channel and window where it is largest.
    """
    worst = 0.0
    for signal in signals:
        kept = encode(signal, storage).reshape(-1).view(np.uint8)
        wrong = decode(kept, storage).reshape(signal.shape) - signal
        measured = ~np.isnan(signal)
        power, loss = (np.sum(np.square(each, dtype=np.float64), axis=1, where=measured)
                       for each in (signal, wrong))
        worst = max(worst, float(np.sqrt(loss / np.where(power > 0, power, np.inf)).max()))
    return float(f"{worst:.3g}")


def decode(kept: np.ndarray, storage: str) -> np.ndarray:
    """A window out of what is kept.

    Parameters
    ----------
    kept
        uint8.
    storage
        "float16" or "int16".

    Returns
    -------
    ndarray
        float32, flat.

    Raises
    ------
    ValueError
        It was kept in a way that is not known, or is damaged.
    """
    if storage == "float16":
        return kept.view(np.float16).astype(np.float32)
    if storage != "int16":
        raise ValueError(f"windows are stored as {storage!r}, this neurofm reads "
                         f"{', '.join(get_args(Storage))}: install a newer neurofm")
    n = int(kept[:4].view(np.uint32)[0])
    scale = kept[4 : 4 + 4 * n].view(np.float32)
    codes = kept[4 + 4 * n :].view(np.int16).reshape(n, -1)
    signal = codes.astype(np.float32)
    if codes.size and codes.min() == _NAN:
        signal[codes == _NAN] = np.nan
    signal *= scale[:, None]
    return signal.reshape(-1)
