"""Several data sets in one training: what must agree, how often a window stands in a pass."""

import json
from dataclasses import replace

import numpy as np
import pytest

from neurofm import artifacts, cli
from neurofm.data import joined
from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from neurofm.data.windows import SplitLeakError
from tests.support import corpora


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two corpora of one contract, of other people."""
    root = tmp_path_factory.mktemp("two")
    return [corpora.make(root / name, dataset=name) for name in ("first", "second")]


def test_windows_of_several_corpora_are_those_of_each(two):
    parts = [Corpus.open(folder) for folder in two]
    both = joined.join(parts)
    assert len(both) == sum(map(len, parts))
    for window in range(0, len(both), 5):
        part, own = (parts[0], window) if window < len(parts[0]) else (
            parts[1], window - len(parts[0]))
        assert np.array_equal(both.signal(window), part.signal(own))
        assert both.subjects(np.array([window])) == part.subjects(np.array([own]))
        assert both.layout(window) == part.layout(own) or (
            both.layout(window).fingerprint == part.layout(own).fingerprint)
    assert set(both.datasets) == {name for part in parts for name in part.datasets}
    assert both.fingerprint not in {part.fingerprint for part in parts}
    assert not both.recordings["recording"].duplicated().any()


def test_shares_repeat_windows_and_leave_none_out(two):
    both = joined.join([Corpus.open(folder) for folder in two])
    windows, (first, _) = both.select("train"), joined.bounds(both)
    sizes = [int((windows < first).sum()), int((windows >= first).sum())]
    for weights, temperature in (
                ([1.0, 1.0], 1.0), ([1.0, 2.5], 1.0), ([], 1.0), ([], 3.0)):
        shares = joined.shares_of(sizes, weights, temperature)
        found = joined.repeated(both, windows, shares, seed=3)
        assert set(found.tolist()) == set(windows.tolist())
        assert np.mean(found < first) == pytest.approx(shares[0], abs=1 / len(found))
        assert np.array_equal(found, joined.repeated(both, windows, shares, seed=3))
    with pytest.raises(ValueError, match="wanted at most 20"):
        joined.repeated(both, windows, [0.999, 0.001], seed=3)


def test_a_run_on_two_data_sets_tells_both(two, tmp_path, capsys):
    words = ["pretrain", "--data", *map(str, two), "--model", "brain_tokenizer", "--weights",
             "[1, 2]", "--out", str(tmp_path / "model"), "--train.steps=2",
             "--train.batch_windows=4", "--train.workers=1",
             f"--architecture={json.dumps(corpora.TOKENIZER)}"]
    assert cli.main(words) == 0
    assert "2.00 times a pass" in capsys.readouterr().out
    manifest = artifacts.read_manifest(tmp_path / "model")
    fingerprints = {artifacts.read_manifest(folder).fingerprint for folder in two}
    assert {manifest.parents["data 1"], manifest.parents["data 2"]} == fingerprints
    ledger = json.loads((tmp_path / "model" / "training_data.json").read_text())
    assert {entry["subject"].partition("/")[0] for entry in ledger["recordings"]} == {
        "first", "second"}
    assert cli.main(words) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_bad_input_data_sets_that_do_not_agree(two, tokens_folder, tmp_path, capsys):
    other = corpora.make(tmp_path / "other", dataset="other",
                         contract=corpora.CONTRACT.with_(lowpass_hz=20.0))
    with pytest.raises(ValueError, match=r"first and .*other do not have one contract \(lowpass"):
        joined.join([Corpus.open(two[0]), Corpus.open(other)])
    with pytest.raises(ValueError, match="one holds signals, the other tokens"):
        joined.join([Corpus.open(two[0]), TokenSet.open(tokens_folder)])
    split = corpora.make(tmp_path / "again", dataset="first",
                         splits=corpora.SPLITS[::-1])
    with pytest.raises(ValueError, match=r"more than one split|stands in two"):
        joined.join([Corpus.open(two[0]), Corpus.open(split)])
    for words, told in ((["--weights", "[1]"], "several data sets"),
                        (["--temperature", "2"], "several data sets")):
        with pytest.raises(SystemExit):
            cli.main(["pretrain", "--data", str(two[0]), "--model", "brain_tokenizer",
                      "--out", str(tmp_path / "x"), *words])
        assert told in capsys.readouterr().err


def test_one_signal_under_two_names_is_not_trained_on_and_held_out(two):
    first, second = map(Corpus.open, two)

    def holds(part: Corpus, row: int) -> Corpus:
        quality = part.recordings["quality"].copy()
        quality[row] = '{"signal": "0123"}'
        return replace(part, recordings=part.recordings.assign(quality=quality))

    with pytest.raises(SplitLeakError, match=r"_sub-00 \(train\) and \S+_sub-05 \(test\) hold one"):
        joined.join([holds(first, 0), holds(second, 5)])
    joined.join([holds(first, 0), holds(second, 1)])  # both are trained on


def test_several_corpora_become_one_token_set(two, tmp_path, capsys):
    words = [f"--architecture={json.dumps(corpora.TOKENIZER)}", "--train.steps=2",
             "--train.batch_windows=4", "--train.workers=0"]
    assert cli.main(["pretrain", "--data", str(two[0]), "--model", "brain_tokenizer", "--out",
                     str(tmp_path / "tokenizer"), *words]) == 0
    assert cli.main(["tokenize", "--data", *map(str, two), "--model", str(tmp_path / "tokenizer"),
                     "--out", str(tmp_path / "both")]) == 0
    for folder in two:
        assert cli.main(["tokenize", "--data", str(folder), "--model", str(tmp_path / "tokenizer"),
                         "--out", str(tmp_path / f"{folder.name}_tokens")]) == 0
    both = TokenSet.open(tmp_path / "both")
    each = [TokenSet.open(tmp_path / f"{folder.name}_tokens") for folder in two]
    alike = joined.join(each)
    assert len(both) == len(alike)
    assert both.corpus == alike.corpus
    for window in range(0, len(both), 7):
        assert np.array_equal(both.ids(window), alike.ids(window))
        assert both.subjects(np.array([window])) == alike.subjects(np.array([window]))
