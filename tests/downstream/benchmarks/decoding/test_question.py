"""The comparison: same windows for all, sensible scores, and it goes on where it stopped."""

import json

import numpy as np
import pandas as pd
import pytest

from neurofm import artifacts, checkpoints, cli
from neurofm.data.contract import InputContract
from neurofm.data.corpus import Corpus
from neurofm.downstream import baselines
from neurofm.downstream.baselines import spectra
from neurofm.downstream.benchmarks.decoding import fitted, methods
from neurofm.downstream.benchmarks.decoding.question import main as evaluate
from neurofm.preprocessing.ingest import main as ingest
from neurofm.results import Results
from tests.support.planted import make_backbone, make_corpus

QUICK = ["--train.steps=30", "--seeds=2", "--tuning=1"]
METHODS = ["frozen", "random_frozen", "csp_lda", "band_power_lr"]


def words(planted, out, chosen=METHODS, *more) -> list[str]:
    return [f"--data={planted.corpus}", f"--model={planted.backbone}", f"--out={out}",
            f"--methods={json.dumps(chosen)}", *QUICK, *more]


@pytest.fixture(scope="module")
def results(planted, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation") / "out"
    assert evaluate(words(planted, out)) == 0
    return out


def test_table_and_files(results):
    table = pd.read_csv(results / "table.tsv", sep="\t").set_index("method")
    assert list(table.index) == METHODS
    assert table["seeds"].tolist() == [2, 2, 1, 1]
    assert (table["subjects"] == 4).all()
    assert (table["low"] <= table["balanced_accuracy"]).all()
    assert (table["balanced_accuracy"] <= table["high"]).all()
    assert table.loc["frozen", "balanced_accuracy"] > 0.85
    assert table["chance"].between(0.45, 0.55).all()
    best = table.loc[["csp_lda", "band_power_lr"], "balanced_accuracy"].idxmax()
    assert table.loc[best, "difference"] != table.loc[best, "difference"]
    assert (table["p_holm"].dropna() >= table["p_difference"].dropna()).all()
    told = Results.load(results)
    assert told.methods == METHODS
    assert told.flags == []
    assert f"best baseline, {best}" in told.summary or f"Best is {best}" in told.summary
    main = [row for row in told.scores if row["metric"] == "balanced_accuracy"]
    assert [row["value"] for row in main] == pytest.approx(table["balanced_accuracy"], abs=1e-4)
    assert all(row["low"] <= row["value"] <= row["high"] for row in main)
    assert len(told.comparisons) == 6
    assert told.protocol["kind"] == "stored"
    manifest = artifacts.open_sealed(results, "results", hashes=True)
    assert set(manifest.parents) == {"data", "model"}
    assert not (results / "parts").exists()
    page = (results / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "4 subjects, 32 left, 32 right" in page


def test_every_method_names_the_same_windows(results):
    table = pd.read_parquet(results / "predictions.parquet")
    named = {key: tuple(part["window"]) for key, part in table.groupby(["method", "seed"])}
    assert len(named) == 6
    assert len(set(named.values())) == 1
    probability = table.pivot(index="window", columns=["method", "seed"], values="p_left")
    # A linear head is solved, so seeds are alike; random weights are drawn anew.
    assert np.array_equal(probability["frozen", 0], probability["frozen", 1])
    assert not np.allclose(probability["random_frozen", 0], probability["random_frozen", 1])


def test_baselines_without_a_model(planted, results, tmp_path, capsys):
    out, common = tmp_path / "out", [f"--data={planted.corpus}", *QUICK]
    assert evaluate([*common, f"--out={out}", "--methods=[csp_lda,band_power_lr]",
                     "--shots=[1,3]"]) == 0
    table, whole = (pd.read_csv(folder / "table.tsv", sep="\t").set_index("method")
                    for folder in (out, results))
    for column in ("balanced_accuracy", "low", "high", "p_chance"):
        assert table[column].equals(whole.loc[["csp_lda", "band_power_lr"], column])
    assert set(artifacts.open_sealed(out, "results", hashes=True).parents) == {"data"}
    page = (out / "report.html").read_text()
    assert "No pretrained model was compared" in page
    assert "log band power" in page
    assert "Model None" not in page
    curves = pd.read_csv(out / "calibration_curves.tsv", sep="\t")
    assert not curves["method"].str.contains("pretrained|random").any()
    assert evaluate([*common, f"--out={out}", "--methods=[csp_lda,band_power_lr]",
                     "--shots=[1,3]"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert methods.fitting(False, InputContract()) == ["auto"] + [
        name for name in baselines.INDEX
        if not baselines.find(name).REGRESSION
        and not baselines.find(name).SEES.endswith("scans")]


@pytest.mark.parametrize(("more", "said"), [
    (["--methods=[csp_lda,frozen]"], "frozen is a network of a pretrained model, and none is"),
    (["--tokens=somewhere"], "tokens are those of a model"),
    (["--methods=[csp_lda]", "--shots=[1]", "--protocol.kind=within"], "shots are of new people"),
])
def test_bad_input_without_a_model(planted, tmp_path, capsys, more, said):
    assert cli.main(["evaluate", "decoding", f"--data={planted.corpus}",
                     f"--out={tmp_path / 'out'}",
                     *more]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_one_person_from_corpus_to_page(tmp_path, capsys):
    """Blocks of time of one person's only recording, with a planted effect; and without it."""
    for effect, low, high in ((0.9, 0.8, 1.0), (0.0, 0.2, 0.75)):
        corpus = make_corpus(tmp_path / f"corpus-{effect}", split=["train"], n_windows=80,
                             effect=effect)
        out = tmp_path / f"out-{effect}"
        assert evaluate([f"--data={corpus}", f"--out={out}", "--methods=[csp_lda,band_power_lr]",
                         "--protocol.kind=within", "--protocol.folds=6"]) == 0
        said = capsys.readouterr().out
        assert "one person (planted/00): intervals, differences and ranks are over 6 blocks" in said
        assert "nor of another day" in said
        table = pd.read_csv(out / "table.tsv", sep="\t").set_index("method")
        assert table["balanced_accuracy"].between(low, high).all(), table
        assert (table["low"] <= table["balanced_accuracy"]).all()  # NaN would not be
        assert (table["high"] > 0.5).all()
        assert (table["p_chance"] < 0.01).all() == (effect > 0)
        assert (table["windows"] == 80).all()
        page = (out / "report.html").read_text()
        assert "every recording cut in 6 blocks of time, each tested once" in page
        assert "those that share samples with it or lie within 2 s of it" in page


def test_networks_within_several_people(planted, tmp_path):
    corpus = make_corpus(tmp_path / "corpus", split=["train"] * 3, n_windows=24)
    chosen = words(planted, tmp_path / "out", ["frozen", "csp_lda"], "--protocol.kind=within",
                   "--protocol.folds=3", "--seeds=1")
    assert evaluate([f"--data={corpus}", *chosen[1:]]) == 0
    table = pd.read_csv(tmp_path / "out" / "table.tsv", sep="\t").set_index("method")
    assert (table["units"] == 3).all()  # people, as there are several
    assert (table["balanced_accuracy"] > 0.8).all()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "one model for 3 subjects" in page
    assert "over 3 test subjects" in page


def test_real_eyes_open_and_closed_of_one_person(data, tmp_path, capsys):
    """One recording of each: alpha tells them apart, and no p of chance is made up for it."""
    assert ingest([str(data / "eegmmidb"), f"--out={tmp_path / 'corpus'}", "--contract.window_s=4",
                   "--contract.lowpass_hz=75", "--exclude=['R(04|06|08|10|12|14)[.]edf$']",
                   "--label.source=entity", "--label.name=run",
                   '--label.mapping={"01": "open", "02": "closed"}', "--workers=1",
                   r"--files=[{pattern: 'S(?P<subject>\d{3})R(?P<run>\d{2})\.edf$'}]"]) == 0
    out = tmp_path / "out"
    assert evaluate([f"--data={tmp_path / 'corpus'}", f"--out={out}", "--task=eyes",
                     "--methods=[csp_lda,band_power_lr]", "--protocol.kind=within"]) == 0
    table = pd.read_csv(out / "table.tsv", sep="\t")
    assert (table["balanced_accuracy"] > 0.9).all()
    assert (table["units"] == 5).all()
    assert (table["chance"] == 0.5).all()
    assert table["p_chance"].isna().all()
    assert "no p value against chance" in capsys.readouterr().out
    page = (out / "report.html").read_text()
    assert "nothing is ringed; no p can be given" in page


def test_goes_on_where_it_stopped(planted, results, tmp_path, monkeypatch, capsys):
    out, calls = tmp_path / "out", []
    train = fitted.Networks.answers

    def stops_at_third(self, name, fold, seed, folder):
        calls.append((name, seed))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(self, name, fold, seed, folder)

    monkeypatch.setattr(fitted.Networks, "answers", stops_at_third)
    with pytest.raises(KeyboardInterrupt):
        evaluate(words(planted, out))
    assert not artifacts.is_sealed(out)
    assert cli.main(["evaluate", "decoding", *words(planted, out), "--train.lr=1e-2"]) == 1
    assert "begun with other settings (train.lr)" in capsys.readouterr().err
    calls.clear()
    calls.extend([None] * 3)  # no further stop
    assert evaluate(words(planted, out)) == 0
    assert calls[3:] == [("frozen", 1), ("random_frozen", 1)]
    finished, whole = (pd.read_parquet(folder / "predictions.parquet") for folder in (out, results))
    assert finished.equals(whole)
    assert evaluate(words(planted, out)) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_jobs_of_an_array_give_the_same(planted, results, tmp_path, capsys):
    out = tmp_path / "out"
    assert evaluate([*words(planted, out), "--part=2/2"]) == 0
    assert "the call that finds all of them done writes the report" in capsys.readouterr().out
    assert not artifacts.is_sealed(out)
    assert evaluate([*words(planted, out), "--part=1/2"]) == 0
    assert "page: " in capsys.readouterr().out
    assert artifacts.is_sealed(out)
    assert evaluate(words(planted, out)) == 0
    assert "nothing to do" in capsys.readouterr().out
    array, whole = (pd.read_parquet(folder / "predictions.parquet") for folder in (out, results))
    assert array.equals(whole)


def test_processes_share_the_work(planted, results, tmp_path):
    out = tmp_path / "out"
    assert evaluate([*words(planted, out), "--jobs=2"]) == 0
    shared, whole = (pd.read_parquet(folder / "predictions.parquet") for folder in (out, results))
    assert shared.equals(whole)


@pytest.mark.long
def test_shuffled_labels_leave_every_method_at_chance(planted, tmp_path):
    """Each of 14 people tested once, by networks of every kind and by baselines."""
    corpus = make_corpus(tmp_path / "corpus", shuffled=True, n_windows=8)
    names = ["frozen", "frozen_recentered", "attentive", "full", "lora", "random_frozen", "csp_lda",
             "tangent_lr_recentered", "band_power_lr"]
    chosen = words(planted, tmp_path / "out", names, "--seeds=1", "--train.steps=15",
                   "--train_full.steps=4", "--protocol.kind=kfold", "--protocol.folds=3")
    assert evaluate([f"--data={corpus}", *chosen[1:]]) == 0
    table = pd.read_csv(tmp_path / "out" / "table.tsv", sep="\t").set_index("method")
    assert (table["subjects"] == 14).all()
    assert (table["p_chance"] > 0.05 / len(names)).all(), table["p_chance"]
    assert table["balanced_accuracy"].between(0.38, 0.62).all()


def test_planted_leak_test_subject_in_the_pretraining_corpus(planted, tmp_path, capsys):
    corpus = Corpus.open(planted.corpus)
    ledger = checkpoints.training_ledger(corpus, {"train": corpus.select("test", subject="12")})
    model = make_backbone(tmp_path / "backbone", ledger)
    words_ = words(planted, tmp_path / "out", ["frozen", "csp_lda"], "--seeds=1")
    assert evaluate([words_[0], f"--model={model}", *words_[2:]]) == 0
    (flag,) = Results.load(tmp_path / "out").flags
    assert (flag.kind, flag.subjects) == ("LEAK", ("planted/12",))
    said = "LEAK: model: 1 of 4 subjects judged here is in its training data"
    assert said in capsys.readouterr().out
    assert f'<p class="leak">{said}' in (tmp_path / "out" / "report.html").read_text()
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert set(table.loc[table["seen_in_pretraining"], "subject"]) == {"planted/12"}
    assert not table.loc[table["method"] == "csp_lda", "seen_in_pretraining"].any()


def test_calibration_curves_and_regression_have_their_page(planted, tmp_path):
    chosen = ["frozen", "csp_lda"]
    assert evaluate(words(planted, tmp_path / "out", chosen, "--seeds=1", "--shots=[1,3]")) == 0
    curves = pd.read_csv(tmp_path / "out" / "calibration_curves.tsv", sep="\t")
    assert set(curves["shots"]) == {1, 3}
    assert curves["mean"].between(0, 1).all()
    corpus = make_corpus(tmp_path / "numbers", number=True, n_windows=8)
    words_ = words(planted, tmp_path / "age", ["frozen", "band_power_ridge"], "--seeds=1")
    assert evaluate([f"--data={corpus}", *words_[1:], "--task=age"]) == 0
    table = pd.read_csv(tmp_path / "age" / "table.tsv", sep="\t").set_index("method")
    assert {"mae", "pearson", "r2"} <= set(table.columns)


def test_covariances_are_those_of_the_filtered_signal():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((3, 512))
    found = spectra.covariances(signal, 128.0)
    centered = (signal - signal.mean(axis=1, keepdims=True)) * np.hanning(512)
    spectrum = np.fft.rfft(centered, axis=1)
    frequency = np.fft.rfftfreq(512, 1 / 128)
    spectrum[:, (frequency < 8) | (frequency >= 13)] = 0
    filtered = np.fft.irfft(spectrum, 512, axis=1)
    assert np.allclose(found[2], filtered @ filtered.T / 512)


def test_mixed_layouts(planted, tmp_path, capsys):
    """Everybody with two caps: baselines take one, networks both, and this is said."""
    corpus = make_corpus(tmp_path / "corpus", caps=(16, 9), n_windows=8)
    common = [f"--data={corpus}", f"--model={planted.backbone}", *QUICK, "--seeds=1",
              '--methods=["frozen","tangent_lr"]']
    assert cli.main(["evaluate", "decoding", *common, f"--out={tmp_path / 'refused'}"]) == 1
    said = capsys.readouterr().err
    assert "baselines need one layout" in said
    assert "--only.sensors='16 eeg'" in said
    assert not (tmp_path / "refused").exists()
    assert evaluate([*common, f"--out={tmp_path / 'out'}", "--baselines_only.device=cap16"]) == 0
    table = pd.read_csv(tmp_path / "out" / "table.tsv", sep="\t").set_index("method")
    assert table["windows"].to_dict() == {"frozen": 64, "tangent_lr": 32}
    assert "differences are on the test windows that both named" in capsys.readouterr().out
    one = [f"--out={tmp_path / 'one'}", "--only.sensors=9 eeg"]
    assert evaluate([*common, *one]) == 0
    table = pd.read_csv(tmp_path / "one" / "table.tsv", sep="\t")
    assert (table["windows"] == 32).all()


@pytest.mark.parametrize(("wrong", "said"), [
    ("--methods=[froxen]", "unknown ['froxen']; there are frozen"),
    ("--seeds=0", "seeds must be at least 1"),
    ("--part=4/3", "must be k/n"),
    ("--methods=[frozen@other]", "wants a model named other"),
    ("--methods=[band_power_ridge]", "does not predict classes"),
    ("--methods=[frozen,frozen]", "named twice"),
    ("--task=agee", "unknown task 'agee'"),
    ("--task=mental_arithmetic", "tells apart arithmetic, rest"),
    ("--explain=full", "not among the methods"),
    ("--shots=[-1,3]", "shots[0] must be at least 0, got -1"),
])
def test_bad_input(planted, tmp_path, capsys, wrong, said):
    try:
        status = cli.main(["evaluate", "decoding", *words(planted, tmp_path / "out"), wrong])
    except SystemExit as stop:  # settings that contradict themselves are refused as typed
        status = stop.code
    assert status != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("other", "named"), [
    ("--seeds=3", "seeds: 2, wanted 3"), ("--train.lr=0.5", "train.lr"),
    ("--shots=[1]", "shots"), ("--protocol.seed=7", "protocol.seed"),
])
def test_another_option_on_finished_results_is_refused_by_name(planted, results, other, named):
    before = artifacts.open_sealed(results).fingerprint
    with pytest.raises(ValueError, match=f"made with other settings .*{named}"):
        evaluate([*words(planted, results), other])
    assert artifacts.open_sealed(results).fingerprint == before


def test_imported_weights_of_the_same_data_set_are_in_doubt(planted, tmp_path, capsys):
    """Whether anybody judged was in their training is unknown: on terminal, in results, on page."""
    model = make_backbone(tmp_path / "imported", {"recordings": [], "published": [
        {"weights": "w", "licence": "MIT", "paper": "p", "note": "n",
         "datasets": ["planted"]}]})
    out = tmp_path / "out"
    assert evaluate([f"--data={planted.corpus}", f"--model={planted.backbone}", *QUICK,
                     f"--models.other={model}", f"--out={out}", "--seeds=1",
                     "--methods=[frozen,frozen@other]"]) == 0
    (flag,) = Results.load(out).flags
    assert (flag.kind, flag.model) == ("DOUBT", "models other")
    said = "DOUBT: models other: its training data included data set planted; it is not known"
    assert said in capsys.readouterr().out
    assert said in (out / "report.html").read_text()
