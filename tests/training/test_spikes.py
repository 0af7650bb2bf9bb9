"""The guard against spikes: what it skips, when it goes back, and that a stop changes nothing."""

import shutil

import pytest

from neurofm.data.tokens import TokenSet
from neurofm.run import Stopped
from neurofm.training import spikes, state
from neurofm.training.feed import Feed
from neurofm.training.loop import CHOSEN, TrainConfig, accelerator_for, train
from tests.support.spiky import STEPS, Spiky
from tests.training.test_resume import assert_same_end, log


def run(make, data, out, stop_after=None, validation=None, **changes):
    config = TrainConfig(**{"steps": STEPS, "batch_windows": 8, "log_every": 4, "save_every": 8,
                            "spikes": 12.0, "spikes_limit": 3, "lr": 1e-3, **changes})
    said = []
    train(make(), data, data.select("train"), config, out, accelerator_for(config, out),
          validation=validation, stop_after=stop_after, say=said.append)
    return said


@pytest.fixture
def data(tokens_folder):
    return TokenSet.open(tokens_folder)


def test_a_single_spike_is_skipped(data, tmp_path):
    """Neither weights nor buffers change in it, it is named, and no average holds it."""
    said = run(lambda: Spiky(bad=[30, 31]), data, tmp_path / "one")
    skipped = [line for line in said if "skipped" in line]
    assert len(skipped) == 2
    assert skipped[0].startswith("step 30 skipped: loss")
    assert "sub-" in skipped[0]  # the windows are named
    weights = state.read_weights(tmp_path / f"one/state/step-{STEPS:08d}/model.safetensors")
    assert weights["seen"] == STEPS - 2
    assert all(line["loss"] < 10 for line in log(tmp_path / "one"))


def test_nothing_is_skipped_without_spikes(data, tmp_path):
    """… and what is trained is what is trained without a guard, to the bit."""
    said = run(Spiky, data, tmp_path / "on")
    assert not any("skipped" in line for line in said)
    run(Spiky, data, tmp_path / "off", spikes=0.0)
    assert_same_end(tmp_path / "off", tmp_path / "on", STEPS)


def test_off_means_off(data, tmp_path):
    run(lambda: Spiky(bad=[30]), data, tmp_path, spikes=0.0)
    assert max(line["loss"] for line in log(tmp_path)) > 1e4


def wrong():
    return Spiky(poison=30)


def test_resume_with_a_run_that_goes_back(data, tmp_path):
    """More than three spikes in a row: back to a state from before, the batches are passed over;
    stopped or killed anywhere, it ends the same."""
    said = run(wrong, data, tmp_path / "whole")
    (back,) = (line for line in said if "back to step" in line)
    # Skipped from 40 on; the fourth spike is at 43. A state must be 16 steps older: 24.
    assert "4 steps in a row were skipped: back to step 24" in back
    assert "steps 25 to 43 are passed over" in back
    steps = [line["step"] for line in log(tmp_path / "whole")]
    assert not [step for step in steps if 24 < step <= 43]
    weights = state.read_weights(tmp_path / f"whole/state/step-{STEPS:08d}/model.safetensors")
    assert weights["seen"] == STEPS - 19
    assert weights["poisoned"] == 0
    assert [entry["step"] for entry in spikes.read_spikes(tmp_path / "whole/state")] == [
        40, 41, 42, 43]
    for stop_after in (22, 33, 41, 42, 50):  # also between two skipped steps
        with pytest.raises(Stopped):
            run(wrong, data, tmp_path / "parts", stop_after)
    run(wrong, data, tmp_path / "parts")
    assert_same_end(tmp_path / "whole", tmp_path / "parts", STEPS)


def test_resume_after_a_kill_while_it_goes_back(data, tmp_path, monkeypatch):
    run(wrong, data, tmp_path / "whole")

    def killed(self):
        if self.passed:
            raise KeyboardInterrupt
    monkeypatch.setattr(spikes.Guard, "begin", killed)
    with pytest.raises(KeyboardInterrupt):
        run(wrong, data, tmp_path / "killed")
    monkeypatch.undo()
    assert "step-00000040" in {path.name for path in state.finished(tmp_path / "killed/state")}
    run(wrong, data, tmp_path / "killed")
    assert_same_end(tmp_path / "whole", tmp_path / "killed", STEPS)


class Odd(Spiky):
    """Its lowest validation is at step 32, which is passed over later."""

    def forward(self, batch):
        loss, terms = super().forward(batch)
        return loss * (0.01 if self.step == 32 and not self.training else 1), terms


def test_resume_keeps_the_best_weights_of_a_run_that_goes_back_twice(data, tmp_path):
    """They stay those of step 32, also where one state is kept and the run is stopped between."""
    def odd():
        return Odd(bad=[*range(40, 44), *range(70, 74)])

    def best(out, stop_after=None):
        run(odd, data, out, stop_after, (data, data.select("validation")), keep=1,
            keep_best="val/loss", validate_every=8)

    best(tmp_path / "whole")
    for stop_after in (50, 75):
        with pytest.raises(Stopped):
            best(tmp_path / "parts", stop_after)
    best(tmp_path / "parts")
    one, other = (tmp_path / name / "state" for name in ("whole", "parts"))
    assert spikes.read_lowest(other) == spikes.read_lowest(one) < 0.1
    assert (one / CHOSEN).read_bytes() == (other / CHOSEN).read_bytes()
    assert not [line for line in log(tmp_path / "whole") if line["step"] == 32]


def test_a_run_that_diverges_again_and_again_ends(data, tmp_path):
    with pytest.raises(spikes.Diverged, match="after the run went back 3 times"):
        run(lambda: Spiky(bad=range(40, STEPS)), data, tmp_path)
    assert state.finished(tmp_path / "state")


def test_a_state_that_is_gone(data, tmp_path):
    with pytest.raises(Stopped):
        run(lambda: Spiky(bad=range(20, 40)), data, tmp_path, 21)
    shutil.rmtree(tmp_path / "state/step-00000000")
    with pytest.raises(spikes.Diverged, match="no state of step 0 or before"):
        run(lambda: Spiky(bad=range(20, 40)), data, tmp_path)


def test_feed():
    feed = Feed(lambda a, b: range(a + 1, b + 1), 0, 10, [(3, 4)])
    assert [done for done, item in feed if done == item] == [1, 2, 5, 6, 7, 8, 9, 10]
    feed, seen = Feed(lambda a, b: range(a + 1, b + 1), 0, 10), []
    for done, item in feed:
        seen.append(done)
        assert done == item
        if seen == [1, 2, 3, 4, 5]:
            feed.go_to(2, [(3, 6)])
    assert seen == [1, 2, 3, 4, 5, 7, 8, 9, 10]


@pytest.mark.parametrize(("value", "found"), [(1.0, 0.0), (float("nan"), float("inf")),
                                              (float("inf"), float("inf"))])
def test_deviations(value, found):
    assert spikes.deviations(value, [1.0] * 20) == found
    assert spikes.deviations(1.1, [1.0] * 20) == pytest.approx(10)  # 1 % of the median at least
    assert spikes.deviations(8.0, [1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(5 / 1.4826)
