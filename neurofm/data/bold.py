"""Regions of fMRI as targets: cleaned within the stretch that is used, so that nothing is carried
from one part of a scan into another.
"""

import numpy as np
from jaxtyping import Float, Float32

from .fmri_contract import FMRIContract

_ORDER = 5  # of the Butterworth filter, as published for NeuroBOLT's targets (arXiv 2410.05341)


def cleaned(
    series: Float[np.ndarray, "roi volume"], t_r: float, contract: FMRIContract
) -> Float32[np.ndarray, "roi volume"]:
    """Detrend, filter and z-score regions; gaps are bridged by lines for the filter.

    Parameters
    ----------
    series
        Regions, `[roi, volume]`, NaN = not measured.
    t_r
        Repetition time, s.
    contract
        Contract of the signals.

    Returns
    -------
    ndarray
        float32 `[roi, volume]`; NaN where not measured, and where a region does not vary.
    """
    from scipy.signal import butter, sosfiltfilt

    measured = np.isfinite(series)
    out = np.full(series.shape, np.nan, dtype=np.float32)
    time = np.arange(series.shape[1])
    low, high = contract.highpass_hz, contract.lowpass_hz
    if high is not None and high >= 0.5 / t_r:
        high = None  # the scan's own rate ends the band
    kind = {(True, True): "bandpass", (True, False): "highpass", (False, True): "lowpass"}.get(
        (low is not None, high is not None))
    edges = [edge for edge in (low, high) if edge is not None]
    for row, known in enumerate(measured):
        if known.sum() < 10:
            continue
        values = np.interp(time, time[known], series[row, known].astype(np.float64))
        if contract.detrend:
            values = values - np.polyval(np.polyfit(time[known], values[known], 1), time)
        if kind:
            filters = butter(_ORDER if kind == "lowpass" else 2,
                             edges if kind == "bandpass" else edges[0], kind, fs=1 / t_r,
                             output="sos")
            values = sosfiltfilt(filters, values, padlen=min(len(values) - 1, 27))
        centered = values - values[known].mean()
        spread = centered[known].std()
        if spread > 1e-12 * max(1.0, np.abs(series[row, known]).max()):
            out[row, known] = (centered / spread)[known]
    return out
