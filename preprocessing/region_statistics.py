"""What regions are in the training people, by which all people's are scaled."""

from pathlib import Path

import numpy as np

from neurofm.data.shards import ShardReader

LEAST = 1e-6  # interquartile range: of a region that hardly moves in half of the scans


def training_iqr(folder: Path, tables) -> dict[str, tuple[float, float]]:
    """Region → (median, interquartile range): medians over windows of the training split, so that
    one loud scan counts once. tables: as `corpus_tables.assemble` makes them.

    Raises ValueError where there is no training split, or a region is in none of its scans.
    """
    reader = ShardReader(folder / "windows", "float32")
    found: dict[str, list[tuple[float, float]]] = {}
    training = np.flatnonzero(tables.recordings["split"] == "train")
    if len(training) == 0:
        raise ValueError(f"--out {folder}: fmri.scale training_iqr scales by the training people, "
                         f"and there are none; hold fewer out (splits), or take another scale")
    for window in tables.windows[tables.windows["recording"].isin(training)].itertuples():
        row = tables.recordings.iloc[window.recording]
        names = tables.layouts[row["layout"]].names
        signal = reader.read(f"{row['recording']}.arrow", window.row).reshape(len(names), -1)
        low, middle, high = np.nanquantile(signal.astype(np.float64), (0.25, 0.5, 0.75), axis=1)
        for name, median, spread in zip(names, middle, high - low, strict=True):
            found.setdefault(name, []).append((median, spread))
    unknown = {name for layout in tables.layouts.values() for name in layout.names} - set(found)
    if unknown:
        raise ValueError(f"--out {folder}: fmri.scale training_iqr scales by the training people, "
                         f"in whose scans {', '.join(sorted(unknown)[:5])} never is; leave out "
                         f"(exclude) the scans that have it, or take another scale")
    middles = {name: np.median(values, axis=0) for name, values in sorted(found.items())}
    return {name: (float(f"{median:.6g}"), float(f"{max(spread, LEAST):.6g}"))
            for name, (median, spread) in middles.items()}
