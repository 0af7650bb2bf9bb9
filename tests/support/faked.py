"""Corpora of very many recordings: true tables and layouts, sparse shards that nobody reads."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from neurofm.data import corpus
from neurofm.data.contract import InputContract
from neurofm.data.sensors import Sensors

CHANNELS, LAYOUTS, SHARD_BYTES = 64, 200, 256 * 10**6
CONTRACT = InputContract(sfreq=256.0, lowpass_hz=100.0, window_s=30.0)


def make(folder: Path, recordings: int, windows: int, alone: bool = False) -> Path:
    """A sealed corpus, two recordings a subject, `windows` windows each.

    alone: a file a recording, in place of shards of many.
    """
    random = np.random.default_rng(0)
    layouts = [Sensors(tuple(f"E{i}" for i in range(CHANNELS)), np.zeros(CHANNELS),
                       random.normal(0, 0.05, (CHANNELS, 3)), np.zeros((CHANNELS, 3)))
               for _ in range(LAYOUTS)]
    n_bytes = windows * CHANNELS * (30 * 256) * 4
    each = 1 if alone else max(1, SHARD_BYTES // n_bytes)
    rows, hashes = [], {}
    (folder / "windows").mkdir(parents=True)
    for number in range(recordings):
        name = f"sub-{number // 2:06d}_ses-{number % 2}_task-rest"
        shard = name if alone else f"shard-{number // each:016x}"
        if number % each == 0:
            with open(folder / "windows" / f"{shard}.arrow", "wb") as file:
                file.truncate(n_bytes * each)
            hashes[f"{shard}.arrow"] = hashlib.sha256(shard.encode()).hexdigest()
        signal = hashlib.sha256(str(number).encode()).hexdigest()
        rows.append({
            **dict.fromkeys(corpus.RECORDING_COLUMNS), "recording": name, "dataset": "d",
            "subject": f"{number // 2:06d}", "split": "test" if number % 40 < 4 else "train",
            "layout": layouts[number % LAYOUTS].fingerprint, "n_channels": CHANNELS,
            "n_windows": windows, "duration_s": 30.0 * windows, "sfreq_original": 500.0,
            "source": f"/archive/d/{name}.edf", "attributes": "{}", "sha256": signal,
            "quality": json.dumps({"bads": [], "windows_left_out": {}, "signal": signal}),
            **({} if alone else {"shard": shard})})
    row = np.tile(np.arange(windows), recordings)
    number = np.repeat(np.arange(recordings), windows)
    table = pd.DataFrame({
        "recording": number, "row": row + (0 if alone else number % each * windows),
        "start_s": 30.0 * row,
        "label": np.resize(np.array(["left", "right", None], object), len(row))})
    corpus.seal(folder, CONTRACT, pd.DataFrame(rows), table,
                {layout.fingerprint: layout for layout in layouts},
                pd.DataFrame(columns=["source", "reason"]), {}, shard_hashes=hashes)
    return folder


# Seconds and private MB that a process takes to open a corpus, or to receive it from another.
MEASURED = """
import json, pickle, sys, time
from pathlib import Path
import numpy as np, torch, pandas
from neurofm.data.corpus import Corpus

def private():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1e3

before, began = private(), time.perf_counter()
how, where = sys.argv[1:]
corpus = Corpus.open(where) if how == "open" else pickle.loads(Path(where).read_bytes())
took = time.perf_counter() - began
windows = np.random.default_rng(0).integers(0, len(corpus), 64)
corpus.widths(windows), corpus.subjects(windows), corpus.labels(windows)
[corpus.source(window) for window in windows]
print(json.dumps({"seconds": took, "MB": private() - before, "windows": len(corpus)}))
"""
