"""`neurofm tokenize`: every window once, continued when interrupted, never mixed."""

import numpy as np
import pytest
import torch
from corpora import make

import pretrain.tokenize
from neurofm import artifacts, hub
from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from pretrain.tokenize import main


def words(corpus, tokenizer, out):
    return [f"--corpus={corpus}", f"--tokenizer={tokenizer}", f"--out={out}", "--batch_windows=5"]


def test_each_window_has_its_codes(corpus_folder, tokenizer_folder, tokens_folder):
    corpus, found = Corpus.open(corpus_folder), TokenSet.open(tokens_folder)
    tokenizer = hub.load(tokenizer_folder)
    assert len(found) == len(corpus)
    for window in (0, 13, 40, 71):
        with torch.no_grad():
            wanted = tokenizer.encode(corpus.batch(np.array([window]))).ids[0]
        np.testing.assert_array_equal(found.ids(window), wanted.numpy())


def test_interrupted_and_continued(
    corpus_folder, tokenizer_folder, tokens_folder, tmp_path, monkeypatch, capsys
):
    out, write, written = tmp_path / "tokens", pretrain.tokenize.tokens.write_shard, []

    def killed_at_the_third(folder, name, ids):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(name)
        return write(folder, name, ids)

    monkeypatch.setattr(pretrain.tokenize.tokens, "write_shard", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        main(words(corpus_folder, tokenizer_folder, out))
    monkeypatch.undo()
    with pytest.raises(artifacts.ArtifactError, match="unfinished"):
        TokenSet.open(out)
    before = {name: (out / f"ids/{name}.arrow").stat().st_mtime_ns for name in written}
    capsys.readouterr()
    assert main(words(corpus_folder, tokenizer_folder, out)) == 0
    assert "sub-00" not in capsys.readouterr().out
    assert before == {name: (out / f"ids/{name}.arrow").stat().st_mtime_ns for name in written}
    # What is made does not depend on how: same fingerprint as in one go with other batches.
    assert TokenSet.open(out).fingerprint == TokenSet.open(tokens_folder).fingerprint
    assert main(words(corpus_folder, tokenizer_folder, out)) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_bad_input_other_parents(corpus_folder, tokenizer_folder, tokens_folder, tmp_path):
    other = make(tmp_path / "corpus", n_windows=3)
    with pytest.raises(ValueError, match="tokens of another corpus or tokenizer"):
        main(words(other, tokenizer_folder, tokens_folder))
    artifacts.claim(tmp_path / "begun", {"corpus": "x", "tokenizer": "y"})
    with pytest.raises(ValueError, match="begun with other settings"):
        main(words(other, tokenizer_folder, tmp_path / "begun"))


def test_bad_input_contract(tokenizer_folder, tmp_path, monkeypatch):
    import corpora

    monkeypatch.setattr(corpora, "CONTRACT", corpora.CONTRACT.with_(reference="none"))
    other = make(tmp_path / "corpus", n_windows=3)
    with pytest.raises(ValueError, match=r"reference: average, none.*ingest it again"):
        main(words(other, tokenizer_folder, tmp_path / "tokens"))
    assert not (tmp_path / "tokens").exists()
