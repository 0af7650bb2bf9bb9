"""How fast recordings become a corpus, and windows come out of it.

    python tests/benchmarks/bench_ingest.py [--hours 2] [--json out.json]

64 channels, 160 → 256 Hz, 0.1–75 Hz, notch at 50 and 60 Hz, EDF files of ten minutes simulated as
1/f noise with alpha. Prints × real time for one and two processes, beside the same steps done
straightforwardly with MNE in one process, in the same run; windows read in random order per second;
bytes per hour; peak memory.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

N_CHANNELS, SFREQ, NEW_SFREQ, MINUTES = 64, 160, 256, 10
WINDOW_S, LOWPASS_HZ = 10.0, 75.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="hours of recording ingested")
    parser.add_argument("--json", default="", help="also write the numbers here")
    chosen = parser.parse_args()
    n_files = max(2, round(chosen.hours * 60 / MINUTES))
    with tempfile.TemporaryDirectory(prefix="neurofm-bench-") as folder:
        numbers = measure(Path(folder), n_files)
    for name, value in numbers.items():
        print(f"{name:<44} {value:>12,.1f}" if isinstance(value, float) else f"{name:<44} {value}")
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(numbers, indent=1) + "\n")


def measure(folder: Path, n_files: int) -> dict[str, float]:
    """All numbers, by name."""
    source = folder / "recordings"
    source.mkdir()
    for number in range(n_files):
        write_edf(source / f"sub-{number:02d}_task-bench_eeg.edf", seed=number % 3)
    seconds = n_files * MINUTES * 60
    numbers: dict[str, float] = {}
    paths = sorted(source.iterdir())[:3]
    wall = timed(lambda: [plain_mne(path, folder / "plain") for path in paths])
    numbers["MNE step by step, 1 process, × real time"] = len(paths) * MINUTES * 60 / wall
    for workers in (1, 2):
        out = folder / f"corpus{workers}"
        wall, working = ingest(source, out, workers)
        numbers[f"neurofm ingest, {workers} process(es), × real time"] = seconds / wall
        numbers[f"neurofm ingest, {workers} process(es), once started"] = seconds / working
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    numbers["peak memory of a process, MB"] = children / 1024
    numbers["MB per hour of recording"] = sum(
        file.stat().st_size for file in (out / "windows").iterdir()) / 1e6 / (seconds / 3600)
    numbers.update(read_at_random(out))
    return numbers


def write_edf(path: Path, seed: int) -> None:
    """Ten minutes of 64 channels: 1/f noise common to neighbors, alpha at the back, µV."""
    import mne

    random = np.random.default_rng(seed)
    n = SFREQ * 60 * MINUTES
    names = mne.channels.make_standard_montage("biosemi64").ch_names
    spectrum = np.fft.rfft(random.standard_normal((16, n)), axis=1)
    spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(n, 1 / SFREQ), 0.5))
    sources = np.fft.irfft(spectrum, n, axis=1)
    mixed = random.standard_normal((N_CHANNELS, 16)) @ (sources / sources.std())
    mixed += 0.3 * random.standard_normal((N_CHANNELS, n))
    signal = 15e-6 * mixed / mixed.std()
    raw = mne.io.RawArray(signal, mne.create_info(names, SFREQ, "eeg"), verbose="ERROR")
    mne.export.export_raw(path, raw, physical_range=(-400, 400), verbose="ERROR")


def plain_mne(path: Path, out: Path) -> None:
    """What one would write with MNE: each step on the whole recording, a file a window."""
    import mne

    out.mkdir(exist_ok=True)
    raw = mne.io.read_raw(path, preload=True, verbose="ERROR")
    raw.set_montage("biosemi64", verbose="ERROR")
    raw.notch_filter([50, 60], verbose="ERROR")
    raw.filter(0.1, LOWPASS_HZ, verbose="ERROR")
    raw.resample(NEW_SFREQ, verbose="ERROR")
    log_power = np.log(raw.compute_psd(fmax=LOWPASS_HZ, verbose="ERROR").get_data())
    distance = np.sqrt(np.square(log_power[:, None] - log_power[None]).mean(2)).mean(1)
    q1, q3 = np.percentile(distance, [25, 75])
    raw.info["bads"] = [name for name, far in zip(raw.ch_names, distance, strict=True)
                        if not q1 - 10 * (q3 - q1) <= far <= q3 + 10 * (q3 - q1)]
    raw.interpolate_bads(verbose="ERROR")
    signal = raw.get_data()
    n = int(WINDOW_S * NEW_SFREQ)
    for number in range(signal.shape[1] // n):
        window = signal[:, number * n:(number + 1) * n]
        window = window - window.mean(0)
        np.save(out / f"{path.stem}-{number}.npy", (window / window.std()).astype(np.float32))


def ingest(source: Path, out: Path, workers: int) -> tuple[float, float]:
    """Seconds of the whole command, and of its work once processes have started."""
    command = [
        sys.executable, "-m", "neurofm.cli", "ingest", str(source), "--out", str(out),
        "--contract.lowpass_hz", str(LOWPASS_HZ), "--contract.window_s", str(WINDOW_S),
        "--workers", str(workers),
    ]
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall = time.perf_counter() - begin
    stamps = sorted(file.stat().st_mtime for file in (out / "windows").iterdir())
    # From the first finished recordings to the last: start-up is in neither.
    return wall, (stamps[-1] - stamps[workers - 1]) * len(stamps) / (len(stamps) - workers)


def read_at_random(folder: Path, n: int = 3000) -> dict[str, float]:
    """Windows read (and summed, so that every byte is touched) per second, random order."""
    from neurofm.data.corpus import Corpus

    corpus = Corpus.open(folder)
    chosen = np.random.default_rng(0).integers(0, len(corpus), n)
    copy = np.empty((N_CHANNELS, corpus.contract.window_samples), dtype=np.float32)
    rates = {}
    for name, use in (("views of the map", lambda i: corpus.signal(i)[0, 0]),
                      ("copied", lambda i: np.copyto(copy, corpus.signal(i)))):
        wall = timed(lambda use=use: [use(i) for i in chosen])
        rates[f"random windows of {WINDOW_S:g} s read per second, {name}"] = n / wall
    return rates


def timed(function) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
