"""Samples that are no measurement: NaN, infinite, far beyond any sensor (integers read as floating
point numbers), or a value that stands still.

A stretch lost in most channels (the link dropped out: NaN, or the last value held; zeros that fill
the last block of a file) is taken out as if it had not been recorded: neither filters nor windows
run over it. A channel with NaN of its own, or flat throughout, is bad.
"""

import numpy as np

from neurofm.data.contract import InputContract
from neurofm.data.recording import Events, Recording

from .. import memory
from ..segments import SKIP
from .refusal import ContractError
from .step import Causal, LiveStep, Step

_HIGHEST = 1e25  # far beyond any sensor in any unit, and filters stay within float32
_HELD_S = 0.5  # no amplifier gives the same value for this long, coarse ones do for some samples


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    """Writes quality["bads"]; refuses when no channel has a signal."""
    bads = quality.setdefault("bads", {})
    for name in recording.bads:
        if name in recording.sensors.names:
            bads[name] = "marked in the file"
    signal, names = recording.signal, recording.sensors.names
    lowest, highest = signal.min(1), signal.max(1)  # NaN and infinity show in one of them
    finite = (lowest > -_HIGHEST) & (highest < _HIGHEST)
    flat = finite & (lowest == highest)
    for row in np.flatnonzero(flat):
        bads[names[row]] = "flat: the same value throughout"
    quality["nan_share"] = 0.0
    lost = _held(signal, finite & ~flat, recording.sfreq, contract.max_bad)
    if not finite.all():
        missing = np.zeros(signal.shape[1], dtype=np.int32)
        for row in np.flatnonzero(~finite):
            missing += ~_measured(signal[row])
        lost |= missing > contract.max_bad * len(signal)
        quality["nan_share"] = round(float(missing.sum() / signal.size), 6)
        recording = recording.with_(signal=_filled(signal, finite, lost, names, bads))
    if len(bads) == len(names):
        raise ContractError(
            recording.source, "channels with a signal",
            f"all {len(names)} are unusable ({next(iter(bads.values()))})",
            "check the file in a viewer; nothing can be taken from it",
        )
    quality["lost_s"] = round(float(lost.sum() / recording.sfreq), 3)
    return _marked(recording, lost)


def _measured(values: np.ndarray) -> np.ndarray:
    """bool: what is a number, and of a size that a sensor gives."""
    return np.abs(values) < _HIGHEST


def _held(signal: np.ndarray, rows: np.ndarray, sfreq: float, max_bad: float) -> np.ndarray:
    """bool [time]: more than `max_bad` of the channels `rows` hold a value for half a second."""
    repeats = np.zeros(signal.shape[1] - 1, dtype=np.int16)
    for row in np.flatnonzero(rows):
        repeats += signal[row, 1:] == signal[row, :-1]
    held = np.zeros(signal.shape[1], dtype=bool)
    for start, stop in _runs(repeats > max(0, max_bad * rows.sum())):
        if stop - start >= _HELD_S * sfreq:
            held[start:stop + 1] = True
    return held


def _filled(signal, finite, lost, names, bads) -> np.ndarray:
    """A copy without NaN: lost stretches bridged by a line, channels with NaN elsewhere zeroed."""
    filled = memory.empty(signal.shape)
    time = np.arange(signal.shape[1])
    for row, values in enumerate(signal):
        filled[row] = values
        if finite[row]:
            continue
        gaps = ~_measured(values)
        if (gaps & ~lost).any() or gaps.all():
            also = " or beyond any measurement" if np.isfinite(values[gaps]).any() else ""
            bads.setdefault(names[row],
                            f"{gaps.mean():.1%} of its samples are NaN or infinite{also}")
            filled[row] = 0.0
        else:
            filled[row, gaps] = np.interp(time[gaps], time[~gaps], values[~gaps])
    return filled


def _marked(recording: Recording, lost: np.ndarray) -> Recording:
    """The recording with each lost stretch declared not recorded."""
    stretches = _runs(lost)
    if not stretches:
        return recording
    onset_s, end_s = np.array(stretches).T / recording.sfreq
    events = recording.events
    return recording.with_(events=Events(
        np.concatenate([events.onset_s, onset_s]),
        np.concatenate([events.duration_s, end_s - onset_s]),
        (*events.label, *[SKIP] * len(stretches)),
    ))


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """[start, stop) of each run of True."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


class LiveSamples(LiveStep):
    """Holds the last value in place of NaN and infinity, which no recursive filter ever forgets,
    and remembers where each channel gave no measurement."""

    def __init__(self, recording: Recording, contract: InputContract):
        super().__init__(recording, contract)
        n = recording.n_channels
        self._names = recording.sensors.names
        self._settling_s = 0.5 / contract.highpass_hz if contract.highpass_hz else 0.0
        self._value, self._changed = np.zeros(n), np.zeros(n, dtype=int)
        self._lost = np.full(n, -1)  # last sample at which a channel gave no measurement
        self._n_in = 0

    def push(self, chunk: np.ndarray) -> np.ndarray:
        n = chunk.shape[1]
        if n == 0:
            return chunk
        index = self._n_in + np.arange(n)
        before = np.concatenate([self._value[:, None], chunk], axis=1)
        finite = np.isfinite(before)
        if not finite.all():
            finite[:, 0] = True  # what is held is finite
            latest = np.maximum.accumulate(np.where(finite, np.arange(n + 1), 0), axis=1)
            before = np.take_along_axis(before, latest, axis=1)
            self._lost = np.maximum(self._lost, np.where(finite[:, 1:], -1, index).max(axis=1))
        changes = np.where(before[:, 1:] != before[:, :-1], index, -1)
        changed = np.maximum.accumulate(np.maximum(changes, self._changed[:, None]), axis=1)
        held = index - changed >= _HELD_S * self.sfreq
        self._lost = np.maximum(self._lost, np.where(held, index, -1).max(axis=1))
        self._changed, self._value = changed[:, -1], before[:, -1]
        self._n_in += n
        return before[:, 1:]

    def close(self, start_s: float, quality: dict) -> None:
        """A channel that gave no measurement is bad until the filter has forgotten it."""
        since = max(0.0, (start_s - self._settling_s) * self.sfreq)
        bads = quality["bads"]
        bads |= {name: "no measurement: flat, missing or infinite" for name, at
                 in zip(self._names, self._lost, strict=True) if at >= since}
        if len(bads) == len(self._names):
            raise ContractError("", "channels with a signal", f"all {len(bads)} are unusable "
                                f"({next(iter(bads.values()))})", "look at the amplifier")

    def differences(self) -> list[str]:
        return ["Joints and stretches marked bad in a file are not known to a stream; where most "
                "channels give no measurement, no class is named."]


def remarks(quality: dict) -> list[str]:
    lost_s = quality["lost_s"]
    return [f"{lost_s:g} s lost (missing or constant values); windows there are left out"
            ] if lost_s else []


STEP = Step("samples", apply, live=Causal(LiveSamples), remarks=remarks)
