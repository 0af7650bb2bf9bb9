"""A small labeled corpus with a planted effect, and a small model that was never pretrained.

Twelve people, two recordings each, 16 electrodes: 1/f-like activity of a few sources with a 10 Hz
rhythm on both sides of the head; it is weaker on the right in windows labeled "left".
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from neurofm import checkpoints
from neurofm.data import corpus
from neurofm.data.contract import InputContract
from neurofm.data.sensors import Sensors
from neurofm.models.brainomni import BrainOmni, BrainOmniConfig

SFREQ, WINDOW_S = 128.0, 2.0
CONTRACT = InputContract(sfreq=SFREQ, lowpass_hz=45.0, window_s=WINDOW_S, notch_hz=())
SPLIT = ["train"] * 8 + ["validation"] * 2 + ["test"] * 4


def cap(n_channels: int = 16) -> Sensors:
    """Electrodes spread over the upper half of a head, in a fixed order."""
    k = np.arange(n_channels)
    height, angle = (k + 0.5) / n_channels, k * np.pi * (3 - np.sqrt(5))
    around = np.sqrt(1 - height**2)
    places = 0.09 * np.stack([around * np.cos(angle), around * np.sin(angle), height], axis=1)
    return Sensors(
        tuple(f"E{i}" for i in k), np.zeros(n_channels), places + np.array([0, 0, 0.04]),
        np.zeros((n_channels, 3)),
    )


def windows_of(
    rng, sensors: Sensors, labels: list[str], effect: float, contract: InputContract = CONTRACT
) -> np.ndarray:
    """Standardized windows [window, channel, time] of one recording."""
    n, n_times = len(labels), round(contract.sfreq * contract.window_s)
    frequency = np.fft.rfftfreq(n_times, 1 / contract.sfreq)
    shape = 1 / np.maximum(frequency, 1.0)
    places = sensors.position / 0.09
    mixing = rng.standard_normal((len(sensors), 8))
    spectrum = rng.standard_normal((n, 8, len(frequency), 2)) @ [1, 1j] * shape
    signal = np.einsum("cs,wst->wct", mixing, np.fft.irfft(spectrum, n_times))
    time = np.arange(n_times) / contract.sfreq
    for side in (-1, 1):
        pattern = np.exp(-np.square(places - [0.6 * side, 0, 1.1]).sum(1) / 0.3)
        phase = rng.uniform(0, 2 * np.pi, n)
        hit = np.array([1 - effect * _weaker(label, side) for label in labels])
        rhythm = hit[:, None] * np.sin(2 * np.pi * 10 * time + phase[:, None])
        signal += 0.6 * pattern[None, :, None] * rhythm[:, None]
    signal -= signal.mean(axis=1, keepdims=True)
    return (signal / signal.std(axis=(1, 2), keepdims=True)).astype(np.float32)


def _weaker(label: str, side: int) -> float:
    """How much of the effect a rhythm shows; numbers from 20 to 70 shift it from side to side."""
    share = (float(label) - 20) / 50 if label[0].isdigit() else float(label == "left")
    return share if side > 0 else 1 - share


def make_corpus(
    folder: Path, *, effect: float = 0.9, n_windows: int = 16, shuffled: bool = False,
    caps: tuple[int, ...] = (16,), split: list[str] = SPLIT, labeled: bool = True, seed: int = 0,
    number: bool = False, contract: InputContract = CONTRACT,
) -> Path:
    """A sealed corpus; windows of a recording alternate between the labels at random.

    number: labels are numbers from 20 to 70 instead.
    """
    rng = np.random.default_rng(seed)
    layouts = {layout.fingerprint: layout for layout in map(cap, caps)}
    recordings, rows = [], []
    for person, part in enumerate(split):
        for run, layout in enumerate(layouts.values()):
            name = f"sub-{person:02d}_run-{run}"
            labels = rng.permutation(["left", "right"] * (n_windows // 2)).tolist()
            if number:
                labels = [f"{value:.1f}" for value in rng.uniform(20, 70, n_windows)]
            signals = windows_of(rng, layout, labels, effect, contract)
            if shuffled:
                labels = rng.permutation(labels).tolist()
            digest = corpus.write_shard(folder, name, signals)
            for row, label in enumerate(labels):
                rows.append((len(recordings), row, row * contract.window_s,
                             label if labeled else None))
            recordings.append({
                "recording": name, "dataset": "planted", "subject": f"{person:02d}",
                "session": None, "task": "imagery", "run": str(run), "split": part,
                "layout": layout.fingerprint, "n_channels": len(layout), "n_windows": n_windows,
                "duration_s": n_windows * contract.window_s, "sfreq_original": contract.sfreq,
                "bads": "",
                "quality": "{}", "attributes": f'{{"device": "cap{len(layout)}"}}',
                "source": f"planted/{name}", "sha256": digest,
            })
    columns = ["recording", "row", "start_s", "label"]
    corpus.seal(
        folder, contract, pd.DataFrame(recordings), pd.DataFrame(rows, columns=columns), layouts,
        pd.DataFrame(columns=["source", "reason"]), {},
    )
    return folder


def make_backbone(
    folder: Path, ledger: dict | None = None, geometry: str = "head", spatial: str = "leadfield",
    seed: int = 100,
) -> Path:
    """A sealed checkpoint of a small BrainOmni with random weights."""
    torch.manual_seed(seed)
    config = BrainOmniConfig(
        tokenizer={"window_length": 128, "spatial": spatial, "n_filters": 4, "dim": 16,
                   "ratios": (4, 2), "n_sources": 8, "n_heads": 2, "n_levels": 2, "n_codes": 32},
        dim=32, n_heads=4, n_blocks=3,
    )
    model = BrainOmni(config)
    model.contract = CONTRACT.with_(geometry=geometry)
    quantizer = model.tokenizer.quantizer
    quantizer.train()(torch.nn.functional.normalize(torch.randn(500, 16), dim=-1))
    quantizer.eval()
    checkpoints.save_checkpoint(model.eval(), folder, config={}, parents={},
                        ledger=ledger or {"recordings": []}, metrics={})
    return folder


@dataclass
class Planted:
    """Sealed folders that tests read and never change."""

    corpus: Path
    backbone: Path
