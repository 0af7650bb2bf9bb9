"""`neurofm tokenize`: every window once, continued when interrupted, never mixed."""

import re

import numpy as np
import pytest
import torch
from filelock import FileLock

import neurofm.pretrain.tokenize
from neurofm import artifacts, checkpoints, cli
from neurofm.data import packing
from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from neurofm.models.brainomni import BrainOmni, BrainOmniConfig
from neurofm.pretrain.tokenize import main
from tests.support.corpora import make


def words(corpus, tokenizer, out):
    return [f"--data={corpus}", f"--model={tokenizer}", f"--out={out}", "--batch_windows=5"]


def test_each_window_has_its_codes(corpus_folder, tokenizer_folder, tokens_folder):
    corpus, found = Corpus.open(corpus_folder), TokenSet.open(tokens_folder)
    tokenizer = checkpoints.load(tokenizer_folder)
    assert len(found) == len(corpus)
    for window in (0, 13, 40, 71):
        with torch.no_grad():
            wanted = tokenizer.encode(corpus.batch(np.array([window]))).ids[0]
        np.testing.assert_array_equal(found.ids(window), wanted.numpy())


def test_interrupted_and_continued(
    corpus_folder, tokenizer_folder, tokens_folder, tmp_path, monkeypatch, capsys
):
    out, write, written = tmp_path / "tokens", neurofm.pretrain.tokenize.tokens.write_shard, []

    def killed_at_the_third(folder, name, ids):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(name)
        return write(folder, name, ids)

    monkeypatch.setattr(neurofm.pretrain.tokenize.tokens, "write_shard", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        main(words(corpus_folder, tokenizer_folder, out))
    monkeypatch.undo()
    with pytest.raises(artifacts.ArtifactError, match="unfinished"):
        TokenSet.open(out)
    before = {name: (out / f"ids/{name}.arrow").stat().st_mtime_ns for name in written}
    assert main(words(corpus_folder, tokenizer_folder, out)) == 0
    assert before == {name: (out / f"ids/{name}.arrow").stat().st_mtime_ns for name in written}
    # What is made does not depend on how: same fingerprint as in one go with other batches.
    assert TokenSet.open(out).fingerprint == TokenSet.open(tokens_folder).fingerprint
    assert main(words(corpus_folder, tokenizer_folder, out)) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_bad_input_other_parents(corpus_folder, tokenizer_folder, tokens_folder, tmp_path):
    other = make(tmp_path / "corpus", n_windows=3)
    with pytest.raises(ValueError, match=r"made with other settings \((corpus|tokenizer): "):
        main(words(other, tokenizer_folder, tokens_folder))
    artifacts.claim(tmp_path / "begun", {"corpus": "x", "tokenizer": "y"})
    with pytest.raises(ValueError, match="begun with other settings"):
        main(words(other, tokenizer_folder, tmp_path / "begun"))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("--device=gpu", r"device 'gpu' is not here: say auto, cpu"),
        ("--device=cuda:99", r"device 'cuda:99' is not here"),
        ("--model=README.md", "wanted a checkpoint folder .* found a file"),
        ("--model=tests/tokeniser", "tests/tokeniser: no such folder"),
        ("--model=/no/where", "/no/where: no such folder"),
    ],
)
def test_bad_input_words(corpus_folder, tokenizer_folder, tmp_path, repo, monkeypatch, word, told):
    monkeypatch.chdir(repo)
    with pytest.raises(ValueError, match=told):
        main([*words(corpus_folder, tokenizer_folder, tmp_path / "tokens"), word])
    assert not (tmp_path / "tokens").exists()


