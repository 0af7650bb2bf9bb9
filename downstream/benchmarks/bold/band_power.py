"""Power of EEG in the classical bands, channel by channel, on frames of half a second."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

BANDS_HZ = {"delta": (1.0, 4.0), "theta": (4.0, 8.0), "alpha": (8.0, 13.0), "beta": (13.0, 30.0),
            "gamma": (30.0, 45.0)}
HOP_S = 0.5
WINDOW_S = 1.0  # of a spectrum; a window ends with its frame
_FLOOR = 1e-4  # of a channel's median power in a band: what is called silence


@dataclass(frozen=True, eq=False)
class Frames:
    """Log power, each channel and band z-scored over its scan; 0, the mean, where EEG is bad.
    end_s: of each frame."""

    power: Float[np.ndarray, "frame channel band"]
    end_s: Float[np.ndarray, " frame"]
    hop_s: float
    bands: list[str]

    @property
    def middle_s(self) -> Float[np.ndarray, " frame"]:
        """Middle of each spectrum's window."""
        return self.end_s - WINDOW_S / 2


def frames(
    eeg: Float[np.ndarray, "channel time"], sfreq: float, lowpass_hz: float | None = None,
    bad: Bool[np.ndarray, " time"] | None = None,
) -> Frames:
    """Frames of a whole scan. No frame reaches before the scan's begin. Bands that lie above what
    the EEG holds are left out. bad: samples that say nothing."""
    top = min(sfreq / 2, lowpass_hz or math.inf)
    bands = {name: edges for name, edges in BANDS_HZ.items() if edges[0] < top}
    length, hop = round(WINDOW_S * sfreq), round(HOP_S * sfreq)
    hz = np.fft.rfftfreq(length, 1 / sfreq)
    inside = np.stack([(hz >= low) & (hz < high) for low, high in bands.values()]).astype(float)
    taper = np.hanning(length)
    found = []
    for channel in eeg:  # one by one: windows of all would fill the memory
        windows = np.lib.stride_tricks.sliding_window_view(channel, length)[::hop]
        spectrum = np.fft.rfft((windows - windows.mean(axis=1, keepdims=True)) * taper)
        found.append(np.square(np.abs(spectrum)) @ inside.T)
    power = np.stack(found, axis=1)
    good: np.ndarray = np.ones(len(power), dtype=bool)
    if bad is not None and bad.any():
        good = np.logical_not(
            np.lib.stride_tricks.sliding_window_view(bad, length)[::hop].any(axis=1))
    if not good.any():
        good[:] = True  # nothing is known of any frame: all are alike
    floor = _FLOOR * np.median(power[good], axis=0)
    logs = np.log(power + np.where(floor > 0, floor, 1.0))
    spread = logs[good].std(axis=0)
    end_s = (length + np.arange(len(power)) * hop) / sfreq
    scored = (logs - logs[good].mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)
    return Frames(np.where(good[:, None, None], scored, 0.0), end_s, hop / sfreq, [*bands])
