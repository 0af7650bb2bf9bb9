"""Samples that are no measurement: NaN, infinite, or a value that stands still.

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

_HELD_S = 0.5  # no amplifier gives the same value for this long, coarse ones do for some samples


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    """Writes quality["bads"]; refuses when no channel has a signal."""
    bads = quality.setdefault("bads", {})
    for name in recording.bads:
        if name in recording.sensors.names:
            bads[name] = "marked in the file"
    signal, names = recording.signal, recording.sensors.names
    lowest, highest = signal.min(1), signal.max(1)  # NaN and infinity show in one of them
    finite = np.isfinite(lowest) & np.isfinite(highest)
    flat = finite & (lowest == highest)
    for row in np.flatnonzero(flat):
        bads[names[row]] = "flat: the same value throughout"
    quality["nan_share"] = 0.0
    lost = _held(signal, finite & ~flat, recording.sfreq, contract.max_bad)
    if not finite.all():
        missing = np.zeros(signal.shape[1], dtype=np.int32)
        for row in np.flatnonzero(~finite):
            missing += ~np.isfinite(signal[row])
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
        gaps = ~np.isfinite(values)
        if (gaps & ~lost).any() or gaps.all():
            bads.setdefault(names[row], f"{gaps.mean():.1%} of its samples are NaN or infinite")
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
