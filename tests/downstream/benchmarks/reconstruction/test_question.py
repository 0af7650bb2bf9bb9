"""`neurofm evaluate reconstruction`: a table a device, perplexity of all windows, sealed once."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import entropy

from neurofm import artifacts, checkpoints
from neurofm.data.corpus import Corpus
from neurofm.downstream.benchmarks.reconstruction.question import main
from neurofm.results import Results
from tests.support import flagged
from tests.support.corpora import make


def words(corpus, tokenizer, out, *more):
    return [f"--data={corpus}", f"--model={tokenizer}", f"--out={out}", *more]


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
    results = Results.load(out)
    found = [row["value"] for row in results.scores if row["metric"] == "perplexity"]
    assert found == pytest.approx(wanted, rel=1e-5)
    assert results.methods == ["model", "pca4"]
    assert [row["b"] for row in results.comparisons] == ["pca4"]
    assert results.scores[0]["value"] == pytest.approx(row["pearson"])
    assert not results.flags
    page = (out / "report.html").read_text()
    assert results.summary.startswith("12 eeg: Pearson r ")
    for words_ in ("Model minus the others", "lowest subject", results.summary):
        assert words_ in page
    assert "lowest_subject" not in page
    # Again: nothing to do. Other questions: another folder.
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    capsys.readouterr()
    assert main(words(corpus_folder, tokenizer_folder, out)) == 0
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"split: test, wanted train.*choose another --out"):
        main(words(corpus_folder, tokenizer_folder, out, "--split=train"))
    with pytest.raises(ValueError, match=r"made with other settings \(data"):
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


def test_bad_input_split(corpus_folder, tokenizer_folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(words(corpus_folder, tokenizer_folder, tmp_path / "results", "--split=tset"))
    assert "got 'tset'; did you mean 'test'?" in capsys.readouterr().err


def test_training_people_are_a_leak(corpus_folder, tokenizer_folder, tmp_path, capsys):
    out = tmp_path / "results"
    assert main(words(corpus_folder, tokenizer_folder, out, "--split=train")) == 0
    people = tuple(f"simulated/{k:02d}" for k in range(4))
    flagged.check(out, capsys.readouterr().out, "LEAK", "model", people)


def test_a_further_tokenizer_is_flagged_by_its_name(
    corpus_folder, tokenizer_folder, tmp_path, capsys
):
    theirs = flagged.of_published(tokenizer_folder, tmp_path / "theirs", "simulated")
    out = tmp_path / "results"
    assert main(words(corpus_folder, tokenizer_folder, out, f"--models={{theirs: {theirs}}}")) == 0
    flagged.check(out, capsys.readouterr().out, "DOUBT", "models theirs")
    table = pd.read_csv(out / "reconstruction.tsv", sep="\t")
    assert table["tokenizer"].tolist() == ["model", "theirs"]
    assert table["pearson"].iloc[0] == table["pearson"].iloc[1]  # the same weights
    (other,) = [row for row in Results.load(out).comparisons if row["b"] == "theirs"]
    assert other["difference"] == 0


def test_a_changed_set_of_tokenizers_is_refused(corpus_folder, tokenizer_folder, tmp_path):
    """`reconstruct --beside` once called a folder finished that was made without it."""
    out = tmp_path / "results"
    theirs = flagged.of_published(tokenizer_folder, tmp_path / "theirs", "other")
    assert main(words(corpus_folder, tokenizer_folder, out)) == 0
    with pytest.raises(ValueError, match=r"made with other settings \(models theirs: None"):
        main(words(corpus_folder, tokenizer_folder, out, f"--models={{theirs: {theirs}}}"))


def test_bad_input_models(corpus_folder, tokenizer_folder, tmp_path):
    from neurofm.pretrain.train import main as pretrain

    mu_law = tmp_path / "mu_law"
    assert pretrain(["--model=mu_law", f"--data={corpus_folder}", f"--out={mu_law}"]) == 0
    with pytest.raises(ValueError, match=r"wanted a tokenizer of sources .*one of single samples"):
        main(words(corpus_folder, tokenizer_folder, tmp_path / "x", f"--models={{mu: {mu_law}}}"))
    assert not (tmp_path / "x").exists()
