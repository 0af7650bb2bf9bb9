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
