"""Automatic decoders in a comparison: which people they see, with which seeds; refit; curves."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch

from neurofm import artifacts, cli
from neurofm.data.contract import InputContract
from neurofm.data.corpus import Corpus
from neurofm.downstream import baselines
from neurofm.downstream.baselines.band_power import BandPowerLR
from neurofm.downstream.benchmarks.decoding import automatic, fitted, methods
from neurofm.downstream.benchmarks.decoding.question import main as evaluate
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.decoder.stacked_build import build_stacked
from neurofm.results import Results
from tests.support.planted import make_corpus

METHODS = ["auto", "auto_classical", "frozen", "csp_lda"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("small") / "corpus", n_windows=4)


@pytest.fixture(scope="module")
def compared(small, planted, tmp_path_factory):
    out = tmp_path_factory.mktemp("auto") / "out"
    assert evaluate([f"--data={small}", f"--model={planted.backbone}", f"--out={out}",
                     f"--methods={json.dumps(METHODS)}", "--seeds=2", "--tuning=1",
                     "--refit=true", "--shots=[0,1]"]) == 0
    return out


def test_auto_is_a_method_like_any_other(compared):
    table = pd.read_csv(compared / "table.tsv", sep="\t").set_index("method")
    assert list(table.index) == METHODS
    assert table["kind"].tolist() == ["automatic", "automatic", "network", "baseline"]
    assert table["seeds"].tolist() == [2, 2, 2, 1]
    assert (table["balanced_accuracy"] > 0.9).all()
    said = pd.read_parquet(compared / "predictions.parquet")
    windows = {key: tuple(part["window"]) for key, part in said.groupby(["method", "seed"])}
    assert len(set(windows.values())) == 1
    wide = said.pivot(index="window", columns=["method", "seed"], values="p_left")
    assert not np.allclose(wide["auto", 0], wide["auto", 1])  # the seed deals out folds inside
    assert not np.allclose(wide["auto", 0], wide["auto_classical", 0])
    setting = said.groupby("method")["setting"].first()
    assert "network" in setting["auto"]
    assert "network" not in setting["auto_classical"]
    assert "power" in setting["auto_classical"]  # views with their shares


def test_it_is_said_who_saw_which_people(compared):
    told = Results.load(compared)
    automatic_said = "auto and auto_classical learned from training and validation windows"
    refit_said = "solved methods were fitted again on training and validation windows"
    for words in (automatic_said, refit_said):
        assert sum(words in note for note in told.notes) == 1
        assert words in (compared / "report.html").read_text()
    assert "Best is" in told.summary


def test_curves_of_views_and_of_all_of_them(compared):
    curves = pd.read_csv(compared / "calibration_curves.tsv", sep="\t")
    assert {"auto, alone", "auto, with others", "auto: power, alone", "pretrained, alone",
            "log band power, with others"} <= set(curves["method"])
    by = curves.set_index(["method", "shots"])["mean"]
    assert ("auto, alone", 0) not in by.index
    assert by["auto, with others", 0] > 0.9
    assert curves["mean"].between(0, 1).all()


def test_without_auto_nothing_is_said_of_it(small, tmp_path, capsys):
    words = [f"--data={small}", f"--out={tmp_path / 'out'}", "--seeds=1", "--tuning=1"]
    assert evaluate([*words, "--methods=[csp_lda]"]) == 0
    assert "learned from training and validation" not in capsys.readouterr().out


def test_refit_sees_validation_people_after_they_chose(small, monkeypatch):
    """A baseline that keeps what it was fitted on."""
    data = labeled(Corpus.open(small))
    fits = []

    class Watcher(BandPowerLR):
        def fit(self, x, target, subjects, validation=None):
            fits.append((set(subjects.tolist()), validation is not None))
            super().fit(x, target, subjects, validation)

    whom = {split: set(data.of(split)[2].tolist()) for split in ("train", "validation", "test")}
    for refit in (False, True):
        fits.clear()
        simple = fitted.Baselines(data, data.all, 2, refit)
        monkeypatch.setattr(baselines, "find", lambda name: Watcher)
        _, setting = simple.answers("band_power_lr", data, 0)
        assert setting in Watcher.SETTINGS[:2]
        assert [who for who, _ in fits[:2]] == [whom["train"]] * 2
        assert [who for who, _ in fits[2:]] == [whom["train"] | whom["validation"]] * refit
        assert not any(who & whom["test"] for who, _ in fits)


def test_auto_never_learns_from_test_windows(small):
    """Other signals and labels in test windows: the same decoder."""
    data = labeled(Corpus.open(small))
    found = []
    for spoiled in (False, True):
        target = data.target.copy()
        if spoiled:
            target[data.windows["test"]] = 1 - target[data.windows["test"]]
        fold = dataclasses.replace(data, target=target)
        auto = automatic.Automatic(fitted.Networks({}, data.all, {}, *[None] * 4, 16, 1),
                                   data.all, 16)
        auto.networks.accelerator = type("On", (), {"device": "cpu"})
        model, pooled = auto.fitted("auto_classical", fold, 0)
        found.append(model.state_dict())
        assert set(pooled.whose(fitted.of_both(fold).windows["train"])) == (
            set(data.of("train")[2]) | set(data.of("validation")[2]))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_folds_measure_windows_once(small, monkeypatch):
    data = labeled(Corpus.open(small))
    networks = fitted.Networks({}, data.all, {}, *[None] * 4, 16, 1)
    networks.accelerator = type("On", (), {"device": "cpu"})
    auto, calls = automatic.Automatic(networks, data.all, 16), []
    measure = automatic.measure
    monkeypatch.setattr(automatic, "measure", lambda *a, **k: calls.append(1) or measure(*a, **k))
    turned = dataclasses.replace(data, fold="turned", windows={
        "train": np.sort(np.concatenate([data.windows["test"], data.windows["validation"]])),
        "validation": data.windows["train"][:8], "test": data.windows["train"][8:]})
    for fold in (data, turned):
        _, pooled = auto.fitted("auto_classical", fold, 0)
        alone = build_stacked(fold, fitted.of_both(fold).windows["train"])
        own = automatic.measure(alone, fold, fold.windows["test"]).values
        assert torch.allclose(pooled.take(fold.windows["test"]), own, atol=1e-5)
        calls.pop()
    assert len(calls) == 1


@pytest.mark.parametrize(("wrong", "said"), [
    ("--methods=[auto_recentered]", "unknown ['auto_recentered']"),
    ("--methods=[auto@other]", "auto@other wants a model named other"),
    ("--methods=[autoo]", "did you mean 'auto'?"),
])
def test_auto_bad_names(small, tmp_path, capsys, wrong, said):
    assert cli.main(["evaluate", "decoding", f"--data={small}", f"--out={tmp_path / 'out'}",
                     wrong]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_auto_at_a_named_model_and_names(planted, small, tmp_path, capsys):
    assert evaluate([f"--data={small}", f"--models.other={planted.backbone}", "--seeds=1",
                     f"--out={tmp_path / 'out'}", "--methods=[auto@other,auto,csp_lda]"]) == 0
    told = capsys.readouterr().out
    assert "the other methods learned from training windows alone" in told
    assert "auto@other and auto learned from training and validation windows" in told
    said = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    setting = said.groupby("method")["setting"].first()
    assert "network" in setting["auto@other"]
    assert "network" not in setting["auto"]  # no model without a name was given
    assert set(artifacts.open_sealed(tmp_path / "out", "results").parents) == {
        "data", "models other"}
    with pytest.raises(ValueError, match="auto_classical is without a pretrained model"):
        methods.check(["auto_classical@other"], ["other"], False, InputContract())


@pytest.mark.parametrize("number", [False, True])
def test_auto_of_one_person_and_of_numbers(tmp_path, number):
    """Within one recording (one seed: nothing is drawn); numbers of several people."""
    corpus = make_corpus(tmp_path / "corpus", n_windows=24 if not number else 4, number=number,
                         **({} if number else {"split": ["train"]}))
    words = [f"--data={corpus}", f"--out={tmp_path / 'out'}", "--seeds=2", "--tuning=1"]
    more = ["--task=age", "--methods=[auto,band_power_ridge]"] if number else [
        "--protocol.kind=within", "--protocol.folds=3", "--methods=[auto,csp_lda]"]
    assert evaluate([*words, *more]) == 0
    table = pd.read_csv(tmp_path / "out" / "table.tsv", sep="\t").set_index("method")
    assert table["seeds"].tolist() == [2 if number else 1, 1]
    if number:
        assert table.loc["auto", "mae"] < 1.2 * table.loc["band_power_ridge", "mae"]
    else:
        assert table.loc["auto", "balanced_accuracy"] > 0.8
