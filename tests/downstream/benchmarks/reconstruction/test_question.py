"""`neurofm evaluate reconstruction`: a table a device, perplexity of all windows, sealed once."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import entropy

from neurofm import artifacts, checkpoints
from neurofm.data.corpus import Corpus
from neurofm.downstream.benchmarks.reconstruction.question import main
from tests.support.corpora import make


def words(corpus, tokenizer, out, *more):
    return [f"--corpus={corpus}", f"--tokenizer={tokenizer}", f"--out={out}", *more]


def test_results(corpus_folder, tokenizer_folder, tmp_path, capsys):
    out = tmp_path / "results"
    assert main(words(corpus_folder, tokenizer_folder, out, "--batch_windows=5")) == 0
    artifacts.open_sealed(out, "results", hashes=True)
    (row,) = pd.read_csv(out / "reconstruction.tsv", sep="\t").to_dict("records")
    assert (row["sensors"], row["subjects"], row["windows"]) == ("12 eeg", 1, 12)
    assert -1 <= row["pearson"] <= 1
    corpus, tokenizer = Corpus.open(corpus_folder), checkpoints.load(tokenizer_folder)
    with torch.no_grad():
        ids = tokenizer.encode(corpus.batch(corpus.select("test")), overlap=0.0).ids
    wanted = [2 ** entropy(np.bincount(ids[..., level].flatten()), base=2) for level in (0, 1)]
    found = json.loads((out / "perplexity.json").read_text())["perplexity"]
    assert found == pytest.approx(wanted, rel=1e-5)
    # Again: nothing to do. Other questions: another folder.
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    capsys.readouterr()
    assert main(words(corpus_folder, tokenizer_folder, out)) == 0
    assert "is finished: nothing to do" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"holds other results .*choose another --out"):
        main(words(corpus_folder, tokenizer_folder, out, "--split=train"))
    with pytest.raises(ValueError, match="holds other results"):
        main(words(make(tmp_path / "other", n_windows=3), tokenizer_folder, out))
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_bad_input_contract(tokenizer_folder, tmp_path, monkeypatch):
    """Signals unlike those of its training would be scored as if they were."""
    from tests.support import corpora

    monkeypatch.setattr(corpora, "CONTRACT", corpora.CONTRACT.with_(scale="channel_std"))
    other = make(tmp_path / "corpus", n_windows=3)
    with pytest.raises(ValueError, match=r"scale: kind_std, channel_std.*ingest it again"):
        main(words(other, tokenizer_folder, tmp_path / "results"))
    assert not (tmp_path / "results").exists()


def test_bad_input_split(corpus_folder, tokenizer_folder, tmp_path):
    with pytest.raises(ValueError, match="no window with split='tset'"):
        main(words(corpus_folder, tokenizer_folder, tmp_path / "results", "--split=tset"))
