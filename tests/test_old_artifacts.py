"""What an earlier version made still opens, loads and gives the same answers."""

import numpy as np
import pandas as pd
import pytest
import torch

from neurofm import artifacts, checkpoints, cli
from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from tests.old_artifacts.make import record

KINDS = {"corpus": "corpus", "tokens": "tokens", "tokenizer": "checkpoint",
         "brainomni": "checkpoint", "decoder": "checkpoint"}
PARENTS = {"tokenizer": {"data": "corpus"},
           "tokens": {"corpus": "corpus", "tokenizer": "tokenizer"},
           "brainomni": {"data": "tokens"}, "decoder": {"data": "corpus", "model": "brainomni"}}


@pytest.fixture(scope="module")
def old(repo):
    return repo / "tests" / "old_artifacts"


@pytest.fixture(scope="module")
def answers(old):
    """What the earlier version computed."""
    return np.load(old / "answers.npz")


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_sealed_as_it_was(old, name, kind):
    """Every byte is the manifest's, and parents are known by the fingerprints of then."""
    manifest = artifacts.open_sealed(old / name, kind, hashes=True)
    for role, parent in PARENTS.get(name, {}).items():
        kind = KINDS[parent]
        assert manifest.parents[role] == artifacts.open_sealed(old / parent, kind).fingerprint


def test_corpus_and_tokens(old, answers):
    corpus, tokens = Corpus.open(old / "corpus"), TokenSet.open(old / "tokens")
    assert [corpus.fingerprint, tokens.fingerprint] == answers["fingerprint"].tolist()
    windows = np.arange(len(corpus))
    assert np.array_equal(corpus.batch(windows).signal[::7].numpy(), answers["signal"])
    assert np.array_equal(np.stack([tokens.ids(window) for window in windows]), answers["ids"])
    splits = corpus.recordings.set_index("subject")["split"]
    assert splits.to_dict() == {**dict.fromkeys(["00", "01", "02", "03"], "train"),
                                "04": "validation", "05": "test"}
    assert set(corpus.windows["label"]) == {"left", "right"}


def test_tokenizer_model_and_decoder(old, answers):
    corpus = Corpus.open(old / "corpus")
    batch = corpus.batch(np.arange(len(corpus)))
    tokenizer = checkpoints.load(old / "tokenizer")
    assert np.array_equal(tokenizer.encode(batch).ids.numpy(), answers["ids"])
    with torch.no_grad():
        features = checkpoints.load(old / "brainomni").embed(batch).mean(dim=(1, 2)).numpy()
        probability = checkpoints.load(old / "decoder").predict(batch).numpy()
    assert np.allclose(features, answers["features"], atol=1e-5)
    assert np.allclose(probability, answers["probability"], atol=1e-5)
    assert np.ptp(answers["probability"]) > 0.05


def test_commands_take_them(old, answers, tmp_path):
    """Tokens are made again with the same fingerprint; a recording is decoded."""
    assert cli.main(["tokenize", f"--data={old / 'corpus'}", f"--model={old / 'tokenizer'}",
                     f"--out={tmp_path / 'tokens'}"]) == 0
    made = TokenSet.open(tmp_path / "tokens")
    assert np.array_equal(np.stack([made.ids(w) for w in range(len(made))]), answers["ids"])
    record(tmp_path / "somebody_raw.fif", 5)  # the last six windows of the corpus
    assert cli.main(["decode", str(tmp_path / "somebody_raw.fif"), f"--model={old / 'decoder'}",
                     f"--out={tmp_path / 'decoded'}"]) == 0
    table = pd.read_csv(tmp_path / "decoded" / "predictions.tsv", sep="\t")
    assert np.allclose(table[["p_left", "p_right"]], answers["probability"][-6:], atol=1e-4)
