"""What a prediction can reach at most, from a table: noise in fMRI that nobody can predict.

`neurofm simulate` writes such a table (`ceiling_bold.tsv`): ceiling is the correlation of a
region's series with its noise-free one; ceiling_eeg that with the part of it that the EEG's sources
drive. Of real scans it may come from repeated stimuli or from models of noise.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from neurofm import tsv

from .series import Series

NAMES = ("ceiling", "ceiling_eeg")
_KEYS = {"recording": "recording", "file": "bold_source", "eeg": "source", "subject": "subject"}


def read(
    path: str | Path, scans: list[Series], recordings: pd.DataFrame, regions: list[str]
) -> dict[str, Float[np.ndarray, "scan roi"]]:
    """Ceilings of the judged scans by `NAMES` (those that the table has).

    A row of the table names its scan by recording (as in the pairs), file (of the fMRI), eeg (file
    of the EEG) or subject. Raises ValueError where columns, scans or regions are missing.
    """
    table = tsv.read(path, dtype={"recording": str, "subject": str}, keep_default_na=True)
    keys = [key for key in _KEYS if key in table]
    if not keys or not {"region", "ceiling"} <= set(table):
        raise ValueError(f"{path}: wanted columns region, ceiling and one of {', '.join(_KEYS)}; "
                         f"got {', '.join(map(str, table.columns))}")
    if words := [name for name in NAMES if name in table
                 and not pd.api.types.is_numeric_dtype(table[name])]:
        raise ValueError(f"{path}: wanted numbers in column {words[0]} (n/a where unknown)")
    rows = recordings.set_index("recording")
    found = {name: np.full((len(scans), len(regions)), np.nan) for name in NAMES if name in table}
    for number, one in enumerate(scans):
        own = _of(table, keys, one.name, rows.loc[one.name])
        if own.empty:
            raise ValueError(f"{path}: nothing is said of {one.name} (looked for by "
                             f"{', '.join(keys)}); add its rows, or leave --ceiling out")
        means = own.groupby("region")[[*found]].mean().reindex(regions)
        for name in found:
            found[name][number] = means[name]
    if np.isnan(found["ceiling"]).all():
        raise ValueError(f"{path}: wanted ceilings of regions such as {', '.join(regions[:3])}, "
                         f"got those of {', '.join(sorted(set(map(str, table['region'])))[:3])}")
    return found


def _of(table: pd.DataFrame, keys: list[str], name: str, row: pd.Series) -> pd.DataFrame:
    """The rows of a scan, by the first key that finds any. Paths may begin further up."""
    for key in keys:
        wanted = name if key == "recording" else str(row[_KEYS[key]])
        given = table[key].map(str)  # an empty cell too, which astype keeps as a number
        if key in ("file", "eeg"):
            same = np.array([_ends_alike(one, wanted) for one in given])
        elif key == "subject":
            same = (given.str.removeprefix("sub-").str.lstrip("0")
                    == wanted.removeprefix("sub-").lstrip("0")).to_numpy()
        else:
            same = (given == wanted).to_numpy()
        if same.any():
            return table[same]
    return table.iloc[:0]


def _ends_alike(one: str, other: str) -> bool:
    """Whether one path ends as the other does, whole names compared."""
    a, b = Path(one).parts, Path(other).parts
    n = min(len(a), len(b))
    return n > 0 and a[-n:] == b[-n:]
