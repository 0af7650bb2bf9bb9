"""What reads places refuses a corpus in which some are unknown, before it does anything."""

import pytest

from neurofm import checkpoints
from neurofm.data.corpus import Corpus
from neurofm.downstream.benchmarks.reconstruction.question import main as reconstruct
from neurofm.pretrain.tokenize import main as tokenize
from neurofm.pretrain.train import main as train
from tests.support import corpora
from tests.support.corpora import write_yaml
from tests.support.unplaced import unplaced

SAID = r"2 sensors have no known place \(E0, E2\).*reads where each sensor is"


@pytest.fixture
def folder(corpus_folder, tmp_path):
    return unplaced(corpus_folder, tmp_path / "corpus")


def test_a_batch(folder):
    corpus = Corpus.open(folder)
    assert corpus.contract.positions == "optional"
    batch = corpus.batch(corpus.select())
    unknown = batch.geometry.isnan().all(dim=-1) & batch.valid
    assert unknown.any()  # a network that read them would give NaN, not a guess
    layouts = [corpus.layout(w) for w in corpus.select()]
    assert [row.any().item() for row in unknown] == [
        not layout.has_position.all() for layout in layouts]


def test_pretraining_of_a_tokenizer(folder, tmp_path):
    run = {"data": str(folder), "out": str(tmp_path / "run"), "model": "brain_tokenizer",
           "architecture": corpora.TOKENIZER, "train": {"steps": 4, "batch_windows": 8}}
    with pytest.raises(ValueError, match=SAID):
        train([f"--config={write_yaml(tmp_path / 'run', run)}"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [tokenize, reconstruct])
def test_a_tokenizer(command, folder, tokenizer_folder, tmp_path):
    with pytest.raises(ValueError, match=SAID):
        command([f"--data={folder}", f"--model={tokenizer_folder}", f"--out={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


def test_where_every_sensor_has_its_place_optional_is_no_obstacle(
    corpus_folder, tokenizer_folder, tmp_path
):
    folder = unplaced(corpus_folder, tmp_path / "corpus", names=())
    assert tokenize([f"--data={folder}", f"--model={tokenizer_folder}",
                     f"--out={tmp_path / 'tokens'}"]) == 0
    run = {"data": str(folder), "out": str(tmp_path / "run"), "model": "brain_tokenizer",
           "architecture": corpora.TOKENIZER, "train": {"steps": 2, "batch_windows": 8}}
    assert train([f"--config={write_yaml(tmp_path / 'run', run)}"]) == 0
    # What was trained reads places, whatever the corpus did without: a new recording needs them.
    assert checkpoints.load(tmp_path / "run").contract.positions == "required"
