"""Scaling of one window [channel, time], as the contract says.

"kind_std" divides by the standard deviation over all sensors and samples of a kind, so that
relative amplitudes survive (BrainOmni, arXiv 2505.18185, app. B); "channel_std" z-scores channels
of the window, "recording_std" by their mean and deviation over the recording (MEG-GPT,
arXiv 2510.18080), so that what is loud stays loud.
"""

import numpy as np
from jaxtyping import Float32, Int8

from neurofm.data.contract import InputContract
from neurofm.data.sensors import Sensors

from .step import PAST_S, PerWindow, Step, Stretches


def scale(
    window: Float32[np.ndarray, "channel time"],
    kind: Int8[np.ndarray, " channel"],
    contract: InputContract,
    recording: tuple[np.ndarray, np.ndarray] | None = None,
) -> Float32[np.ndarray, "channel time"]:
    """A scaled copy, float32. A channel (or kind) without any variance comes out as zeros.

    recording: mean and deviation of each channel over the recording, for "recording_std".
    """
    if contract.scale == "none":
        return window.copy()
    if contract.scale == "recording_std":
        assert recording is not None, "recording_std needs the recording's mean and deviation"
        mean, deviation = recording
        return (window - mean[:, None]) / _nonzero(deviation)[:, None]
    # MEG is of the order of 1e-13: bring it near one before squares are taken in float32.
    peak = np.abs(window).max(1, initial=0.0)
    if contract.scale == "channel_std":
        centered = window / _nonzero(peak)[:, None]
        centered -= centered.mean(1, keepdims=True)
        return centered / _nonzero(centered.std(1))[:, None]
    out = np.empty_like(window)
    for each in np.unique(kind):
        rows = kind == each
        part = window[rows] / _nonzero(peak[rows].max())
        out[rows] = part / _nonzero(part.std())
    return out


def over_recording(
    stretches: list[Float32[np.ndarray, "channel time"]]
) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard deviation) of each channel over all stretches, float32."""
    peak = _nonzero(np.max([np.abs(part).max(axis=1) for part in stretches], axis=0))
    n = sum(part.shape[1] for part in stretches)
    scaled = [np.array([(row / size).sum(dtype=np.float64)
                        for row, size in zip(part, peak, strict=True)]) for part in stretches]
    mean = sum(scaled) / n
    square = sum(np.array([np.square(row / size - middle, dtype=np.float64).sum()
                           for row, size, middle in zip(part, peak, mean, strict=True)])
                 for part in stretches)
    return (mean * peak).astype(np.float32), (np.sqrt(square / n) * peak).astype(np.float32)


def _nonzero(value):
    return np.where(value > 0, value, 1.0).astype(np.float32)


def window(signal, sensors: Sensors, contract: InputContract, recording) -> np.ndarray:
    """As a step: of a window that was cut."""
    return scale(signal, sensors.kind, contract, recording)


def statistics(stretches: Stretches, contract: InputContract):
    """What `window` needs to know of the recording."""
    return over_recording(stretches()) if contract.scale == "recording_std" else None


def differs(contract: InputContract) -> list[str]:
    if contract.scale != "recording_std":
        return []
    return [f"Channels are scaled by their last {PAST_S:g} s; in a file by the whole recording."]


STEP = Step("scale", window=window, statistics=statistics, live=PerWindow(differs=differs))
