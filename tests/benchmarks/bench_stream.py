"""How soon after a window closes its answer is there: 64 channels at 256 Hz in real time, one core.

    python tests/benchmarks/bench_stream.py [--windows 30] [--only demo]

Decoders with random weights, as time does not depend on them: the automatic decoder with all views
of signals, one of the demo's size, and on BrainOmni-tiny as published (256 wide, 12 blocks) with
either tokenizer. A window closes every
second; the signal is 1/f noise over a cap, replayed at the speed of recording. Beside the latency:
processor time of an answer, which other people's work on the machine does not lengthen as much.
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording
from neurofm.data.sensors import Sensors
from neurofm.downstream import stream
from neurofm.downstream.decoder.lacking import trained_band
from neurofm.downstream.decoder.stacked_build import empty
from neurofm.downstream.use.live import Replay
from neurofm.models.decoder import Decoder, DecoderConfig
from neurofm.models.stacked import Stacked
from neurofm.models.stacked_config import RECENTERED, SIGNALS
from neurofm.nn.leadfield import spiral
from neurofm.preprocessing.streaming import CausalStandardizer

N_CHANNELS, SFREQ, HOP_S = 64, 256.0, 1.0
DEMO = {
    "dim": 96, "n_heads": 8, "n_blocks": 4,
    "tokenizer": {"spatial": "leadfield", "dim": 48, "n_filters": 12, "n_sources": 16},
}
AUTOMATIC = {"views": [*SIGNALS, *(name + RECENTERED for name in SIGNALS)]}
CASES = [
    ("automatic decoder, all views, window 4 s", AUTOMATIC, 4.0),
    ("demo's size, window 4 s", DEMO, 4.0),
    ("BrainOmni-tiny, attention, window 2 s", {}, 2.0),
    ("BrainOmni-tiny, attention, window 4 s", {}, 4.0),
    ("BrainOmni-tiny, attention, window 10 s", {}, 10.0),
    ("BrainOmni-tiny, leadfield, window 4 s", {"tokenizer": {"spatial": "leadfield"}}, 4.0),
    ("BrainOmni-tiny, leadfield, window 10 s", {"tokenizer": {"spatial": "leadfield"}}, 10.0),
]


def recording(seconds: float) -> Recording:
    """1/f noise of 20 sources at 64 electrodes, about 15 µV."""
    random = np.random.default_rng(0)
    n = round(seconds * SFREQ)
    frequency = np.fft.rfftfreq(n, 1 / SFREQ)
    spectrum = random.standard_normal((20, len(frequency), 2)) @ [1, 1j]
    sources = np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 0.5)), n)
    signal = random.standard_normal((N_CHANNELS, 20)) @ sources
    signal += 0.1 * signal.std() * random.standard_normal(signal.shape)
    place = spiral(N_CHANNELS, lowest=-0.2).numpy() * 0.09 + np.array([0, 0, 0.04])
    sensors = Sensors(tuple(f"E{i}" for i in range(N_CHANNELS)), np.zeros(N_CHANNELS), place,
                      np.zeros((N_CHANNELS, 3)))
    return Recording((15e-6 * signal / signal.std()).astype(np.float32), SFREQ, sensors)


def stacked(contract: InputContract, views: list[str]) -> Stacked:
    """As of windows of this cap, before it is fitted: all views weigh alike."""
    windows, sensors = recording(40 * contract.window_s), recording(1).sensors
    few = torch.from_numpy(windows.signal / windows.signal.std()).double()
    few = few.unflatten(1, (40, -1)).transpose(0, 1)
    return empty(sensors, contract, few, ("left", "right"), tuple(views), None, "",
                 trained_band([]))


def measure(backbone: dict, window_s: float, n_windows: int) -> dict:
    torch.manual_seed(0)
    contract = InputContract(sfreq=SFREQ, window_s=window_s)
    decoder = stacked(contract, backbone["views"]) if "views" in backbone else Decoder(
        DecoderConfig(backbone=backbone)).eval()
    decoder.contract = contract
    feed = Replay(recording(window_s + (n_windows + 1) * HOP_S))
    standardizer = CausalStandardizer(feed.template, decoder.contract, HOP_S)
    stream._warm_up(decoder, standardizer)
    timing = stream.Timing(HOP_S)
    busy = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        stream.run_live(feed, standardizer, decoder, Path(folder) / "predictions.tsv", timing,
                        threading.Event(), stop_after=n_windows)
    busy = time.process_time() - busy
    return {**timing.summary(), "cpu_ms": 1e3 * busy / n_windows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=30, help="windows of each case")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{N_CHANNELS} channels at {SFREQ:g} Hz, one thread, {chosen.windows} windows each, one "
          f"every {HOP_S:g} s; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} "
          f"cores")
    print(f"{'decoder':<42}{'median ms':>10}{'p99 ms':>9}{'cpu ms':>9}{'x real time':>13}  kept up")
    for name, backbone, window_s in CASES:
        if chosen.only in name:
            got = measure(backbone, window_s, chosen.windows)
            print(f"{name:<42}{got['latency_median_ms']:>10.0f}{got['latency_p99_ms']:>9.0f}"
                  f"{got['cpu_ms']:>9.0f}{got['real_time_factor']:>13.1f}  "
                  f"{'yes' if got['kept_up'] else 'no'}", flush=True)


if __name__ == "__main__":
    main()
