"""`neurofm finetune` by itself: views, weights, pages, refusals, the same bytes twice."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from neurofm import artifacts, checkpoints, cli
from neurofm.checkpoints.robustness import Robustness
from neurofm.data import corpus
from neurofm.data.corpus import Corpus
from neurofm.downstream.decoder import auto, stack
from neurofm.lock import only_one
from neurofm.results import Results
from tests.support.planted import make_corpus
from tests.support.unplaced import unplaced, without


def run(*words) -> int:
    return cli.main(["finetune", *map(str, words)])


@pytest.fixture(scope="module")
def made(planted, tmp_path_factory):
    """Folder of an automatic decoder of the planted effect, on a pretrained model."""
    out = tmp_path_factory.mktemp("auto") / "decoder"
    assert run(f"--data={planted.corpus}", f"--model={planted.backbone}", f"--out={out}") == 0
    return out


def test_auto_decoder_learns_and_tells_what_weighs_how_much(made, capsys):
    metrics = json.loads((made / "test" / "metrics.json").read_text())
    assert metrics["balanced_accuracy"] > 0.9
    model, found = checkpoints.load(made), Results.load(made)
    told = {row["method"]: row["value"] for row in found.scores if row["metric"] == "weight"}
    assert told == pytest.approx({f"view {name}": value for name, value in model.weights.items()},
                                 abs=1e-6)
    for row in found.scores:
        if row["metric"] == "held_out_balanced_accuracy":
            assert 0.3 < row["value"] <= 1
    assert found.methods == ["auto"]
    assert auto.LEARNED in found.notes
    page = (made / "report.html").read_text()
    for words in ("What weighs how much", "log band power, re-centered", auto.APART,
                  "features of the pretrained model"):
        assert words in page
    assert (made / "weights.png").is_file()
    assert cli.main(["show", str(made)]) == 0
    said = capsys.readouterr().out
    assert said.count("weight ") == len(model.weights)
    assert ": log band power, re-centered" in said


def test_auto_decoder_ledger_has_training_and_validation_people(made):
    kept = checkpoints.read_ledger(made)["recordings"]
    people = {(each["role"], each["subject"]) for each in kept}
    assert {("train", "planted/00"), ("validation", "planted/08")} <= people
    table = pd.read_parquet(made / "test" / "predictions.parquet")
    assert not set(table["subject"]) & {who for _, who in people}


def test_auto_decoder_robustness_is_that_of_people_it_has_not_learned_from(made, planted, tmp_path):
    """That of a decoder fitted on the training people alone."""
    found = Robustness.read(made)
    assert set(found.full.subjects) == {"planted/08", "planted/09"}
    assert found.full.score > 0.7
    assert run(f"--data={planted.corpus}", f"--out={tmp_path / 'no'}", "--robustness=false") == 0
    assert Robustness.read(tmp_path / "no") is None


def test_auto_decoder_twice_is_the_same_bytes(planted, tmp_path):
    words = (f"--data={planted.corpus}", "--robustness=false", "--views=[power,power_recentered]")
    for name in ("a", "b"):
        assert run(*words, f"--out={tmp_path / name}") == 0
    assert checkpoints.load(tmp_path / "a").config.views == ("power", "power_recentered")
    for name in ("model.safetensors", "config.json", "test/predictions.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert artifacts.open_sealed(tmp_path / "a").fingerprint == artifacts.open_sealed(
        tmp_path / "b").fingerprint


def test_auto_decoder_goes_on_after_an_interruption(planted, tmp_path, monkeypatch, capsys):
    """What was measured, and views that were answered, are not found again; one damaged file is."""
    words = (f"--data={planted.corpus}", "--views=[power,covariance,power_recentered]")
    assert run(*words, f"--out={tmp_path / 'whole'}") == 0
    out, found, held_out, measure = tmp_path / "out", [], stack._held_out, auto.measure

    def counted(model, name, *rest):
        found.append(name)
        if len(found) == 3:
            raise KeyboardInterrupt
        return held_out(model, name, *rest)

    monkeypatch.setattr(stack, "_held_out", counted)
    assert run(*words, f"--out={out}") != 0
    damaged = next(out.glob("state/*/covariance.npy"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    monkeypatch.setattr(auto, "measure", lambda *_, **__: pytest.fail("measured again"))
    assert run(*words, f"--out={out}") == 0
    assert found[3:6] == ["covariance", "power_recentered", "power"]  # then without validation
    for name in ("model.safetensors", "config.json", "robustness.json", "weights.png",
                 "test/predictions.parquet"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not (out / "state").exists()
    monkeypatch.setattr(auto, "measure", measure)
    with only_one(tmp_path / "busy", "finetune"):
        assert run(*words, f"--out={tmp_path / 'busy'}") != 0
    assert "another neurofm is working in this folder" in capsys.readouterr().err


def test_auto_decoder_of_a_number(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", number=True, n_windows=8)
    assert run(f"--data={corpus}", f"--out={tmp_path / 'out'}", "--task=age") == 0
    found = Results.load(tmp_path / "out")
    (r,) = [row["value"] for row in found.scores if row["metric"] == "pearson_r"]
    assert r > 0.7
    assert "Unexplained variance, held out" in (tmp_path / "out" / "report.html").read_text()


def test_auto_decoder_takes_the_channels_that_test_people_have_too(tmp_path):
    """As with scans of which two people have fewer regions: they ended in an error."""
    made = unplaced(make_corpus(tmp_path / "placed", n_windows=8), tmp_path / "corpus")
    missing = without(made, tmp_path / "fewer", person="11", name="E5")
    assert run(f"--data={missing}", f"--out={tmp_path / 'out'}", "--robustness=false",
               "--views=[power,power_recentered]") == 0
    assert checkpoints.load(tmp_path / "out").config.channels == tuple(
        f"E{k}" for k in range(16) if k != 5)


@pytest.mark.parametrize(("labels", "words", "said"), [
    (["40.0"], ["--task=age"], "all training windows have the number 40"),
    (["40.0", "50.0"], ["--task=age", "--views=[spatial_patterns]"],
     "views spatial_patterns, evoked_covariance tell classes apart"),
    (["left"], [], "wanted two or more labels to tell apart, found"),
    ([None], [], "no window has a label"),
])
def test_auto_decoder_labels_that_say_nothing(tmp_path, capsys, labels, words, said):
    made = Corpus.open(make_corpus(tmp_path / "made", n_windows=4))
    shutil.copytree(tmp_path / "made/windows", tmp_path / "corpus/windows")
    windows = made.windows.assign(label=np.resize(np.array(labels, dtype=object), len(made)))
    corpus.seal(tmp_path / "corpus", made.contract.with_(corpus=""), made.recordings, windows,
                made.layouts, pd.DataFrame(columns=["source", "reason"]), {})
    status = run(f"--data={tmp_path / 'corpus'}", f"--out={tmp_path / 'out'}", *words)
    assert status != 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("words", "said"), [
    (["--mode=full"], "--mode: only a network has this; add --decoder network"),
    (["--architecture.recentered=true", "--train.lr=1"], "--architecture, --train: only a network"),
    (["--random_weights=true"], "--random_weights: only a network"),
    (["--augment_copies=2"], "--augment_copies: only a network"),
    (["--decoder=network"], "--decoder network needs --model"),
    (["--decoder=network", "--model=m", "--views=[power]"], "views are those of --decoder auto"),
    (["--views=[powr]"], "views of signals are power, covariance"),
    (["--views=[network]"], "got no --model and --views network"),
    (["--model=m", "--views=[power]"], "got --model m and --views power"),
    (["--views=[power,power]"], "wanted each view once, got power, power"),
    (["--views=[correlation]"], "views of signals are power, covariance"),
    (["--classes=[left]"], "wanted two or more labels to tell apart"),
    (["--task=age"], "wanted labels that are numbers, found ['left', 'right']"),
])
def test_auto_decoder_bad_input_says_what_to_type(planted, tmp_path, capsys, words, said):
    try:
        status = run(f"--data={planted.corpus}", f"--out={tmp_path / 'out'}", *words)
    except SystemExit as end:
        status = end.code
    assert status != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
