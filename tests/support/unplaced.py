"""A corpus as `contract.positions: optional` makes it: with sensors whose place nobody knows."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from neurofm.data import corpus
from neurofm.data.corpus import Corpus


def unplaced(made: Path, folder: Path, names: tuple[str, ...] = ("E0", "E2")) -> Path:
    """A copy of a sealed corpus in which the sensors `names` have no place."""
    known = Corpus.open(made)
    layouts = {key: replace(layout, position=np.where(
        np.isin(layout.names, names)[:, None], np.nan, layout.position))
        for key, layout in known.layouts.items()}
    shutil.copytree(made / "windows", folder / "windows")
    recordings = known.recordings.assign(
        layout=[layouts[key].fingerprint for key in known.recordings["layout"]])
    corpus.seal(folder, known.contract.with_(corpus="", positions="optional"), recordings,
                known.windows, {layout.fingerprint: layout for layout in layouts.values()},
                pd.DataFrame(columns=["source", "reason"]), config={})
    return folder


def without(made: Path, folder: Path, person: str, name: str) -> Path:
    """A copy of a sealed corpus in which a person's recordings lack a channel."""
    known = Corpus.open(made)
    layouts, recordings, windows = dict(known.layouts), known.recordings.copy(), []
    for row, about in known.recordings.iterrows():
        own = np.flatnonzero(known.windows["recording"].to_numpy() == row)
        layout = known.layouts[about["layout"]]
        names = [each for each in layout.names if about["subject"] != person or each != name]
        fewer = layout[layout.rows(names)]
        layouts[fewer.fingerprint] = fewer
        signals = np.stack([known.signal(window, names) for window in own.tolist()])
        recordings.loc[row, ["layout", "n_channels", "sha256"]] = [
            fewer.fingerprint, len(names), corpus.write_shard(folder, about["recording"], signals)]
        windows.append(known.windows.iloc[own])
    corpus.seal(folder, known.contract.with_(corpus=""), recordings, pd.concat(windows), layouts,
                pd.DataFrame(columns=["source", "reason"]), config={})
    return folder
