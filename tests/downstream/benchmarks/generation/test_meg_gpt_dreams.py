"""What a small MEG-GPT dreams after it has learned simulated people: their spectra, and amplitudes
that rise and fall together in each hemisphere. Everything by the commands of a user; judged on
recordings that no model has seen."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from neurofm import cli
from neurofm.data import corpus as corpora_format
from neurofm.data.contract import InputContract
from neurofm.data.sensors import KINDS, Sensors

SFREQ = 50.0
N_PEOPLE, N_CHANNELS, SECONDS, WINDOW = 5, 6, 120, 400
CONTRACT = InputContract(sfreq=SFREQ, lowpass_hz=20.0, window_s=WINDOW / SFREQ, notch_hz=(),
                         kinds=("roi",), scale="recording_std")
MODEL = {"dim": 32, "n_heads": 2, "feedforward_dim": 64, "learn_people": True}
OURS = {**MODEL, "n_blocks": 1, "context": 64}
RELEASED = {**MODEL, "body": "patched", "n_channels": N_CHANNELS,
            "plan": [[64, 1, 16, 4, 8], [16, 4, 16, 1, 0]]}


def draw(person: int, seed: int) -> np.ndarray:
    """float32 [channel, time]: a rhythm at the person's own frequency over a 1/f floor, carriers
    of their own in each channel; amplitudes of a hemisphere (every second channel) rise as one."""
    rng, n = np.random.default_rng([person, seed]), round(SECONDS * SFREQ)
    angle, radius = 2 * np.pi * (6 + 2 * person) / SFREQ, 0.97
    hann = np.hanning(40)
    together = np.stack([np.convolve(rng.standard_normal(n + 39), hann, "valid")
                         for _ in range(2)])
    together /= together.std(axis=1, keepdims=True)
    rows = []
    for channel in range(N_CHANNELS):
        rhythm = lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2],
                         rng.standard_normal(n + 200))[200:]
        floor = lfilter([1.0], [1.0, -0.8], rng.standard_normal(n))
        rows.append(rhythm / rhythm.std() * np.exp(0.8 * together[channel % 2])
                    + 0.5 * floor / floor.std())
    signal = np.array(rows, dtype=np.float32)
    return (signal - signal.mean(axis=1, keepdims=True)) / signal.std(axis=1, keepdims=True)


def make_corpus(folder: Path, seed: int) -> Path:
    place = np.array([[(-1) ** k * 0.05, 0.04 - 0.04 * (k // 2), 0.07] for k in range(N_CHANNELS)])
    sensors = Sensors(tuple(f"{'LR'[k % 2]}{k // 2}" for k in range(N_CHANNELS)),
                      np.full(N_CHANNELS, KINDS.index("roi")), place, np.zeros_like(place))
    recordings, windows = [], []
    n_windows = round(SECONDS * SFREQ) // WINDOW
    for person in range(N_PEOPLE):
        signal, name = draw(person, seed), f"sub-{person}"
        parts = [signal[:, k * WINDOW : (k + 1) * WINDOW] for k in range(n_windows)]
        recordings.append({
            "recording": f"{name}_{seed}", "dataset": "simulated", "subject": f"{person}",
            "session": None, "task": "rest", "run": str(seed), "split": "train",
            "layout": sensors.fingerprint, "n_channels": N_CHANNELS, "n_windows": n_windows,
            "duration_s": float(SECONDS), "sfreq_original": SFREQ, "bads": "", "quality": "{}",
            "attributes": "{}", "source": f"/archive/{name}.fif",
            "sha256": corpora_format.write_shard(folder, f"{name}_{seed}", parts),
        })
        windows += [{"recording": person, "row": k, "start_s": k * WINDOW / SFREQ, "label": None}
                    for k in range(n_windows)]
    corpora_format.seal(folder, CONTRACT, pd.DataFrame(recordings), pd.DataFrame(windows),
                        {sensors.fingerprint: sensors}, pd.DataFrame(columns=["source", "reason"]),
                        config={})
    return folder


def run(*words: str) -> None:
    assert cli.main([*words]) == 0


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> pd.DataFrame:
    """The table of the judges: a row a source."""
    out = tmp_path_factory.mktemp("dreams")
    seen, unseen = (make_corpus(out / name, k) for k, name in enumerate(("seen", "unseen")))
    start = {"n_tokens": 24, "n_units": 32, "start": "levels", "margin": 8}
    run("pretrain", "--model=ephys_tokenizer", f"--data={seen}", f"--out={out / 'tokenizer'}",
        f"--architecture={json.dumps(start)}", "--train.steps=20", "--train.lr=1e-4")
    for name, architecture in (("ours", OURS), ("released", RELEASED)):
        run("pretrain", "--model=meg_gpt", f"--data={seen}", f"--out={out / name}",
            f"--tokenizer={out / 'tokenizer'}", f"--architecture={json.dumps(architecture)}",
            "--train.steps=600", "--train.lr=5e-3", "--train.batch_windows=16",
            "--train.warmup=0.04", "--train.weight_decay=0.01", "--train.final_lr=0.05")
        run("generate", f"--model={out / name}", f"--data={unseen}", "--split=train",
            "--seconds=60", f"--out={out / ('drawn_' + name)}")
    drawn = {name: str(out / f"drawn_{name}") for name in ("ours", "released")}
    run("evaluate", "generation", f"--data={unseen}", f"--generated={json.dumps(drawn)}",
        "--bands={rhythm: [4, 18]}", "--ar_order=20", "--mvar_order=5", f"--out={out / 'judged'}")
    return pd.read_csv(out / "judged" / "table.tsv", sep="\t").set_index("source")


@pytest.mark.long
def test_spectra_are_nearer_to_ones_own_than_to_others(judged):
    for name in ("ours", "released"):
        row = judged.loc[name]
        assert row["psd_l2"] < row["psd_l2_others"] - 2  # dB
        assert row["psd_l2_top1"] == 1
        assert row["psd_l2_p"] < 0.05  # of 120 exchanges of people


@pytest.mark.long
def test_amplitudes_of_channels_go_together_only_where_channels_are_looked_at(judged):
    r = judged["envelope_rhythm"]
    assert r["ours"] > 0.5
    assert abs(r["released"]) < 0.3
    assert abs(r["AR(20)"]) < 0.3
    assert r["real, other half"] > 0.8
