"""Decoders refuse a corpus of sensors without places, and simple baselines take it."""

import numpy as np
import pytest

from neurofm import checkpoints, embed
from neurofm.data.corpus import Corpus
from neurofm.downstream.benchmarks.decoding.fitted import Baselines
from neurofm.downstream.benchmarks.decoding.question import main as evaluate
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.explain import main as explain
from neurofm.downstream.finetune import main as finetune
from neurofm.downstream.scoring import attribution
from neurofm.downstream.scoring.attribution_figure import flattened
from tests.support.unplaced import unplaced

SAID = "2 sensors have no known place (E0, E2)"


@pytest.fixture
def folder(planted, tmp_path):
    return unplaced(planted.corpus, tmp_path / "corpus")


@pytest.mark.parametrize("command", [finetune, evaluate])
def test_what_trains_networks(command, planted, folder, tmp_path):
    with pytest.raises(ValueError, match="no known place") as caught:
        command([f"--data={folder}", f"--model={planted.backbone}", f"--out={tmp_path / 'out'}"])
    assert SAID in str(caught.value)
    assert "baselines alone" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_what_applies_them(planted, decoder, folder, tmp_path):
    with pytest.raises(ValueError, match="no known place"):
        explain([f"--data={folder}", f"--model={decoder}", f"--out={tmp_path / 'out'}"])
    with pytest.raises(ValueError, match="no known place"):
        embed(folder, planted.backbone)


def test_baselines_and_their_maps(folder):
    corpus = Corpus.open(folder)
    data = labeled(corpus)
    answers, _ = Baselines(data, data.all, 1).answers("band_power_lr", data, 0)
    windows, target, _ = data.of("test")
    assert (answers.argmax(1) == target).mean() > 0.85
    (found,) = attribution.of_answers(answers, data.classes, corpus, windows, target, draws=20)
    assert np.isfinite(found.pattern).all()
    places = dict(zip(found.sensors.names, flattened(found.sensors), strict=True))
    assert np.isnan(places["E0"]).all()
    assert np.isfinite(places["E1"]).all()


def test_a_decoder_trained_where_places_were_optional_wants_them_of_a_new_recording(
    planted, tmp_path
):
    folder = unplaced(planted.corpus, tmp_path / "corpus", names=())
    out = tmp_path / "decoder"
    assert finetune([f"--data={folder}", f"--model={planted.backbone}", f"--out={out}",
                     "--decoder=network", "--train.steps=2"]) == 0
    assert checkpoints.load(out).contract.positions == "required"
