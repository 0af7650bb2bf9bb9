"""MEG-GPT by commands: tokenizer of samples, table beside baselines, model, signals out of it."""

import json
import re

import mne
import numpy as np
import pandas as pd
import pytest

from neurofm import checkpoints, cli
from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from neurofm.results import Results
from tests.support import flagged
from tests.support.corpora import SFREQ, make

TOKENIZER = {"n_tokens": 24, "n_units": 16, "window_length": 32, "margin": 8, "kernel": 6}
MODEL = {"dim": 16, "n_heads": 2, "feedforward_dim": 32, "n_blocks": 1, "context": 24}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make(tmp_path_factory.mktemp("corpus") / "corpus", n_channels=(6,))


@pytest.fixture(scope="module")
def tokenizer(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    assert cli.main(["pretrain", "--model=ephys_tokenizer", f"--data={corpus}", f"--out={out}",
                     f"--architecture={json.dumps(TOKENIZER)}", "--train.steps=150",
                     "--train.lr=1e-2", "--train.weight_decay=0", "--train.batch_windows=8"]) == 0
    return out


@pytest.fixture(scope="module")
def model(corpus, tokenizer, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "meg_gpt"
    assert cli.main(["pretrain", "--model=meg_gpt", f"--data={corpus}", f"--out={out}",
                     f"--tokenizer={tokenizer}", f"--architecture={json.dumps(MODEL)}",
                     "--train.steps=150", "--train.lr=1e-2", "--train.batch_windows=8"]) == 0
    return out


def test_the_vocabulary_is_ordered_and_tokens_are_made_of_it(corpus, tokenizer, tmp_path):
    found = checkpoints.load(tokenizer)
    assert 2 < found.config.n_used <= 24
    assert found.config.n_codes == found.config.n_used + 1
    out = tmp_path / "tokens"
    assert cli.main(["tokenize", f"--data={corpus}", f"--model={tokenizer}",
                     f"--out={out}"]) == 0
    tokens = TokenSet.open(out)
    assert tokens.shape == (6, 128, 1)
    ids = np.concatenate([tokens.ids(w).ravel() for w in tokens.select("train").tolist()])
    count = np.bincount(ids, minlength=found.config.n_codes)
    assert count[0] == 0  # nothing in the training windows is unknown
    assert (np.diff(count[1:]) <= 0.1 * count[1]).all()  # the frequent ones first


def test_reconstruction_stands_beside_mu_law_and_quantiles(corpus, tokenizer, tmp_path, capsys):
    mu_law, out = tmp_path / "mu_law", tmp_path / "table"
    assert cli.main(["pretrain", "--model=mu_law", f"--data={corpus}", f"--out={mu_law}",
                     "--architecture={n_tokens: 16}"]) == 0
    words = ["evaluate", "reconstruction", f"--data={corpus}", f"--model={tokenizer}",
             f"--out={out}"]
    assert cli.main([*words, f"--models={{mu: {mu_law}}}"]) == 0
    table = pd.read_csv(out / "reconstruction.tsv", sep="\t").set_index("tokenizer")
    assert len(table) == 4
    used = checkpoints.load(tokenizer).config.n_used
    assert {f"mu_law ({used})", f"quantile ({used})"} <= set(table.index)
    assert table.loc["model", "pve"] > 60
    assert table.loc[f"mu_law ({used})", "pve"] > 60
    assert (table["subjects"] == 1).all()
    assert cli.main(words) == 1  # without the other tokenizer it would be another table
    assert "made with other settings (models mu:" in capsys.readouterr().err
    assert cli.main([*words, f"--models={{mu: {mu_law}}}"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert cli.main([*words, f"--models={{mu: {tokenizer}}}"]) == 1
    assert "made with other settings (models mu:" in capsys.readouterr().err


def test_signals_out_of_a_model(corpus, model, tmp_path, capsys):
    out = tmp_path / "generated"
    words = ["generate", f"--model={model}", f"--data={corpus}", f"--out={out}", "--split=train",
             "--people=2", "--seconds=3", "--burn_in_s=0.5"]
    assert cli.main(words) == 0
    files = sorted(out.glob("*_raw.fif"))
    assert len(files) == 2
    raw = mne.io.read_raw_fif(files[0], verbose="ERROR")
    assert raw.n_times == 3 * SFREQ
    assert raw.ch_names == list(Corpus.open(corpus).layout(0).names)
    signal = raw.get_data() / 1e-5
    assert np.isfinite(signal).all()
    assert 0.1 < signal.std() < 3
    people = ("simulated/00", "simulated/01")  # the model was trained on them
    flagged.check(out, capsys.readouterr().out, "LEAK", "model", people)
    assert cli.main(words) == 0  # finished
    again = tmp_path / "again"
    assert cli.main([word if not word.startswith("--out") else f"--out={again}"
                     for word in words]) == 0
    other = mne.io.read_raw_fif(again / files[0].name, verbose="ERROR").get_data()
    assert np.array_equal(other, raw.get_data())  # equal seeds, equal dreams


def test_generate_continues_to_the_same_bytes(corpus, model, tmp_path, monkeypatch):
    from neurofm.downstream import generate

    words = [f"--model={model}", f"--data={corpus}", "--split=train", "--people=3", "--seconds=2",
             "--batch_windows=1"]
    assert generate.main([*words, f"--out={tmp_path / 'whole'}"]) == 0
    write = generate.write_fif

    def killed(path, *more):
        if path.name == "simulated_02_raw.fif":
            raise KeyboardInterrupt
        write(path, *more)

    out = tmp_path / "parts"
    monkeypatch.setattr(generate, "write_fif", killed)
    with pytest.raises(KeyboardInterrupt):
        generate.main([*words, f"--out={out}"])
    monkeypatch.setattr(generate, "write_fif", write)
    stamp = (out / "simulated_00_raw.fif").stat().st_mtime_ns
    assert generate.main([*words, f"--out={out}"]) == 0
    assert (out / "simulated_00_raw.fif").stat().st_mtime_ns == stamp
    for file in sorted((tmp_path / "whole").glob("*.fif")):
        assert file.read_bytes() == (out / file.name).read_bytes()


def test_bad_input_generate_and_mixed_layouts(corpus, tokenizer, tmp_path, capsys):
    assert cli.main(["generate", f"--model={tokenizer}", f"--data={corpus}",
                     f"--out={tmp_path / 'x'}"]) != 0
    assert "wanted a model that generates signals, such as a meg_gpt" in capsys.readouterr().err
    mixed = make(tmp_path / "mixed", n_channels=(5, 6))
    assert cli.main(["tokenize", f"--data={mixed}", f"--model={tokenizer}",
                     f"--out={tmp_path / 'y'}"]) != 0
    assert "unlike numbers of them" in capsys.readouterr().err


def test_what_comes_next_beside_simple_predictions(corpus, model, tmp_path, capsys):
    out = tmp_path / "next"
    assert cli.main(["evaluate", "next-token", f"--data={corpus}", f"--model={model}",
                     f"--out={out}", "--split=train", "--order=12"]) == 0
    people = tuple(f"simulated/{k:02d}" for k in range(4))
    flagged.check(out, capsys.readouterr().out, "LEAK", "model", people)
    table = pd.read_csv(out / "table.tsv", sep="\t").set_index("prediction")
    assert table.index.tolist() == ["model", "autoregression", "autoregression of the signal",
                                    "bigram", "unigram"]
    nats = table["nats"]
    assert nats["autoregression"] < nats["bigram"] < nats["unigram"]  # smooth signals
    assert nats["unigram"] < np.log(checkpoints.load(model).config.n_codes)
    assert nats["model"] < nats["unigram"]  # a few steps are enough for that
    assert (table["subjects"] == 4).all()
    told = re.search(r"model ([\d.]+) nats; best of the others \(",
                     (out / "report.html").read_text())
    assert float(told[1]) == pytest.approx(nats["model"], abs=1.1e-3)  # rounded twice
    assert table.loc["unigram", "model minus it"] == pytest.approx(nats["model"] - nats["unigram"],
                                                                  abs=1e-3)


def test_next_token_of_weights_that_others_published_is_in_doubt(corpus, model, tmp_path, capsys):
    theirs = flagged.of_published(model, tmp_path / "theirs", "simulated")
    words = ["evaluate", "next-token", f"--data={corpus}", "--order=12", "--windows=8"]
    assert cli.main([*words, f"--model={theirs}", f"--out={tmp_path / 'out'}"]) == 0
    flagged.check(tmp_path / "out", capsys.readouterr().out, "DOUBT", "model")
    found = Results.load(tmp_path / "out")
    assert found.methods[0] == "model"
    assert [row["b"] for row in found.comparisons] == found.methods[1:]


def test_bad_input_next_token(corpus, tokenizer, tmp_path, capsys):
    assert cli.main(["evaluate", "next-token", f"--data={corpus}", f"--model={tokenizer}",
                     f"--out={tmp_path / 'x'}"]) == 1
    assert "wanted a model that predicts the next token, such as a meg_gpt" in (
        capsys.readouterr().err)
    assert not (tmp_path / "x").exists()


def test_people_are_learned_and_signals_are_of_them(corpus, tokenizer, tmp_path):
    out = tmp_path / "people"
    words = ["pretrain", "--model=meg_gpt", f"--data={corpus}", f"--out={out}",
             f"--tokenizer={tokenizer}", "--train.steps=40", "--train.lr=1e-2",
             f"--architecture={json.dumps({**MODEL, 'learn_people': True})}"]
    assert cli.main(words) == 0
    model = checkpoints.load(out)
    assert model.config.people == tuple(f"simulated/{k:02d}" for k in range(4))  # of training
    batch = Corpus.open(corpus).batch(np.array([0, 12, 60]))
    assert model.numbers(batch.subject).tolist() == [0, 1, -1]
    own, other = (model.generate(batch, 1.0, seed=1) for _ in range(2))
    assert np.array_equal(own, other)
    batch.subject = batch.subject[::-1]
    assert not np.array_equal(model.generate(batch, 1.0, seed=1), own)
    assert cli.main(words) == 0  # finished: nothing to do, by the same settings


def test_adaptation_begins_with_a_checkpoint(corpus, model, tmp_path, capsys):
    """`--init`: the weights of another run, trained on without labels."""
    new = make(tmp_path / "new", n_channels=(9,), splits=("train",))
    out = tmp_path / "adapted"
    assert cli.main(["pretrain", "--model=meg_gpt", f"--init={model}", f"--data={new}",
                     f"--out={out}", "--train.steps=2", "--train.lr=1e-4",
                     "--train.batch_windows=4"]) == 0
    before, after = checkpoints.load(model), checkpoints.load(out)
    moved = [(a - b).abs().max().item() for a, b in zip(before.parameters(), after.parameters(),
                                                        strict=True)]
    assert 0 < max(moved) < 1e-3
    assert after.config.context == before.config.context
    seen = {row["recording"] for row in checkpoints.read_ledger(out)["recordings"]}
    assert seen == {"sub-00", "sub-01", "sub-02", "sub-03"}  # the first ones too
    capsys.readouterr()
    words = ["pretrain", "--model=meg_gpt", f"--init={model}", f"--data={new}",
             "--train.steps=1", "--train.lr=1e-6", "--train.batch_windows=4"]
    assert cli.main([*words, f"--out={tmp_path / 'longer'}", "--architecture={context: 40}"]) == 0
    assert checkpoints.load(tmp_path / "longer").config.context == 40  # no weight depends on it
    capsys.readouterr()
    assert cli.main([*words, f"--out={tmp_path / 'x'}", "--architecture={dim: 8}"]) != 0
    assert "changes the shape of weights" in capsys.readouterr().err
    assert cli.main(["pretrain", "--model=ephys_tokenizer", f"--init={model}", f"--data={new}",
                     f"--out={tmp_path / 'y'}"]) != 0
    assert "wanted a EphysTokenizer" in capsys.readouterr().err


def test_parcels_without_places_have_tokens_and_no_place_readers(tmp_path, data, capsys):
    """HDF5 of parcels that do not say where they lie: tokenizer and numbered channels, not more."""
    corpus, tokens = tmp_path / "corpus", tmp_path / "tokenizer"
    assert cli.main(["ingest", str(data / "meg_parcels"), f"--out={corpus}", "--arrays.sfreq=600",
                     "--arrays.kind=roi", "--arrays.unit=1", "--contract.kinds=[roi]",
                     "--contract.sfreq=100", "--contract.highpass_hz=1", "--contract.lowpass_hz=40",
                     "--contract.notch_hz=[]", "--contract.reference=none",
                     "--contract.window_s=5", "--contract.scale=recording_std",
                     "--contract.positions=optional", "--splits.fractions=[1,0,0]"]) == 0
    assert cli.main(["pretrain", "--model=ephys_tokenizer", f"--data={corpus}", f"--out={tokens}",
                     "--architecture={n_tokens: 24, start: levels, n_units: 32}",
                     "--train.steps=3", "--train.batch_windows=2", "--train.lr=1e-4"]) == 0
    words = ["pretrain", "--model=meg_gpt", f"--data={corpus}", f"--tokenizer={tokens}",
             "--train.steps=2", "--train.batch_windows=1"]
    plan = {"body": "patched", "plan": [[40, 1, 10, 4, 8], [10, 4, 8, 1, 0]], "n_channels": 34,
            "dim": 16, "n_heads": 2, "feedforward_dim": 32}
    assert cli.main([*words, f"--out={tmp_path / 'numbered'}",
                     f"--architecture={json.dumps(plan)}"]) == 0
    capsys.readouterr()
    assert cli.main([*words, f"--out={tmp_path / 'placed'}",
                     f"--architecture={json.dumps(MODEL)}"]) != 0
    assert "no known place" in capsys.readouterr().err