def test_bad_input_batch_windows(corpus_folder, tokenizer_folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([*words(corpus_folder, tokenizer_folder, tmp_path / "tokens"), "--batch_windows=0"])
    assert "batch_windows must be at least 1, got 0" in capsys.readouterr().err


def test_bad_input_what_is_no_tokenizer(corpus_folder, tokenizer_folder, tmp_path):
    """A model over tokens; a corpus; a tokenizer that does not say which signals it takes."""
    tokenizer = checkpoints.load(tokenizer_folder)
    model = BrainOmni(BrainOmniConfig(dim=16, n_heads=2, n_blocks=1), tokenizer=tokenizer)
    model.save_pretrained(tmp_path / "model")
    tokenizer.contract = None
    tokenizer.save_pretrained(tmp_path / "without_contract")
    for path, told in (("model", "wanted a tokenizer, this is a BrainOmni"),
                       ("without_contract", "has no preprocessor_config.json"),
                       (corpus_folder, "wanted a finished checkpoint, but this is a corpus")):
        with pytest.raises(ValueError, match=told):
            main(words(corpus_folder, tmp_path / path, tmp_path / "tokens"))
    assert not (tmp_path / "tokens").exists()


def test_bad_input_more_codes_than_tokens_hold(corpus_folder, tokenizer_folder, tmp_path):
    """int16 would turn code 40,000 into another one, in silence."""
    tokenizer = checkpoints.load(tokenizer_folder)
    many = {**tokenizer.config.to_dict(), "n_codes": 40_000}
    larger = type(tokenizer)(type(tokenizer.config)(**many))
    larger.contract = tokenizer.contract
    larger.save_pretrained(tmp_path / "many")
    with pytest.raises(ValueError, match=r"40000 codes a level.*int16, up to 32768"):
        main(words(corpus_folder, tmp_path / "many", tmp_path / "tokens"))


def test_bad_input_contract(tokenizer_folder, tmp_path, monkeypatch):
    from tests.support import corpora

    monkeypatch.setattr(corpora, "CONTRACT", corpora.CONTRACT.with_(reference="none"))
    other = make(tmp_path / "corpus", n_windows=3)
    with pytest.raises(ValueError, match=r"reference: average, none.*ingest it again"):
        main(words(other, tokenizer_folder, tmp_path / "tokens"))
    assert not (tmp_path / "tokens").exists()


def test_parts_make_the_same_tokens(
    corpus_folder, tokenizer_folder, tokens_folder, tmp_path, capsys
):
    """In any order, one of them missing: the last call names it, does it, and seals."""
    out = tmp_path / "tokens"
    line = words(corpus_folder, tokenizer_folder, out)
    for number in (3, 1):
        assert main([*line, f"--part={number}/3"]) == 0
        assert f"part {number}/3 is done: " in capsys.readouterr().out
        assert not artifacts.is_sealed(out)
    before = {path: path.stat().st_mtime_ns for path in (out / "ids").iterdir()}
    with pytest.raises(artifacts.ArtifactError, match="unfinished"):
        TokenSet.open(out)
    with FileLock(out / "parts/part-2-of-3.lock"):
        for part in (["--part=2/3"], []):
            with pytest.raises(ValueError, match="part 2/3 is at work"):
                main([*line, *part])
        with pytest.raises(ValueError, match="give all parts one N"):
            main([*line, "--part=1/2"])
    assert main(line) == 0
    (lack,) = re.findall(r"not finished: 2/3 \((\d) recordings?\); this", capsys.readouterr().out)
    assert int(lack) == len([*(out / "ids").iterdir()]) - len(before) > 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert not (out / "parts").exists()
    assert TokenSet.open(out).fingerprint == TokenSet.open(tokens_folder).fingerprint
    assert main([*line, "--part=2/3"]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_bad_input_other_settings_in_a_part(corpus_folder, tokenizer_folder, tmp_path, capsys):
    out = tmp_path / "tokens"
    assert main([*words(corpus_folder, tokenizer_folder, out), "--part=1/2"]) == 0
    with pytest.raises(artifacts.ArtifactError, match="begun with other settings"):
        main([*words(make(tmp_path / "corpus", n_windows=3), tokenizer_folder, out), "--part=2/2"])
    with pytest.raises(SystemExit, match="2"):
        main([*words(corpus_folder, tokenizer_folder, out), "--part=3/2"])
    assert "wanted K/N with K from 1 to N" in capsys.readouterr().err


def test_recordings_share_shards(corpus_folder, tokenizer_folder, tokens_folder, tmp_path,
                                 monkeypatch):
    """The same codes, by a call that was interrupted while it packed them; none is made twice."""
    wanted, words = TokenSet.open(tokens_folder), [
        "tokenize", f"--data={corpus_folder}", f"--model={tokenizer_folder}", "--shard_mb=1"]
    monkeypatch.setattr(packing, "groups", lambda pieces, shard_mb: [
        (f"shard-{k}", pieces[k : k + 2]) for k in range(0, len(pieces), 2)])
    assert cli.main([*words, f"--out={tmp_path / 'whole'}"]) == 0
    note, noted = packing.Packs.note, []

    def killed_at_the_second(self, shard, pieces, digest):
        if noted:
            raise KeyboardInterrupt
        noted.append(shard)
        note(self, shard, pieces, digest)

    with monkeypatch.context() as patch:
        patch.setattr(packing.Packs, "note", killed_at_the_second)
        assert cli.main([*words, f"--out={tmp_path / 'tokens'}"]) == 130
    with monkeypatch.context() as patch:
        patch.setattr(neurofm.pretrain.tokenize.tokens, "write_shard", None)  # none is encoded
        assert cli.main([*words, f"--out={tmp_path / 'tokens'}"]) == 0
    for name in ("whole", "tokens"):
        tokens = TokenSet.open(tmp_path / name)
        assert len(list((tmp_path / name / "ids").iterdir())) == -(-len(tokens.recordings) // 2)
        assert all(np.array_equal(tokens.ids(w), wanted.ids(w)) for w in range(len(wanted)))
        assert tokens.labels(np.arange(9)).tolist() == wanted.labels(np.arange(9)).tolist()
        assert not (tmp_path / name / "shards").exists()
    assert (artifacts.open_sealed(tmp_path / "whole").fingerprint
            == artifacts.open_sealed(tmp_path / "tokens").fingerprint)
