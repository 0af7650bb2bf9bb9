"""Resume by the real command: what a scheduler, a user and a power cut do to it."""

import os
import re
import signal
import subprocess
import sys

import pytest

from neurofm import artifacts
from neurofm.pretrain.train import main as pretrain_main
from neurofm.run import STOPPED
from tests.support import corpora
from tests.support.training_process import log, wait_for


@pytest.mark.long
def test_resume_after_signals_and_kill(corpus_folder, tmp_path):
    """SIGTERM, then kill -9, then to the end with two loader processes: as if nothing happened."""
    settings = {
        "model": "brain_tokenizer", "data": str(corpus_folder), "architecture": corpora.TOKENIZER,
        "train": {"steps": 100, "batch_windows": 8, "log_every": 1, "save_every": 5,
                  "validate_every": 50, "spikes": 30.0},  # the guard's memory goes along
    }  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    config = f"--config={corpora.write_yaml(parts, settings)}"
    assert pretrain_main([config, f"--out={whole}"]) == 0
    command = [sys.executable, "-m", "neurofm.pretrain", config, f"--out={parts}"]

    def start(*words):
        return subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True,
                                env={**os.environ, "OMP_NUM_THREADS": "1"})

    process = start("--train.workers=1")
    wait_for(lambda: len(log(parts)) >= 3, process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == STOPPED
    assert "as asked; state saved in" in said
    stopped_at = log(parts)[-1]["step"]
    assert stopped_at < 90
    assert f"stopped after step {stopped_at}" in said

    process = start()
    wait_for(lambda: log(parts)[-1]["step"] >= stopped_at + 7, process)
    process.kill()
    said, _ = process.communicate(timeout=60)
    assert f"continuing at step {stopped_at}" in said
    assert not artifacts.is_sealed(parts)

    process = start("--train.workers=2")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    (step,) = re.findall(r"continuing at step (\d+)", said)
    assert int(step) >= (stopped_at + 7) // 5 * 5
    assert str(log(parts)) == str(log(whole))  # as text: NaN equals itself there
    one, other = (artifacts.open_sealed(out, hashes=True) for out in (whole, parts))
    assert one.files["model.safetensors"] == other.files["model.safetensors"]
