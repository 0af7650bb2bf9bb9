"""Series: what was measured in a scan that is judged, and what each method said."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float


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
