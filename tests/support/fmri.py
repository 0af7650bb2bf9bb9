"""A small corpus of fMRI: eight regions in two networks, ten people."""

from pathlib import Path

import numpy as np
import pandas as pd

from neurofm.data import corpus
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.sensors import Sensors

N, VOLUMES, SFREQ = 8, 60, 0.5
SPLIT = ["train"] * 5 + ["validation"] * 2 + ["test"] * 3


def make(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    layout = Sensors(tuple(f"R{i}" for i in range(N)), np.full(N, 4),
                     rng.uniform(-0.06, 0.06, (N, 3)), np.zeros((N, 3)))
    recordings, windows = [], []
    for person, part in enumerate(SPLIT):
        signal = np.repeat(rng.standard_normal((2, VOLUMES)), N // 2, axis=0)
        signal += rng.standard_normal((N, VOLUMES))
        signal = (signal / signal.std(axis=1, keepdims=True)).astype(np.float32)
        name = f"p{person}"
        recordings.append({
            "recording": name, "dataset": "regions", "subject": name, "session": None,
            "task": None, "run": None, "split": part, "layout": layout.fingerprint,
            "n_channels": N, "n_windows": 1, "duration_s": VOLUMES / SFREQ,
            "sfreq_original": SFREQ, "bads": "", "quality": "{}", "attributes": "{}",
            "source": name, "sha256": corpus.write_shard(folder, name, [signal])})
        windows.append({"recording": person, "row": 0, "start_s": 0.0, "label": None})
    corpus.seal(folder, FMRIContract(), pd.DataFrame(recordings), pd.DataFrame(windows),
                {layout.fingerprint: layout}, pd.DataFrame(columns=["source", "reason"]), {})
    return folder
