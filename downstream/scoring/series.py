"""Series of brain regions in a scan that is judged, and how near a prediction comes to them.

Pearson's r is the score. Beside it: r with one series moved in time, which tells of a delay that is
wrong; coherence, which delays and slow gains leave alone; and whether regions go together as they
do in the measured scan. Volumes that were not measured (NaN) do not count.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.signal import csd, welch

LAGS_S = tuple(range(-6, 7))
BAND_HZ = (0.01, 0.1)
SEGMENT_S = 100.0  # of a spectrum; shorter in short scans, of which there are then three
_LEAST = 3  # volumes of a correlation
FLAT = 1e-9  # a prediction that varies less is a constant


@dataclass(frozen=True, eq=False)
class Series:
    """The judged volumes of a scan."""

    name: str  # its recording
    subject: str
    t_r: float
    first: int  # number of the first of them
    time_s: Float[np.ndarray, " volume"]  # of each, from the EEG's first sample
    measured: Float[np.ndarray, "volume roi"]
    predicted: dict[str, list[Float[np.ndarray, "volume roi"]]]  # method → one array a seed


def table(scans: list[Series], regions: list[str]) -> pd.DataFrame:
    """A row a scan, region and volume; a column a method, and one for each further seed."""
    parts = []
    for one in scans:
        n, n_rois = one.measured.shape
        columns = {
            "scan": np.repeat(one.name, n * n_rois),
            "region": np.repeat(regions, n),
            "volume": np.tile(one.first + np.arange(n), n_rois),
            "time_s": np.tile(one.time_s, n_rois),
            "measured": one.measured.T.ravel(),
        }
        for method, seeds in one.predicted.items():
            for number, values in enumerate(seeds):
                name = f"{method}_{number}" if number else method
                columns[name] = values.T.ravel().astype(np.float32)
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def pearson(
    predicted: Float[np.ndarray, "volume roi"], measured: Float[np.ndarray, "volume roi"]
) -> Float[np.ndarray, " roi"]:
    """r of each region; 0 for a constant prediction, which says nothing; NaN where fewer than three
    volumes were measured."""
    known = np.isfinite(measured) & np.isfinite(predicted)
    n = known.sum(axis=0)
    x, y = (np.where(known, one, 0.0) for one in (predicted, measured))
    x = np.where(known, x - x.sum(axis=0) / np.maximum(n, 1), 0.0)
    y = np.where(known, y - y.sum(axis=0) / np.maximum(n, 1), 0.0)
    spread = np.sqrt(np.square(x).sum(axis=0) * np.square(y).sum(axis=0))
    flat = np.square(x).sum(axis=0) <= np.maximum(n, 1) * FLAT**2
    said = ~flat & (spread > 0)
    r = np.divide((x * y).sum(axis=0), spread, out=np.zeros_like(spread), where=said)
    return np.where(n >= _LEAST, r, np.nan)


def lagged(
    predicted: Float[np.ndarray, "volume roi"], measured: Float[np.ndarray, "volume roi"],
    t_r: float,
) -> Float[np.ndarray, "lag roi"]:
    """r at each of `LAGS_S`. A positive lag: the measured series comes that much later than the
    predicted one. Predictions between volumes are those of a cubic spline."""
    time_s = np.arange(len(predicted)) * t_r
    whole = CubicSpline(time_s, np.nan_to_num(predicted))
    found = []
    for lag in LAGS_S:
        inside = (time_s - lag >= 0) & (time_s - lag <= time_s[-1])
        found.append(pearson(whole(time_s[inside] - lag), measured[inside])
                     if inside.sum() >= _LEAST else np.full(measured.shape[1], np.nan))
    return np.stack(found)


def coherence(
    predicted: Float[np.ndarray, "volume roi"], measured: Float[np.ndarray, "volume roi"],
    t_r: float,
) -> Float[np.ndarray, " roi"]:
    """Magnitude-squared coherence in `BAND_HZ`, mean weighted by the measured power. NaN where a
    scan is too short for three segments of 30 s. Unrelated series do not have 0 but about one
    over the number of segments: compare with that of moved series."""
    n = len(measured)
    length = min(round(SEGMENT_S / t_r), n // 2)  # three segments that overlap by half
    if length * t_r < 30:
        return np.full(measured.shape[1], np.nan)
    x, y = bridged(predicted), bridged(measured)
    how = {"fs": 1 / t_r, "nperseg": length, "axis": 0}
    hz, power_x = welch(x, **how)
    power_y, cross = welch(y, **how)[1], csd(x, y, **how)[1]
    inside = (hz >= BAND_HZ[0] - 1e-9) & (hz <= BAND_HZ[1] + 1e-9)
    product = power_x * power_y
    each = np.divide(np.square(np.abs(cross)), product, out=np.zeros_like(product),
                     where=product > 0)
    total = power_y[inside].sum(axis=0)
    mean = (each * power_y)[inside].sum(axis=0) / np.where(total > 0, total, np.nan)
    return np.where(np.isfinite(measured).sum(axis=0) >= _LEAST, mean, np.nan)


def connectivity(series: Float[np.ndarray, "volume roi"]) -> Float[np.ndarray, "roi roi"]:
    """Correlations between regions over a scan; NaN for regions that do not vary."""
    whole = bridged(series)
    spread = whole.std(axis=0)
    scored = (whole - whole.mean(axis=0)) / np.where(spread > FLAT, spread, np.nan)
    return scored.T @ scored / len(scored)


def similarity(
    one: Float[np.ndarray, "roi roi"], other: Float[np.ndarray, "roi roi"]
) -> float:
    """r between the upper triangles of two matrices; NaN with fewer than three pairs."""
    above = np.triu_indices(len(one), 1)
    a, b = one[above], other[above]
    return float(pearson(a[:, None], b[:, None])[0])


def bridged(series: Float[np.ndarray, "volume roi"]) -> Float[np.ndarray, "volume roi"]:
    """Lines across volumes that were not measured; 0 for regions that never were."""
    out, time = np.zeros(series.shape), np.arange(len(series))
    for column in range(series.shape[1]):
        known = np.isfinite(series[:, column])
        if known.any():
            out[:, column] = np.interp(time, time[known], series[known, column])
    return out
