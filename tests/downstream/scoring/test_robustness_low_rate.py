"""How a decoder's score falls is measured, stored, shown; its interval is honest."""

import math

import numpy as np
import pytest
from scipy import stats

from neurofm import checkpoints, cli
from neurofm.checkpoints.card import About
from neurofm.checkpoints.robustness import Robustness
from neurofm.data.corpus import Corpus
from neurofm.data.lacks import Lacks
from neurofm.downstream.decoder.robustness import cost
from neurofm.downstream.finetune import main as finetune
from neurofm.downstream.scoring import robustness
from neurofm.hub.staging import stage_checkpoint
from tests.support.planted import CONTRACT, make_corpus


def test_a_decoder_carries_its_curve(decoder, planted):
    """The planted effect lies at 10 Hz: less band costs little, fewer channels more."""
    found = Robustness.read(decoder)
    conditions = {(each.lacks.lowpass_hz, each.lacks.channels, each.lacks.artifacts): each
                  for each in found.conditions}
    assert set(conditions) == {
        (None, None, 0.0), (30.0, None, 0.0), (None, 0.5, 0.0), (30.0, 0.5, 0.0),
        (None, 0.25, 0.0), (30.0, 0.25, 0.0), (None, None, 0.01), (30.0, None, 0.01),
        (30.0, 0.25, 0.01)}
    assert found.n_channels == 16
    assert found.chance == 0.5
    assert set(found.full.subjects) == {"planted/08", "planted/09"}
    assert found.full.score > 0.85
    assert conditions[30.0, None, 0.0].score > 0.8
    assert conditions[None, 0.25, 0.0].score < found.full.score
    for each in found.conditions:
        assert each.score == pytest.approx(np.mean(list(each.subjects.values())))
        assert 0 <= each.low <= each.score <= each.high <= 1
    assert cost(decoder, Lacks(40.0)).score == conditions[30.0, None, 0.0].score


def test_the_curve_is_shown(decoder, capsys):
    page = (decoder / "report.html").read_text()
    assert "Worse recordings" in page
    assert "up to 30 Hz" in page
    assert "Worse recordings" in (decoder / "README.md").read_text()
    assert cli.main(["show", str(decoder)]) == 0
    shown = capsys.readouterr().out
    assert "worse recordings: Measured on 2 validation subjects" in shown
    assert "up to 30 Hz" in shown


def test_the_curve_is_published(decoder, tmp_path, checked_here):
    files = stage_checkpoint(decoder, tmp_path / "out", About(), "org/name", {})
    assert "robustness.json" in files
    assert Robustness.read(tmp_path / "out") == Robustness.read(decoder)
    assert "## Worse recordings" in (tmp_path / "out" / "README.md").read_text()


def test_the_full_condition_is_what_the_decoder_answers(decoder, planted):
    corpus, model = Corpus.open(planted.corpus), checkpoints.load(decoder)
    windows = corpus.select("validation")
    target = (corpus.labels(np.arange(len(corpus))) == "right").astype(np.int64)
    chosen = robustness.choose(windows, corpus.subjects(windows), target[windows])
    answer = model.predict(corpus.batch(chosen)).argmax(dim=1).numpy()
    hit = answer == target[chosen]
    each = [np.mean([hit[(target[chosen] == k) & (corpus.subjects(chosen) == name)].mean()
                     for k in (0, 1)]) for name in ("planted/08", "planted/09")]
    assert Robustness.read(decoder).full.score == pytest.approx(np.mean(each))


def test_people_keep_their_channels(planted):
    corpus = Corpus.open(planted.corpus)
    change = robustness.changed_by(Lacks(30.0, 0.5), corpus, seed=3)
    names = {}
    for window in range(0, len(corpus), 5):
        signal, left = change(window, corpus.signal(window), corpus.layout(window))
        assert signal.shape == (8, corpus.contract.window_samples)
        names.setdefault(corpus.subjects(np.array([window]))[0], set()).add(left.names)
    assert all(len(each) == 1 for each in names.values())
    assert len(set.union(*names.values())) > 1


