"""Samples that are no measurement: NaN, infinite, or a channel that never moves.

A stretch lost in most channels (a drop-out of the link) is filled so that the filter stays finite,
and marked bad so that no window holds it. A channel with NaN elsewhere, or flat, is bad.
"""

import numpy as np

from neurofm.data.contract import InputContract
from neurofm.data.recording import Events, Recording

from .refusal import ContractError

DROPOUT = "BAD_dropout"


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    bads = quality.setdefault("bads", {})
    for name in recording.bads:
        if name in recording.sensors.names:
            bads[name] = "marked in the file"
    signal, names = recording.signal, recording.sensors.names
    lowest, highest = signal.min(1), signal.max(1)  # NaN and infinity show in one of them
    finite = np.isfinite(lowest) & np.isfinite(highest)
    for row in np.flatnonzero(finite & (lowest == highest)):
        bads.setdefault(names[row], "flat: the same value throughout")
    quality["nan_share"] = 0.0
    if not finite.all():
        recording = _without_gaps(recording, np.flatnonzero(~finite), contract.max_bad, quality)
    if len(bads) == len(names):
        raise ContractError(
            recording.source, "channels with a signal",
            f"all {len(names)} are unusable ({next(iter(bads.values()))})",
            "check the file in a viewer; nothing can be taken from it",
        )
    return recording


def _without_gaps(recording: Recording, rows: np.ndarray, max_bad: float, quality: dict):
    """Fill stretches missing in more than `max_bad` of the channels; other NaN make a channel bad."""
    signal = recording.signal.copy()
    missing = ~np.isfinite(signal[rows])
    quality["nan_share"] = round(float(missing.sum() / signal.size), 6)
    lost = missing.sum(0) > max_bad * len(signal)
    names, bads = recording.sensors.names, quality["bads"]
    time = np.arange(signal.shape[1])
    for row, gaps in zip(rows, missing, strict=True):
        if (gaps & ~lost).any() or gaps.all():
            share = gaps.mean()
            bads.setdefault(names[row], f"{share:.1%} of its samples are NaN or infinite")
            signal[row] = 0.0
        else:
            signal[row, gaps] = np.interp(time[gaps], time[~gaps], signal[row, ~gaps])
    edges = np.flatnonzero(np.diff(lost.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    onset_s, end_s = edges.T / recording.sfreq
    events = recording.events
    return recording.with_(signal=signal, events=Events(
        np.concatenate([events.onset_s, onset_s]),
        np.concatenate([events.duration_s, end_s - onset_s]),
        (*events.label, *[DROPOUT] * len(edges)),
    ))
