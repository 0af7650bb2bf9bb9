"""The planted corpus, a backbone, and a decoder trained on them, made once."""

import planted as planted_module
import pytest
from planted import Planted

from neurofm import checkpoints
from neurofm.checkpoints import golden
from neurofm.downstream.finetune import main as finetune
from neurofm.hub import staging


@pytest.fixture(scope="session")
def planted(tmp_path_factory) -> Planted:
    """A labelled corpus with an effect, and an untrained backbone. Never changed by a test."""
    folder = tmp_path_factory.mktemp("planted")
    return Planted(
        planted_module.make_corpus(folder / "corpus"),
        planted_module.make_backbone(folder / "backbone"),
    )


@pytest.fixture(scope="session")
def decoder(planted, tmp_path_factory):
    """Folder of a frozen decoder of the planted effect."""
    out = tmp_path_factory.mktemp("decoder") / "decoder"
    words = [f"--corpus={planted.corpus}", f"--model={planted.backbone}", f"--out={out}"]
    assert finetune([*words, "--train.steps=40", "--train.lr=1e-3"]) == 0
    return out


@pytest.fixture
def checked_here(monkeypatch):
    """What is published is checked in this process: a fresh one takes seconds to start, and
    test_published_loaded_by_name_and_decoding has it."""
    monkeypatch.setattr(staging, "check_in_fresh_process",
                        lambda folder: golden.check(checkpoints.load(folder), folder))
