"""Made the folders here, with the code of another commit: see README.md."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import mne
import numpy as np
import torch
import yaml

NAMES = ["F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2"]
CONTRACT = ["--contract.sfreq=64", "--contract.lowpass_hz=25", "--contract.window_s=1",
            "--contract.notch_hz=[]"]
TOKENIZER = {"window_length": 64, "spatial": "leadfield", "n_filters": 2, "ratios": [4, 4],
             "dim": 8, "n_sources": 2, "n_heads": 2, "n_levels": 2, "n_codes": 16,
             "quantize_from": 0.3}
BRAINOMNI = {"dim": 8, "n_heads": 2, "n_blocks": 2, "dropout": 0.0}


def record(path: Path, seed: int) -> None:
    """Six seconds of 8 channels at 128 Hz, with left and right in turn: alpha on either side."""
    random = np.random.default_rng(seed)
    label = ["left", "right"] * 3
    time_s = np.arange(6 * 128) / 128
    signal = random.standard_normal((8, len(time_s)))
    for second, side in enumerate(label):
        now = slice(128 * second, 128 * (second + 1))
        signal[side == "right"::2, now] += 3 * np.sin(2 * np.pi * 10 * time_s[now])
    raw = mne.io.RawArray(1e-5 * signal, mne.create_info(NAMES, 128.0, "eeg"), verbose="ERROR")
    raw.set_annotations(mne.Annotations(np.arange(6.0), 0.0, label))
    path.parent.mkdir(parents=True, exist_ok=True)
    raw.save(path, verbose="ERROR")


def main(out: Path) -> None:
    import neurofm
    from downstream.finetune import main as finetune
    from neurofm.data.corpus import Corpus
    from neurofm.data.tokens import TokenSet
    from neurofm.hub import load
    from preprocessing.ingest import main as ingest
    from pretrain.tokenize import main as tokenize
    from pretrain.train import main as pretrain

    def run(folder: str, **settings) -> None:
        path = Path(f"{folder}.yaml")
        path.write_text(yaml.safe_dump({"out": folder, **settings}))
        assert pretrain([f"--config={path}"]) == 0

    for number in range(6):
        record(Path(f"raw/sub-{number:02d}/sub-{number:02d}_task-side_raw.fif"), number)
    assert ingest(["raw", "--out=corpus", "--workers=1", *CONTRACT, "--label.source=event",
                   "--label.mapping={left: left, right: right}",
                   "--splits.validation=['04']", "--splits.test=['05']"]) == 0
    training = {"steps": 6, "batch_windows": 8}
    run("tokenizer", data="corpus", model="brain_tokenizer", architecture=TOKENIZER,
        train=training)
    assert tokenize(["--corpus=corpus", "--tokenizer=tokenizer", "--out=tokens"]) == 0
    run("brainomni", data="tokens", tokenizer="tokenizer", model="brainomni",
        architecture=BRAINOMNI, train=training)
    assert finetune(["--corpus=corpus", "--model=brainomni", "--out=decoder",
                     "--train.steps=10"]) == 0

    corpus, tokens = Corpus.open("corpus"), TokenSet.open("tokens")
    windows = np.arange(len(corpus))
    batch = corpus.batch(windows)
    with torch.no_grad():
        np.savez_compressed(
            "answers.npz", signal=batch.signal[::7].numpy(),
            ids=np.stack([tokens.ids(window) for window in windows]),
            features=load("brainomni").embed(batch).mean(dim=(1, 2)).numpy(),
            probability=load("decoder").predict(batch).numpy(),
            fingerprint=[corpus.fingerprint, tokens.fingerprint])
    print(neurofm.__file__)
    for name in ("corpus", "tokens", "tokenizer", "brainomni", "decoder", "answers.npz"):
        source, target = Path(name), out / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("tensorboard", ".*"))
        else:
            shutil.copy(source, target)


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main(target)
