"""What is said when a decoder is unsure, and how sure it says it is."""

import html
import json
import shutil

import mne
import numpy as np
import pandas as pd
import pytest

from neurofm import checkpoints, cli
from neurofm.downstream.use import findings
from neurofm.downstream.use.findings import finding, score
from neurofm.downstream.use.one import named
from neurofm.nn import example
from neurofm.repository import LEDGER
from neurofm.results import Results
from tests.support.one_person import decode, save_raw


def test_uncertainty_of_known_probabilities():
    table = named(np.array([[0.5, 0.5], [1.0, 0.0], [0.75, 0.25], [0.1, 0.9]]), ("a", "b"), 0.75)
    assert table["predicted"].tolist() == ["", "a", "a", "b"]  # at the threshold it answers
    assert table["abstained"].tolist() == [True, False, False, False]
    assert table["confidence"].tolist() == [0.5, 1.0, 0.75, 0.9]
    assert table["entropy"].tolist() == pytest.approx([1.0, 0.0, 0.811278, 0.468996], abs=1e-6)
    assert named(np.full((1, 4), 0.25), tuple("abcd"), 0.0)["entropy"].tolist() == [1.0]
    assert named(np.array([[1.5], [2.0]]), (), 0.0)["predicted"].tolist() == [1.5, 2.0]


@pytest.fixture(scope="module")
def cool(decoder, tmp_path_factory):
    """The decoder made less sure of itself."""
    folder = tmp_path_factory.mktemp("cool") / "cool"
    model = checkpoints.load(decoder)
    model.head.temperature.mul_(60.0)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def plain(decoder, tmp_path_factory):
    """(recording, its table by the decoder as it was trained)."""
    folder = tmp_path_factory.mktemp("plain")
    path = save_raw(folder / "x_raw.fif", n_windows=12)
    assert decode(path, decoder, folder / "out", "--abstain_below=0.95") == 0
    return path, pd.read_csv(folder / "out" / "predictions.tsv", sep="\t")


def test_temperature_is_in_the_confidence(plain, cool, tmp_path):
    path, sure = plain
    assert decode(path, cool, tmp_path / "out", "--abstain_below=0.95") == 0
    table = pd.read_csv(tmp_path / "out" / "predictions.tsv", sep="\t")
    assert table["abstained"].sum() > sure["abstained"].sum()
    assert table["confidence"].max() < sure["confidence"].max()
    assert table["entropy"].mean() > sure["entropy"].mean()
    assert ((table["p_left"] > 0.5) == (sure["p_left"] > 0.5)).all()
    temperature = float(checkpoints.load(cool).head.temperature)
    assert f"temperature {temperature:.2f}" in (tmp_path / "out" / "report.html").read_text()


def test_abstaining_changes_names_and_nothing_else(plain, cool, tmp_path):
    path, _ = plain
    assert decode(path, cool, tmp_path / "all") == 0
    every = pd.read_csv(tmp_path / "all" / "predictions.tsv", sep="\t")
    limit = round(float(every["confidence"].median()), 3)
    assert decode(path, cool, tmp_path / "some", f"--abstain_below={limit}") == 0
    some = pd.read_csv(tmp_path / "some" / "predictions.tsv", sep="\t", keep_default_na=False)
    unsure = every["confidence"] < limit
    assert 0 < unsure.sum() < 12
    assert (some["abstained"] == unsure).all()
    assert (some.loc[unsure, "predicted"] == "").all()
    assert (some.loc[~unsure, "predicted"] == every.loc[~unsure, "predicted"]).all()
    assert some[["p_left", "p_right", "entropy"]].equals(every[["p_left", "p_right", "entropy"]])
    page = (tmp_path / "some" / "report.html").read_text()
    assert f"none in {unsure.sum()}, where its highest probability is below {limit:g}" in page
    assert "not sure" in page


def rows(named_classes: list[str], p_left: list[float]) -> pd.DataFrame:
    start_s = 4.0 * np.arange(len(p_left))
    return pd.DataFrame({"start_s": start_s, "stop_s": start_s + 4, "predicted": named_classes,
                         "p_left": p_left, "p_right": 1 - np.array(p_left)})


def test_the_finding_in_a_sentence():
    classes = ("left", "right")
    said = finding(rows(["left"] * 3 + ["right", ""], [0.9, 0.9, 0.8, 0.2, 0.55]), classes, 0.6)
    assert said.startswith("The decoder names left in 3 of 5 windows of 4 s (60 %), right in 1, "
                           "none in 1, where its highest probability is below 0.6.")
    # The mean of probabilities; adding up log-odds would give 0.999.
    assert "left 0.67, right 0.33" in said
    assert "not sure enough to name any of 2 windows" in finding(
        rows(["", ""], [0.5, 0.52]), classes, 0.6)
    assert "left and right equally often, each in 1" in finding(
        rows(["left", "right"], [0.7, 0.3]), classes)
    lost = rows(["left", ""], [0.7, np.nan])
    assert finding(lost, classes).endswith("1 more had no usable signal.")
    assert "Nothing could be decoded" in finding(lost.iloc[1:], classes)
    number = pd.DataFrame({"start_s": [0.0, 4.0], "stop_s": [4.0, 8.0], "predicted": [2.0, 4.0]})
    assert "number is 3 ± 1.414" in finding(number, ())
    assert "number is 2 (mean" in finding(number.iloc[:1], ())


