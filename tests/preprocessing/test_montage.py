"""Names of channels become electrodes with places; what is no electrode is recognized."""

import numpy as np
import pytest

from neurofm.data.sensors import HEAD_CENTER_M
from neurofm.preprocessing import montage


@pytest.mark.parametrize(
    ("written", "electrode"),
    [("EEG Fp1", "Fp1"), ("Fc5.", "FC5"), ("EEG FP1-REF", "Fp1"), ("EEG T3-LE", "T7"), ("t6", "P8"),
     ("EEG C3-A2", "C3"), ("eeg_o1", "O1"), ("EEGFz", "Fz"), (" Cz ", "Cz"), ("CZ..", "Cz"),
     ("C4-AVG", "C4"), ("AFZ", "AFz"), ("EEG A1-REF", "A1"), ("EEG-Fz", "Fz"), ("C3-M2", "C3")],
)
def test_one_electrode_in_many_spellings(written, electrode):
    spelling, position = montage.look_up([written], "standard_1005")
    assert spelling == [electrode]
    assert np.isfinite(position).all()
    assert montage.why_not_eeg(written) is None


@pytest.mark.parametrize(
    "name", ["ECG ECG", "EKG1", "EOG1", "VEOGL", "HEOG", "EMG chin", "Resp", "REOG", "E1-M2",
             "EXG3", "Status", "PHOTIC", "SpO2", "EEG A2-A1", "M1-M2", "EDF Annotations"],
)
def test_what_files_call_eeg_but_is_not(name):
    assert montage.why_not_eeg(name)


@pytest.mark.parametrize(
    ("name", "ends"), [("EEG Fpz-Cz", ("Fpz", "Cz")), ("FP1-F7", ("Fp1", "F7")),
                       ("T3-T5", ("T7", "P7")), ("EEG C3-Cz", ("C3", "Cz"))])
def test_a_difference_of_two_electrodes_stands_midway_between_them(name, ends):
    assert montage.why_not_eeg(name) is None
    (spelling,), (place,) = montage.look_up([name], "standard_1005")
    assert spelling == "-".join(ends)
    assert np.allclose(place, montage.look_up([*ends], "standard_1005")[1].mean(0), atol=1e-6)


@pytest.mark.parametrize("name", ["EEG 001", "E12", "A1", "M1", "EEG057", "Iz", "B32"])
def test_electrodes_with_unusual_names_stay(name):
    assert montage.why_not_eeg(name) is None


def test_places_are_in_the_head_frame_in_meters():
    _, (vertex, left, right, front) = montage.look_up(["Cz", "T7", "T8", "Fpz"], "standard_1005")
    assert vertex[2] > 0.1
    assert abs(vertex[0]) < 0.01
    assert left[0] < -0.06
    assert right[0] > 0.06
    assert front[1] > 0.08
    _, unknown = montage.look_up(["nowhere"], "standard_1005")
    assert np.isnan(unknown).all()


def test_a_montage_of_an_amplifier_goes_before_the_ear_lobe_of_that_name():
    _, biosemi = montage.look_up(["A1"], "biosemi128")
    _, ear = montage.look_up(["A1"], "standard_1005")
    assert np.linalg.norm(biosemi - ear) > 0.05


def test_an_unknown_montage_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'standard_1005'"):
        montage.look_up(["Cz"], "standart_1005")


def _cap() -> np.ndarray:
    names = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "Cz"]
    return montage.look_up(names, "standard_1005")[1]


def test_positions_of_a_file_are_used_when_they_can_be():
    assert np.array_equal(montage.usable_eeg_positions(_cap()), _cap())


@pytest.mark.parametrize("factor", [1000.0, 100.0, 0.001, 0.0])
def test_positions_in_another_unit_or_in_one_point_are_no_places(factor):
    assert np.isnan(montage.usable_eeg_positions(_cap() * np.float32(factor))).all()


def test_a_single_absurd_position_is_unknown_and_the_others_stay():
    places = _cap()
    places[3] = 5.0
    used = montage.usable_eeg_positions(places)
    assert np.isnan(used[3]).all()
    assert np.isfinite(np.delete(used, 3, axis=0)).all()


def test_a_sphere_about_the_origin_is_moved_to_the_middle_of_the_head():
    sphere = _cap() - HEAD_CENTER_M
    sphere *= 0.1 / np.linalg.norm(sphere, axis=1, keepdims=True)
    used = montage.usable_eeg_positions(sphere.astype(np.float32))
    assert np.allclose(used, sphere + HEAD_CENTER_M, atol=1e-6)


def test_helmet_is_put_about_the_middle_of_the_head():
    random = np.random.default_rng(0)
    direction = random.standard_normal((80, 3)) * (1, 1, 0.5) + (0, 0, 0.7)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    helmet = 0.11 * direction + (0.01, -0.02, 0.3)
    placed = montage.put_in_helmet(helmet)
    assert np.allclose(np.linalg.norm(placed - HEAD_CENTER_M, axis=1), 0.11, atol=1e-4)
