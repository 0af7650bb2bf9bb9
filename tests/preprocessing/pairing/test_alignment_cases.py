"""Triggers and volumes that differ in number: one reading is taken and said, two are refused."""

import numpy as np
import pytest

from neurofm.preprocessing.pairing.alignment import AlignRule, by_triggers
from neurofm.preprocessing.standardize import ContractError

T_R, FIRST_S, VOLUMES, DURATION_S = 2.0, 3.0, 60, 140.0


def triggers(n: int) -> np.ndarray:
    return FIRST_S + T_R * np.arange(n)


def align(onset_s, n=VOLUMES, t_r=T_R, duration_s=DURATION_S, rule="", **discarded):
    return by_triggers(onset_s, n, t_r, duration_s, "x.fif", AlignRule(rule), discarded)


def test_as_many_triggers_as_volumes():
    found = align(triggers(60))
    assert (found.first_volume_s, found.t_r, found.kept) == (FIRST_S, T_R, slice(0, 60))
    assert found.notes == ()


@pytest.mark.parametrize("n", [58, 59, 61, 62, 70])
def test_bad_input_two_readings_are_refused(n):
    with pytest.raises(ContractError, match=f"there are {n} triggers and 60 volumes") as caught:
        align(triggers(n))
    assert "x.fif" in str(caught.value)
    assert "align.triggers first" in str(caught.value)


@pytest.mark.parametrize(("discarded", "excess"), [
    ({"NumberOfVolumesDiscardedByScanner": 2}, 2),
    ({"NumberOfVolumesDiscardedByUser": 4}, 4),
    ({"NumberOfVolumesDiscardedByScanner": 2, "NumberOfVolumesDiscardedByUser": 3}, 5),
    ({"NumberOfVolumesDiscardedByScanner": 2, "NumberOfVolumesDiscardedByUser": 3}, 3),
    ({"dummy_scans": 3}, 3),
])
def test_discarded_volumes_of_the_sidecar_are_skipped(discarded, excess):
    found = align(triggers(60 + excess), **discarded)
    assert found.first_volume_s == FIRST_S + excess * T_R
    assert found.kept == slice(0, 60)
    assert f"trigger {excess + 1} is that of the first volume" in found.notes[-1]
    assert next(iter(discarded)) in found.notes[-1]


def test_bad_input_a_sidecar_that_does_not_explain_the_excess():
    with pytest.raises(ContractError, match="its sidecar says NumberOfVolumesDiscardedByUser 3"):
        align(triggers(62), NumberOfVolumesDiscardedByUser=3)


def test_a_sidecar_of_discarded_volumes_without_triggers_is_said():
    found = align(triggers(60), NumberOfVolumesDiscardedByScanner=2)
    assert found.first_volume_s == FIRST_S
    assert "as many triggers as volumes" in found.notes[0]


@pytest.mark.parametrize(("n", "rule", "first_s"), [
    (62, "first", 3.0), (62, "last", 7.0), (62, "skip:1", 5.0),
    (59, "first", 3.0), (59, "last", 1.0),
])
def test_the_rule_of_the_user(n, rule, first_s):
    found = align(triggers(n), rule=rule)
    assert found.first_volume_s == first_s
    # After the last trigger nothing tells when a volume was measured.
    assert found.kept == slice(0, 59 if (n, rule) == (59, "first") else 60)
    assert f"align.triggers is {rule}" in found.notes[0]


def test_the_rule_goes_before_the_sidecar():
    assert align(triggers(62), rule="first", dummy=2).first_volume_s == FIRST_S


@pytest.mark.parametrize("lost", [[1], [30], [30, 31, 40]])
def test_lost_triggers_show_as_gaps(lost):
    found = align(np.delete(triggers(60), lost))
    assert (found.first_volume_s, found.kept) == (FIRST_S, slice(0, 60))
    assert f"{len(lost)} trigger" in found.notes[0]
    assert "missing after" in found.notes[0]


def test_a_lost_trigger_and_dummies():
    found = align(np.delete(triggers(62), 30), NumberOfVolumesDiscardedByUser=2)
    assert found.first_volume_s == FIRST_S + 2 * T_R


def test_eeg_that_ends_or_begins_during_the_scan():
    ends = align(triggers(59), duration_s=triggers(59)[-1] + 1.0)
    assert (ends.first_volume_s, ends.kept) == (FIRST_S, slice(0, 59))
    begins = align(triggers(59) - 2.0)  # the first is 1 s after the EEG began
    assert (begins.first_volume_s, begins.kept) == (1.0, slice(1, 60))
    assert any("the first trigger is that of volume 2" in note for note in begins.notes)


@pytest.mark.parametrize("slices", [2, 36])
def test_a_trigger_a_slice(slices):
    onset_s = FIRST_S + T_R / slices * np.arange(60 * slices)
    found = align(onset_s)
    assert (found.first_volume_s, found.t_r, found.kept) == (FIRST_S, T_R, slice(0, 60))
    assert f"{slices} triggers a volume" in found.notes[0]


def test_bad_input_intervals_that_are_no_repetition_times():
    onset_s = triggers(60)
    onset_s[30:] += 0.7
    with pytest.raises(ContractError, match="from trigger 30"):
        align(onset_s)
    with pytest.raises(ContractError, match="they are 2 s apart"):
        align(triggers(60), t_r=3.0)
    with pytest.raises(ContractError, match="there are 1 triggers"):
        align(triggers(1))


@pytest.mark.parametrize("rule", ["second", "skip", "skip:-1", "skip:x"])
def test_bad_input_a_rule_that_is_none(rule):
    with pytest.raises(ValueError, match=r"align\.triggers must be first, last or skip:N"):
        AlignRule(rule)


def test_bad_input_more_skipped_than_there_are():
    with pytest.raises(ContractError, match="skip fewer"):
        align(triggers(60), rule="skip:60")


def test_without_volumes_every_trigger_is_one():
    found = by_triggers(np.delete(triggers(20), 10), None, None, 60.0, "x.fif")
    assert found.kept == slice(0, 20)


@pytest.mark.parametrize("apart_s", [0.001, 0.1])
@pytest.mark.parametrize("which", [[0], [30], [30, 31, 59], list(range(60))])
def test_triggers_that_were_recorded_twice_are_one(which, apart_s):
    found = align(np.sort(np.concatenate([triggers(60), triggers(60)[which] + apart_s])))
    assert (found.first_volume_s, found.kept) == (FIRST_S, slice(0, 60))
    assert f"{len(which)} trigger" in found.notes[0]
    assert "as recorded twice" in found.notes[0]


def test_a_trigger_lost_and_another_recorded_twice():
    found = align(np.sort(np.append(np.delete(triggers(60), 20), triggers(60)[40] + 0.004)))
    assert (found.first_volume_s, found.kept) == (FIRST_S, slice(0, 60))
    assert len(found.notes) == 2


def test_bad_input_a_trigger_between_two_others():
    with pytest.raises(ContractError, match="add the triggers that are missing, take out those"):
        align(np.sort(np.append(triggers(60), FIRST_S + 41)))