@pytest.mark.parametrize(("contract", "n_channels", "bands", "shares"), [
    (CONTRACT.with_(sfreq=256.0, lowpass_hz=96.0), 64, {None, 70.0, 45.0, 30.0},
     {None, 0.5, 0.25}),
    (CONTRACT, 64, {None, 30.0}, {None, 0.5, 0.25}),
    (CONTRACT, 8, {None, 30.0}, {None, 0.5}),
    (CONTRACT, 4, {None, 30.0}, {None}),
    (CONTRACT.with_(lowpass_hz=None, sfreq=100.0), 5, {None, 45.0, 30.0}, {None, 0.8}),
])
def test_conditions(contract, n_channels, bands, shares):
    found = robustness.conditions(contract, n_channels)
    assert found[0].nothing
    assert len(set(found)) == len(found)
    assert {each.lowpass_hz for each in found} == bands
    assert {each.channels for each in found} == shares
    clean = [each for each in found if not each.artifacts]
    assert len(clean) == len(bands) * len(shares)
    bound = robustness.conditions(contract, n_channels, bound=True)
    assert {each.channels for each in bound} == {None}


def test_one_person_gives_no_interval(tmp_path, planted):
    corpus = make_corpus(tmp_path / "corpus", n_windows=8,
                         split=["train"] * 4 + ["validation"] + ["test"] * 2)
    out = tmp_path / "out"
    words = [f"--data={corpus}", f"--model={planted.backbone}", f"--out={out}"]
    assert finetune([*words, "--decoder=network", "--augment_copies=1",
                     "--architecture.recentered=true"]) == 0
    found = Robustness.read(out)
    assert all(math.isnan(each.low) for each in found.conditions)
    assert not cost(out, Lacks(30.0)).known
    assert "too few" in found.about()


def test_left_out(tmp_path, planted):
    out = tmp_path / "out"
    words = [f"--data={planted.corpus}", f"--model={planted.backbone}", f"--out={out}"]
    assert finetune([*words, "--decoder=network", "--robustness=false"]) == 0
    assert Robustness.read(out) is None
    assert cost(out, Lacks()) is None
    assert "Worse recordings" not in (out / "report.html").read_text()


def test_numbers_have_errors(tmp_path, planted):
    corpus = make_corpus(tmp_path / "corpus", number=True, n_windows=8)
    out = tmp_path / "out"
    assert finetune([f"--data={corpus}", f"--model={planted.backbone}", f"--out={out}",
                     "--decoder=network", "--task=age"]) == 0
    found = Robustness.read(out)
    assert found.metric == "mae"
    assert found.full.score < found.chance
    assert 8 < found.chance < 18  # of numbers from 20 to 70
    assert all(each.low >= 0 for each in found.conditions)


def test_interval_of_people_who_are_all_right_is_no_point():
    low, high = robustness.interval(np.ones((4, 2)), np.array([20, 20]))
    assert high == 1.0
    assert 0.5 < low < 0.97


def test_interval_is_at_least_students():
    each = np.array([0.6, 0.7, 0.75, 0.9])
    wanted = stats.t.interval(0.95, 3, each.mean(), stats.sem(each))
    both = np.stack([each, each], axis=1)  # the same people in both classes
    low, high = robustness.interval(both, np.array([400, 400]))
    assert wanted[0] - 0.05 < low <= wanted[0]
    assert wanted[1] <= high < wanted[1] + 0.05
    one_class = np.where(np.eye(2)[[0, 0, 1, 1]] > 0, each[:, None], np.nan)  # a diagnosis
    wider = robustness.interval(one_class, np.array([400, 400]))
    assert wider[0] < low
    assert wider[1] > high
    assert np.isnan(robustness.interval(np.array([[1.0, np.nan], [np.nan, 1.0]]))).all()
    error = robustness.interval(each[:, None])
    assert 0 < error[0] <= wanted[0]
    assert error[1] >= wanted[1]


@pytest.mark.parametrize("shape", [(7, 3), (20, 1), (30, 30), (1.5, 0.5), (4, 0.4)])
@pytest.mark.parametrize("people", [3, 5, 10])
def test_interval_holds_the_truth_in_nine_of_ten_groups(shape, people):
    """People's own accuracies are as alike or unlike as a beta distribution says; the truth is
    its mean."""
    rng, n_windows, groups = np.random.default_rng(people), 16, 200
    each = rng.beta(*shape, size=(groups, people, 1))
    recall = rng.binomial(n_windows, np.broadcast_to(each, (groups, people, 2))) / n_windows
    count = np.full(2, people * n_windows)
    ends = np.array([robustness.interval(group, count) for group in recall])
    truth = shape[0] / sum(shape)
    holds = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    assert holds.mean() >= 0.9
