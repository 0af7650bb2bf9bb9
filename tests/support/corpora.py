"""Small corpora for tests: smooth fields of 1/f activity seen by layouts of several sizes."""

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from neurofm.data import corpus
from neurofm.data.contract import InputContract
from neurofm.data.sensors import HEAD_CENTER_M, Sensors

SFREQ = 64.0
WINDOW_S = 2.0
N_TIMES = 128
SPLITS = ("train", "train", "train", "train", "validation", "test")
CONTRACT = InputContract(sfreq=SFREQ, lowpass_hz=30.0, window_s=WINDOW_S, notch_hz=())


def layout(n_channels: int) -> Sensors:
    """n electrodes spread over the upper half of a sphere."""
    z = 1 - (np.arange(n_channels) + 0.5) / n_channels
    azimuth = np.arange(n_channels) * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - z**2)
    direction = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)
    return Sensors(
        tuple(f"E{i}" for i in range(n_channels)), np.zeros(n_channels),
        HEAD_CENTER_M + 0.1 * direction, np.zeros((n_channels, 3)),
    )


def signals(sensors: Sensors, n_windows: int, seed: int) -> np.ndarray:
    """float32 [window, channel, time]: eight sources with a 1/f spectrum, Gaussian footprints."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.rfftfreq(N_TIMES, 1 / SFREQ)
    spectrum = rng.standard_normal((n_windows, 8, len(frequency), 2)) @ [1, 1j]
    spectrum /= np.maximum(frequency, 1.0)
    sources = np.fft.irfft(spectrum, N_TIMES)
    places = layout(8).position
    distance = np.linalg.norm(sensors.position[:, None] - places, axis=-1)
    mixed = np.exp(-((distance / 0.06) ** 2)) @ sources
    return (mixed / mixed.std(axis=(1, 2), keepdims=True)).astype(np.float32)


def make(
    folder: Path, *, n_channels: tuple[int, ...] = (5, 8, 12), n_windows: int = 12,
    splits: tuple[str, ...] = SPLITS, spoil: dict[str, int] | None = None,
    dataset: str = "simulated", contract: InputContract | None = None,
) -> Path:
    """A sealed corpus with a subject for each of `splits`, layouts taking turns.

    spoil: recording → window in which one sample becomes infinite.
    """
    layouts = [layout(n) for n in n_channels]
    recordings, windows = [], []
    for number, split in enumerate(splits):
        sensors, name = layouts[number % len(layouts)], f"sub-{number:02d}"
        data = signals(sensors, n_windows, seed=number)
        if name in (spoil or {}):
            data[spoil[name], 0, 7] = np.inf
        recordings.append({
            "recording": name, "dataset": dataset, "subject": f"{number:02d}", "session": None,
            "task": "rest", "run": None, "split": split, "layout": sensors.fingerprint,
            "n_channels": len(sensors), "n_windows": n_windows,
            "duration_s": n_windows * WINDOW_S, "sfreq_original": SFREQ, "bads": "",
            "quality": "{}", "attributes": "{}", "source": f"/archive/{name}.edf",
            "sha256": corpus.write_shard(folder, name, data),
        })
        windows += [{"recording": number, "row": row, "start_s": row * WINDOW_S, "label": None}
                    for row in range(n_windows)]
    failures = pd.DataFrame(columns=["source", "reason"])
    corpus.seal(folder, contract or CONTRACT, pd.DataFrame(recordings), pd.DataFrame(windows),
                {sensors.fingerprint: sensors for sensors in layouts}, failures, config={})
    return folder


# Tiny networks. A window of 1 s gives 4 frames of 4 sources; quantized after 0.3 of a run, with
# projections to narrower codes, which therefore have no gradient before. Codes die quickly.
TOKENIZER = {
    "window_length": 64, "spatial": "leadfield", "n_filters": 4, "ratios": [4, 4], "dim": 16,
    "n_sources": 4, "n_heads": 2, "n_levels": 2, "n_codes": 16, "code_dim": 8,
    "ema_decay": 0.5, "quantize_from": 0.3,
}  # fmt: skip
BRAINOMNI = {"dim": 16, "n_heads": 2, "n_blocks": 2, "dropout": 0.0}


def write_yaml(out: Path, run: dict) -> Path:
    """The settings of a run beside its folder, for --config."""
    path = out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(run))
    return path
