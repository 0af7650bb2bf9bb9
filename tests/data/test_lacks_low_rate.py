"""What a recording lacks, in words and in order; which measured condition it is judged by."""

import math

import pytest

from neurofm.checkpoints.robustness import Condition, Robustness
from neurofm.data.lacks import Lacks
from neurofm.downstream.decoder.robustness import cost


def test_words():
    assert Lacks().nothing
    assert "whole band" in Lacks().words()
    assert (Lacks(45.0, 0.5, 0.01).words() == "The recording has nothing above 45 Hz, 50 % of the "
            "channels and artifacts in 1 % of the samples.")
    assert Lacks(artifacts=0.004).words() == ("The recording has artifacts in 0.4 % of the "
                                              "samples.")


@pytest.mark.parametrize("wrong", [{"lowpass_hz": 0.0}, {"channels": 1.0}, {"artifacts": -0.1}])
def test_no_such_lack(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        Lacks(**wrong)


SCORES = {(None, None): 0.8, (45.0, None): 0.7, (30.0, None): 0.65, (None, 0.5): 0.75,
          (45.0, 0.5): 0.66, (30.0, 0.5): 0.6}


def measured(**changes) -> Robustness:
    conditions = tuple(Condition(Lacks(*lacks), score, score - 0.1, score + 0.1, {"a/1": score})
                       for lacks, score in SCORES.items())
    return Robustness(**{"metric": "balanced_accuracy", "chance": 0.5, "n_channels": 64,
                         "windows": 40, "seed": 0, "conditions": conditions,
                         **changes})


@pytest.mark.parametrize(("lacks", "score"), [
    (Lacks(), 0.8), (Lacks(45.0), 0.7), (Lacks(60.0), 0.7), (Lacks(44.0), 0.65),
    (Lacks(20.0), None),
    (Lacks(45.0, 0.9), 0.66), (Lacks(None, 0.5), 0.75), (Lacks(None, 0.4), None),
    (Lacks(artifacts=0.01), None),
])
def test_the_nearest_condition_that_is_not_better(tmp_path, lacks, score):
    measured().save(tmp_path)
    found = cost(tmp_path, lacks)
    assert (found and found.score) == score
    if found:
        assert found.full == 0.8
        assert found.low == pytest.approx(score - 0.1)
        assert not found.measured.nothing or lacks.nothing


def test_it_is_stored_as_it_was(tmp_path):
    measured().save(tmp_path)
    assert Robustness.read(tmp_path) == measured()


def test_few_people_and_chance(tmp_path):
    alone = (Condition(Lacks(), 0.8, math.nan, math.nan, {"a/1": 0.8}),)
    measured(conditions=alone).save(tmp_path)
    found = cost(tmp_path, Lacks())
    assert not found.known
    assert found.holds_chance
    assert "unknown" in found.words()
    wide = (Condition(Lacks(), 0.8, 0.0, 1.0, {"a/1": 0.6, "a/2": 1.0}),)
    measured(conditions=wide).save(tmp_path)  # two subjects: as wide as the scale
    assert "unknown" in cost(tmp_path, Lacks()).words()
    measured().save(tmp_path)
    assert not cost(tmp_path, Lacks(45.0)).holds_chance
    assert cost(tmp_path, Lacks(30.0, 0.5)).holds_chance
    assert "0.700 [0.600, 0.800] instead of 0.800" in cost(tmp_path, Lacks(45.0)).words()
    (tmp_path / "empty").mkdir()
    assert cost(tmp_path / "empty", Lacks()) is None
