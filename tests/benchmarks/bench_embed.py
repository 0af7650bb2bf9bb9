"""Memory and time to embed an hour of 64-channel EEG at 256 Hz from a file, on two threads.

    python tests/benchmarks/bench_embed.py [--minutes 60] [--spatial leadfield]

BrainOmni-tiny (256 wide, 12 blocks) with random weights, as time does not depend on them: with the
lead field, and with attention over encoded channels as published, which encodes 64 channels, where
the lead field encodes 16 sources. The file is made in one process and embedded in another, whose
peak of resident memory and processor time count from its start. Other people's work on the machine
lengthens the clock time, so processor time is quoted beside it.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

N_CHANNELS, SFREQ, THREADS = 64, 256.0, 2


def write(path: Path, minutes: float) -> None:
    """1/f noise of 20 sources at 64 electrodes of the 10-10 system, about 15 µV, as FIF."""
    import mne
    import numpy as np

    random = np.random.default_rng(0)
    n = round(60 * minutes * SFREQ)
    frequency = np.fft.rfftfreq(n, 1 / SFREQ)
    spectrum = random.standard_normal((20, len(frequency), 2)) @ [1, 1j]
    sources = np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 0.5)), n)
    signal = random.standard_normal((N_CHANNELS, 20)) @ sources
    signal += 0.1 * signal.std() * random.standard_normal(signal.shape)
    signal *= 15e-6 / signal.std()
    info = mne.create_info(mne.channels.make_standard_montage("biosemi64").ch_names, SFREQ, "eeg")
    raw = mne.io.RawArray(signal, info, verbose="ERROR")
    raw.set_montage("biosemi64").save(path, verbose="ERROR")


def measure(path: Path, spatial: str) -> None:
    """In a process of its own: prints a row."""
    import torch

    import neurofm

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    config = neurofm.BrainOmniConfig(tokenizer={"spatial": spatial})
    model = neurofm.BrainOmni(config).eval()
    model.contract = neurofm.InputContract()
    busy, began = time.process_time(), time.perf_counter()
    features = neurofm.embed(path, model)
    busy, took = time.process_time() - busy, time.perf_counter() - began
    seconds = len(features) * model.contract.window_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{spatial:<12}{seconds / 60:>8.1f}{took:>10.1f}{busy:>10.1f}{seconds / took:>13.0f}"
          f"{THREADS * seconds / busy:>18.0f}{peak:>11.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[3, 60])
    parser.add_argument("--spatial", nargs="+", default=["leadfield", "attention"])
    parser.add_argument("--write", nargs=2, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.write:
        write(Path(chosen.write[0]), float(chosen.write[1]))
        return
    if chosen.measure:
        measure(Path(chosen.measure[0]), chosen.measure[1])
        return
    print(f"BrainOmni-tiny, {N_CHANNELS} channels at {SFREQ:g} Hz, {THREADS} threads; load of the "
          f"machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    print(f"{'spatial':<12}{'minutes':>8}{'clock s':>10}{'cpu s':>10}{'x real time':>13}"
          f"{'x by cpu time':>18}{'peak GiB':>11}", flush=True)
    child = [sys.executable, __file__]
    # Passive: threads that wait for a core that others use would burn processor time.
    env = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    with tempfile.TemporaryDirectory() as folder:
        for minutes in chosen.minutes:
            path = Path(folder) / "hour_raw.fif"
            path.unlink(missing_ok=True)
            subprocess.run([*child, "--write", str(path), str(minutes)], check=True)
            for spatial in chosen.spatial:
                subprocess.run([*child, "--measure", str(path), spatial], check=True, env=env)


if __name__ == "__main__":
    main()