def test_a_decoder_no_better_than_chance_warns_at_the_top(decoder, poor, tmp_path):
    text, good = score(str(poor))
    assert not good
    assert decode(save_raw(tmp_path / "x_raw.fif"), poor, tmp_path / "out") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    lead, limits = "its predictions carry no information", "What this does not mean"
    assert 0 < page.index(lead) < page.index(limits)
    assert score(str(decoder))[1]
    folder = tmp_path / "number"
    (folder / "test").mkdir(parents=True)
    (folder / "test" / "metrics.json").write_text(json.dumps(
        {"mae": 2.5, "r2": -0.1, "pearson_r": 0.2, "subjects": 4, "windows": 80}))
    text, good = score(str(folder))
    assert not good
    assert "mean absolute error 2.5" in text


@pytest.fixture(scope="module")
def poor(decoder, tmp_path_factory):
    """A decoder that is no better than chance."""
    folder = tmp_path_factory.mktemp("poor") / "poor"
    checkpoints.load(decoder).save_pretrained(folder)
    (folder / "test").mkdir()
    numbers = json.loads((decoder / "test" / "metrics.json").read_text())
    (folder / "test" / "metrics.json").write_text(json.dumps(
        {**numbers, "balanced_accuracy": 0.52, "low": 0.45, "p_chance": 0.4}))
    shutil.copy(decoder / LEDGER, folder)
    return folder


@pytest.mark.parametrize("command", ["decode", "stream"])
def test_terminal_page_table_and_object_say_the_same(poor, tmp_path, capsys, command):
    raw = mne.io.read_raw_fif(save_raw(tmp_path / "made_raw.fif"), preload=True, verbose="ERROR")
    names = example.layout("eeg").names[:16]
    raw.rename_channels(dict(zip(raw.ch_names, names, strict=True))).set_montage(None)
    raw.info["bads"] = [names[3]]
    path = tmp_path / "planted" / "sub-03_task-imagery_raw.fif"  # who trained the decoder
    path.parent.mkdir()
    raw.save(path, verbose="ERROR")
    words = [str(path)] if command == "decode" else [f"--replay={path}", "--speed=50"]
    out = tmp_path / "out"
    assert cli.main([command, *words, f"--model={poor}", f"--out={out}"]) == 0
    terminal, page = capsys.readouterr().out, (out / "report.html").read_text()
    found = Results.load(out)
    beside = json.loads((out / "predictions.json").read_text())
    said = [found.summary, *map(str, found.flags), *found.notes]
    assert said == [beside["Finding"], *beside["Flags"], *beside["Notes"]]
    assert "LEAK" in said[1]
    assert any("carry no information" in text for text in said)
    assert any("16 electrodes without a place in the file: placed" in text for text in said)
    assert any(names[3] in text for text in said)
    for text in said:
        assert text in terminal
        assert page.count(html.escape(text)) == 1, text
    table = pd.read_csv(out / "predictions.tsv", sep="\t")  # no comment lines
    assert set(table) < set(beside)
    assert beside["start_s"]["Units"] == "s"
    if command == "decode":
        attributes = pd.read_parquet(out / "predictions.parquet").attrs
        assert attributes == {key: beside[key] for key in ("Finding", "Decoder", "Flags", "Notes")}


MET = {"balanced_accuracy": 0.8, "low": 0.65, "high": 0.9, "chance": 0.5, "chance_high": 0.6,
       "p_chance": 0.01, "exchanges": 1000, "subjects": 12, "windows": 240}


@pytest.mark.parametrize(("changed", "good", "said"), [
    ({}, True, "On 12 subjects not in its training data: about 80 of 100"),
    ({"p_chance": 1 / 6, "exchanges": 6, "subjects": 4}, False, findings.TOO_FEW),
    ({"p_chance": 0.23}, False, findings.NO_BETTER),
    ({"subjects_seen": 1, "subjects": 4}, False,
     "On 4 subjects, of which 1 is in its training data: about 80"),
    ({"subjects_seen": 12}, False,
     "There is no score on new subjects. On 12 subjects of its training data: about 80"),
    ({"subjects_seen": 12, "same_people": True}, True, "On 12 training subjects at another time"),
])
def test_cases_of_a_score_that_is_to_be_trusted(changed, good, said):
    text, trusted = findings.score_in_words(MET | changed)
    assert trusted == good
    assert said in text
    assert ("is not generalization" in text) == (good is False and "subjects_seen" in changed)


@pytest.mark.parametrize(("windows", "said"), [
    (2, "not calibrated: they were adjusted on only 2 windows"),
    (400, "were calibrated on validation subjects"),
])
def test_cases_of_calibration_that_rests_on_windows(decoder, windows, said):
    model = checkpoints.load(decoder)
    model.head.temperature.fill_(1.7)
    model.config.calibration_windows = windows
    assert said in " ".join(findings.limits(model))


def test_cases_of_a_subject_in_the_training_data_of_a_stored_score(tmp_path):
    """Scores stored before the number was: the table of predictions says it."""
    folder = tmp_path / "test"
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(MET | {"subjects": 2}))
    pd.DataFrame({"subject": ["a/1", "a/1", "a/2"], "seen_in_pretraining": [True, True, False]}
                 ).to_parquet(folder / "predictions.parquet")
    text, good = findings.score(str(tmp_path))
    assert "On 2 subjects, of which 1 is in its training data" in text
    assert not good
