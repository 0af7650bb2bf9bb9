"""Time to open a corpus of 10,000 recordings, by how much is verified, and to read it once.

Then one of 100,000 recordings and a million windows in shards of many recordings (faked tables,
sparse shards): seconds and private memory to open it, and to receive it in a worker. Then random
reads over 1,000 files, with maps kept and with 256 kept as before, by turns in one process.

Shards of 0.3 MB, a hundred windows each, layouts of 200 people. Each figure is the median of five
fresh openings in one process, with files in the page cache.
"""

import json
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from neurofm import artifacts, hashes, integrity
from neurofm.data import corpus as corpora
from neurofm.data import shards
from neurofm.data.contract import InputContract
from neurofm.data.corpus import Corpus
from neurofm.data.sensors import Sensors
from tests.support import faked

RECORDINGS, WINDOWS, CHANNELS, LAYOUTS, REPEATS = 10_000, 100, 32, 200, 5
CONTRACT = InputContract(sfreq=24.0, lowpass_hz=10.0, window_s=1.0)


def make(folder: Path, recordings: int = RECORDINGS, windows: int = WINDOWS,
         n_layouts: int = LAYOUTS) -> Path:
    """A sealed corpus whose recordings have the same signals."""
    random = np.random.default_rng(0)
    layouts = [Sensors(tuple(f"E{i}" for i in range(CHANNELS)), np.zeros(CHANNELS),
                       random.normal(0, 0.05, (CHANNELS, 3)), np.zeros((CHANNELS, 3)))
               for _ in range(n_layouts)]
    signals = random.standard_normal((windows, CHANNELS, 24)).astype(np.float32)
    digest = corpora.write_shard(folder, "first", signals)
    shard = (folder / "windows" / "first.arrow").read_bytes()
    (folder / "windows" / "first.arrow").unlink()
    rows = []
    for number in range(recordings):
        name = f"sub-{number // 2:05d}_ses-{number % 2}_task-rest"
        (folder / "windows" / f"{name}.arrow").write_bytes(shard)
        layout = layouts[number % n_layouts]
        rows.append({
            **dict.fromkeys(corpora.RECORDING_COLUMNS), "recording": name, "dataset": "d",
            "subject": f"{number // 2:05d}", "split": "test" if number % 20 < 2 else "train",
            "layout": layout.fingerprint, "n_channels": CHANNELS, "n_windows": windows,
            "duration_s": 100.0, "sfreq_original": 256.0, "source": f"{name}.edf",
            "quality": '{"bads": [], "windows_left_out": {}}', "attributes": "{}",
            "sha256": digest})
    table = pd.DataFrame({
        "recording": np.repeat(np.arange(recordings), windows),
        "row": np.tile(np.arange(windows), recordings),
        "start_s": np.tile(np.arange(windows, dtype=float), recordings),
        "label": np.tile(np.resize(["left", "right"], windows).astype(object), recordings)})
    corpora.seal(folder, CONTRACT, pd.DataFrame(rows), table,
                 {layout.fingerprint: layout for layout in layouts},
                 pd.DataFrame(columns=["source", "reason"]), {})
    return folder


def opened(folder: Path, how: integrity.Level, repeats: int = REPEATS) -> float:
    """Seconds to open it, once it was opened before."""
    times = []
    with integrity.scope():
        integrity.choose(how)
        for _ in range(repeats + 1):
            hashes.forget()
            began = time.perf_counter()
            Corpus.open(folder)
            times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def read(folder: Path, how: integrity.Level) -> float:
    """Seconds to read a window of each recording, after it is opened."""
    with integrity.scope():
        integrity.choose(how)
        corpus = Corpus.open(folder)
        first = np.unique(corpus.windows["recording"].to_numpy(), return_index=True)[1].tolist()
        began = time.perf_counter()
        for window in first:
            corpus.signal(window)
        return time.perf_counter() - began


def main() -> None:
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    folder, own = place / "corpus", len(sys.argv) == 1
    os.environ["NEUROFM_CACHE"] = str(place / "cache")
    if not artifacts.is_sealed(folder):
        os.fsync = lambda number: None
        make(folder)
    gigabytes = sum(size for size, _ in artifacts.read_manifest(folder).files.values()) / 1e9
    print(f"{RECORDINGS:,} recordings, {RECORDINGS * WINDOWS:,} windows, {gigabytes:.2f} GB; "
          f"median of {REPEATS}")
    print(f"{'what':<66}{'seconds':>9}")
    for how, what in (("off", "open, --verify off (sizes alone)"),
                      ("lazy", "open, --verify lazy (the default)")):
        print(f"{what:<66}{opened(folder, how):>9.2f}")
    print(f"{'open, --verify full (every byte, files in the page cache)':<66}"
          f"{opened(folder, 'full', 1):>9.2f}")
    for how, what in (("off", "read a window of each shard, not verified"),
                      ("lazy", "the same, each shard hashed")):
        print(f"{what:<66}{read(folder, how):>9.2f}")
    many(place / "many")
    reads(place / "reads")
    if own:
        shutil.rmtree(place)


def many(folder: Path, recordings: int = 100_000, windows: int = 10) -> None:
    """Print what opening a large corpus takes, in a new process each."""
    if not artifacts.is_sealed(folder):
        os.fsync = lambda number: None
        faked.make(folder, recordings, windows)
    sent = folder.with_name("sent")
    sent.write_bytes(pickle.dumps(Corpus.open(folder)))
    n_files = len(artifacts.read_manifest(folder).listed)
    print(f"{recordings:,} recordings, {recordings * windows:,} windows, {n_files:,} files; a "
          f"worker is sent {sent.stat().st_size / 1e6:.2f} MB")
    for how, where in (("open", folder), ("worker", sent)):
        found = [json.loads(subprocess.run(
            [sys.executable, "-c", faked.MEASURED, how, str(where)], text=True, check=True,
            capture_output=True).stdout) for _ in range(3)]
        seconds, mb = (statistics.median(each[key] for each in found) for key in ("seconds", "MB"))
        print(f"{how:<66}{seconds:>9.2f} s {mb:>6.1f} MB")


def reads(folder: Path, files: int = 1000, rows: int = 20, n: int = 4000) -> None:
    """Print random reads a second over many files."""
    for number in range(files):
        shards.write(folder / f"{number}.arrow", "signal",
                     np.zeros((rows, CHANNELS, 240), np.float32))
    random = np.random.default_rng(0)
    wanted = list(zip(random.integers(0, files, n).tolist(), random.integers(0, rows, n).tolist(),
                      strict=True))
    kept = shards._OPEN_FILES
    rates: dict[int, list[float]] = {256: [], kept: []}
    readers = {limit: shards.ShardReader(folder, "float32") for limit in rates}
    for _ in range(REPEATS):
        for limit, reader in readers.items():
            shards._OPEN_FILES = limit
            began = time.perf_counter()
            for file, row in wanted:
                reader.read(f"{file}.arrow", row)
            rates[limit].append(n / (time.perf_counter() - began))
    shards._OPEN_FILES = kept
    for limit, each in rates.items():
        print(f"{f'random reads over {files:,} files, {limit:,} kept open':<66}"
              f"{statistics.median(each):>9,.0f} /s")


if __name__ == "__main__":
    main()
