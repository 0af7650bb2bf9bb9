"""Windows made worse: less band, fewer channels, another reference, noise, artifacts.

Of windows as a corpus keeps them: standardized and scaled. What is changed is referenced and scaled
again as the contract says, as a worse recording would be. Training draws such changes (`augment`);
a decoder is measured under them (`robustness.json`).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int8

from .contract import InputContract
from .sensors import KINDS, Sensors

LEAST_CHANNELS = 4
_TRANSITION = 0.25  # width of a low-pass over its edge, as MNE's automatic one
_BURST_S = 0.1  # length of an artifact
_BURST = (10.0, 30.0)  # its height, in standard deviations of the window
_POPS = 0.5  # share of artifacts that are of one electrode; the others are of a third of them

Signal = Float32[np.ndarray, "channel time"]
Change = Callable[[int, np.ndarray, Sensors], tuple[np.ndarray, Sensors]]  # of a window, by number


def lowpassed(signal: Signal, sfreq: float, edge_hz: float) -> Signal:
    """Zero-phase low-pass.

    The ends are continued by their point reflection, so that no step is filtered.

    Parameters
    ----------
    signal
        A window.
    sfreq
        Sampling rate, Hz.
    edge_hz
        Highest frequency that is kept, Hz.

    Returns
    -------
    ndarray
        A copy.
    """
    n = signal.shape[1]
    reach = min(n - 1, round(sfreq))
    first, last = signal[:, :1], signal[:, -1:]
    longer = np.concatenate([2 * first - signal[:, reach:0:-1], signal,
                             2 * last - signal[:, -2:-reach - 2:-1]], axis=1)
    frequency = np.fft.rfftfreq(longer.shape[1], 1 / sfreq)
    over = np.clip((frequency - edge_hz) / (_TRANSITION * edge_hz), 0, 1)
    gain = (1 + np.cos(np.pi * over)) / 2
    filtered = np.fft.irfft(np.fft.rfft(longer) * gain, longer.shape[1])
    return filtered[:, reach : reach + n].astype(np.float32)


def fewer(kind: Int8[np.ndarray, " channel"], n: int, rng: np.random.Generator) -> np.ndarray:
    """Which channels stay: n of them, at random, in their order; of each kind one at least.

    Parameters
    ----------
    kind
        Kind of each channel.
    n
        Channels to keep; at least `LEAST_CHANNELS` stay.
    rng
        Draws.

    Returns
    -------
    ndarray
        Numbers of channels, ascending.
    """
    n = min(max(n, LEAST_CHANNELS), len(kind))
    order = rng.permutation(len(kind))
    ones = {kind[row]: row for row in order[::-1]}.values()  # the first of each kind
    rest = [row for row in order if row not in ones]
    return np.sort([*ones, *rest][: max(n, len(ones))])


def rereferenced(signal: Signal, sensors: Sensors, rows: np.ndarray) -> Signal:
    """Minus the mean of some sensors of each kind, at every sample.

    As in preprocessing, a difference of two electrodes has no reference: it stays as it is, and is
    left out of the mean. Parcels have none either.

    Parameters
    ----------
    signal
        A window.
    sensors
        Of its channels.
    rows
        Numbers of the channels that are the reference; a kind with fewer than two stays.

    Returns
    -------
    ndarray
        A copy.
    """
    out = signal.copy()
    kind, single = sensors.kind, ~sensors.is_difference & (sensors.kind != KINDS.index("roi"))
    for each in np.unique(kind):
        all_ = (kind == each) & single
        own = rows[all_[rows]]
        if len(own) > 1:  # a channel that is its own reference would become zero
            out[all_] -= signal[own].mean(axis=0)
    return out


def noisy(signal: Signal, level: float, rng: np.random.Generator) -> Signal:
    """With white noise on every channel.

    Parameters
    ----------
    signal
        A window.
    level
        Standard deviation of the noise over that of its channel.
    rng
        Draws.

    Returns
    -------
    ndarray
        A copy.
    """
    white = rng.standard_normal(signal.shape, dtype=np.float32)
    return signal + np.float32(level) * signal.std(axis=1, keepdims=True) * white


def with_artifacts(
    signal: Signal, sfreq: float, share: float, rng: np.random.Generator
) -> Signal:
    """With pops of an electrode, or bursts on a third of the channels, of 0.1 s each.

    A pop is a step that decays; a burst is noise. Both are 10 to 30 standard deviations high.

    Parameters
    ----------
    signal
        A window.
    sfreq
        Sampling rate, Hz.
    share
        Share of samples inside an artifact, in the mean over windows.
    rng
        Draws.

    Returns
    -------
    ndarray
        A copy.
    """
    out, (n_channels, n_times) = signal.copy(), signal.shape
    length = max(1, min(n_times, round(_BURST_S * sfreq)))
    mean = share * n_times / length
    number = int(mean) + int(rng.random() < mean % 1)
    std = signal.std(axis=1, keepdims=True)
    for _ in range(number):
        begin = int(rng.integers(n_times - length + 1))
        height = float(rng.uniform(*_BURST)) * rng.choice([-1, 1])
        pop = rng.random() < _POPS
        rows = rng.permutation(n_channels)[: 1 if pop else max(1, n_channels // 3)]
        shape = (np.exp(-3 * np.arange(length) / length)[None] if pop
                 else rng.standard_normal((len(rows), length)))
        out[rows, begin : begin + length] += (height * std[rows] * shape).astype(np.float32)
    return out


def restored(
    signal: Signal, sensors: Sensors, contract: InputContract, before: Signal
) -> Signal:
    """Referenced and scaled as the contract says.

    Parameters
    ----------
    signal
        A window that was changed.
    sensors
        Of its channels.
    contract
        Contract of the corpus.
    before
        The same channels before the change. "recording_std" is of a whole recording, so each
        channel keeps the deviation that it had; "none" keeps SI units.

    Returns
    -------
    ndarray
        A copy.
    """
    if contract.reference == "average" and contract.space == "sensors":
        signal = rereferenced(signal, sensors, np.arange(len(signal)))
    if contract.scale == "none":
        return signal.astype(np.float32)
    if contract.scale == "recording_std":
        ratio = before.std(axis=1) / _nonzero(signal.std(axis=1))
        return (signal * ratio[:, None]).astype(np.float32)
    if contract.scale == "channel_std":
        centered = signal - signal.mean(axis=1, keepdims=True)
        return (centered / _nonzero(centered.std(axis=1))[:, None]).astype(np.float32)
    out, kind = np.empty_like(signal, dtype=np.float32), sensors.kind
    for each in np.unique(kind):
        out[kind == each] = signal[kind == each] / _nonzero(signal[kind == each].std())
    return out


def _nonzero(value: np.ndarray | np.floating) -> np.ndarray:
    return np.where(value > 0, value, 1.0)
