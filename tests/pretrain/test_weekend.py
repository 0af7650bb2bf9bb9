"""A run is signaled, killed and left without disk space at random; `make bench` does it longer."""

import os
import random

import pytest

from neurofm import artifacts
from neurofm.pretrain.train import main as pretrain_main
from tests.support import corpora, weekend

STEPS = 120


@pytest.mark.long
def test_resume_after_a_weekend_in_small(corpus_folder, tmp_path):
    """The seed of NEUROFM_WEEKEND, else of each day's own; a failure tells it."""
    seed = int(os.environ.get("NEUROFM_WEEKEND") or random.randrange(10**6))
    print("NEUROFM_WEEKEND =", seed)
    run = corpora.write_yaml(tmp_path / "run", {
        "model": "brain_tokenizer", "data": str(corpus_folder), "architecture": corpora.TOKENIZER,
        "train": {"steps": STEPS, "batch_windows": 8, "log_every": 1, "save_every": 10},
    })  # fmt: skip
    assert pretrain_main([f"--config={run}", f"--out={tmp_path / 'whole'}"]) == 0
    with weekend.disk(tmp_path / "disk", 16) as room:
        out = room.folder / "run"
        came = weekend.live(["neurofm.pretrain", f"--config={run}", f"--out={out}"], out, room,
                            steps=STEPS, strikes=4, seed=seed)
        assert {strike.kind for strike in came} == {*weekend.KINDS}
        one, other = (artifacts.open_sealed(folder, hashes=True)
                      for folder in (tmp_path / "whole", out))
        assert one.files["model.safetensors"] == other.files["model.safetensors"]
        assert str(weekend.log(tmp_path / "whole")) == str(weekend.log(out))
        assert not list(out.rglob("*.part"))
