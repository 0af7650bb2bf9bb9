"""Bad EEG channels by their spectrum (BrainOmni, arXiv 2505.18185, app. B).

Each channel's distance to the others is the mean over them of the root mean square difference of
log power spectra; outside Q1 − k·IQR … Q3 + k·IQR it is bad. MEG channels are bad when flat, absurd
or marked in the file: their spectra differ by design (magnetometers, gradiometers, places).
"""

import numpy as np
from jaxtyping import Float
from scipy.fft import rfft

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording

from .. import segments
from .step import PAST_S, PerWindow, Step

_SEGMENT_S = 2.0
_MAX_SEGMENTS = 300
# Alike channels (simulations, few channels) have an interquartile range near zero, which would make
# every channel an outlier. 0.05 is a difference of 5 % in power: a deviation from the paper.
_MIN_IQR = 0.05
LEAST_JUDGED_S = 10.0  # fewer 2 s segments make spectra too rough to compare


def power_spectrum(
    recording: Recording, rows=slice(None), max_segments: int = _MAX_SEGMENTS
) -> tuple[
    Float[np.ndarray, " bin"], Float[np.ndarray, "channel bin"], Float[np.ndarray, " channel"]
]:
    """Welch spectrum of channels `rows` from segments of 2 s spread evenly over what is recorded.

    Returns frequencies (Hz), power and the peak of each channel. Power is that of the signal
    divided by the channel's peak, so that MEG's 1e-26 T² stays within float32.
    """
    stretches = segments.continuous(recording)
    longest = max(stop - start for start, stop in stretches)
    n = min(max(8, round(_SEGMENT_S * recording.sfreq)), longest)
    starts = np.concatenate([np.arange(start, stop - n + 1, n) for start, stop in stretches])
    chosen = np.linspace(0, len(starts) - 1, min(len(starts), max_segments)).astype(int)
    window = np.hanning(n).astype(np.float32)
    peak = np.maximum(np.abs(segments.sampled(recording, 1000)[rows]).max(1), 1e-30)
    power = np.zeros((len(peak), n // 2 + 1))
    for start in starts[chosen]:
        part = recording.signal[rows, start:start + n] / peak[:, None]
        spectrum = rfft((part - part.mean(1, keepdims=True)) * window, axis=1)
        power += spectrum.real**2 + spectrum.imag**2
    return np.fft.rfftfreq(n, 1 / recording.sfreq), power / len(chosen), peak


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    """Adds to quality["bads"]; changes no sample."""
    bads, names = quality["bads"], recording.sensors.names
    rows = np.array([row for row, kind in enumerate(recording.sensors.kinds)
                     if kind == "eeg" and names[row] not in bads], dtype=int)
    if contract.bad_channels == "none" or len(rows) < 5:
        return recording  # of four channels none can be called an outlier
    frequency, power, peak = power_spectrum(recording, rows)
    low, high = _common_band(recording, contract)
    inside = (frequency >= low) & (frequency <= high)
    log_power = np.log(power[:, inside] + 1e-12) + 2 * np.log(peak)[:, None]
    squared = np.square(log_power).mean(1)
    cross = log_power @ log_power.T / log_power.shape[1]
    distance = np.sqrt(np.maximum(squared[:, None] + squared[None] - 2 * cross, 0))
    mean_distance = distance.sum(1) / (len(rows) - 1)
    q1, q3 = np.percentile(mean_distance, [25, 75])
    reach = contract.bad_channels_iqr * max(q3 - q1, _MIN_IQR)
    for row, far in zip(rows, mean_distance, strict=True):
        if not q1 - reach <= far <= q3 + reach:
            bads[names[row]] = (f"its spectrum is {far:.2f} from the others' (log power), they "
                                f"are {np.median(mean_distance):.2f} from each other")
    return recording


def _common_band(recording: Recording, contract: InputContract) -> tuple[float, float]:
    """Frequencies at which there is a signal to compare, Hz."""
    low, high = recording.band_hz
    nyquist = recording.sfreq / 2
    lowest = max(contract.highpass_hz or 0.0, low or 0.0, 1.0)
    highest = min(contract.lowpass_hz or nyquist, high or nyquist, 0.95 * nyquist)
    return (lowest, highest) if highest > lowest + 2 else (0.0, nyquist)


def of_window(window: Recording, past: Recording, contract: InputContract, quality: dict
              ) -> Recording:
    """In a stream the last half minute is judged, once there is enough of it."""
    if past.duration_s >= LEAST_JUDGED_S:
        apply(past, contract, quality)
    return window


def differs(contract: InputContract) -> list[str]:
    spectra = (f", and by their spectra only after the first {LEAST_JUDGED_S:g} s"
               if contract.bad_channels == "log_psd" else "")
    return [f"Bad channels are found in each window and the last {PAST_S:g} s before its end"
            f"{spectra}; in a file the whole recording decides."]


STEP = Step("bad_channels", apply, live=PerWindow(of_window, differs, judges=True))
