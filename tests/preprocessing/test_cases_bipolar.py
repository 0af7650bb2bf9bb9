"""Differences of two electrodes (bipolar EEG): never averaged, never interpolated, told by their
geometry."""

import numpy as np
import pytest

from neurofm.data.contract import InputContract
from neurofm.data.parcel_rule import ParcelRule
from neurofm.preprocessing import layout_figure, montage, readers
from neurofm.preprocessing.standardize import ContractError, standardize

PAIRS = ["Fp1-F7", "F7-T7", "T7-P7", "P7-O1", "Fp2-F8", "F8-T8", "T8-P8", "P8-O2"]
CAP = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2"]
CONTRACT = InputContract(sfreq=100.0, lowpass_hz=40.0, window_s=4.0, bad_channels="none",
                         scale="none")


def _recording(names, seed=0, **extra):
    import mne

    signal = 20e-6 * np.random.default_rng(seed).standard_normal((len(names), 2000))
    raw = mne.io.RawArray(signal, mne.create_info(list(names), 100.0, "eeg"), verbose="ERROR")
    raw.info["bads"] = extra.get("bads", [])
    return readers.from_raw(raw)


def test_cases_a_difference_points_from_its_second_electrode_to_its_first():
    sensors = _recording([*CAP, "EEG C3-Cz", "O1-A2"]).sensors
    (c3, cz) = montage.look_up(["C3", "Cz"], "standard_1005")[1]
    assert sensors.is_difference.tolist() == [False] * 10 + [True, False]
    assert np.allclose(sensors.orientation[10], (c3 - cz) / np.linalg.norm(c3 - cz), atol=1e-6)
    assert np.allclose(sensors.position[10], (c3 + cz) / 2, atol=1e-6)
    assert not sensors.orientation[:10].any()


def test_cases_a_tokenizer_is_told_of_a_difference():
    """Midway between F7 and T7 lies FT7; the direction tells them apart."""
    both = _recording(["FT7", "F7-T7", "C3", "C4"]).sensors.geometry()
    assert np.linalg.norm(both[0, :3] - both[1, :3]) < 0.15
    assert np.allclose(np.linalg.norm(both[:, 3:], axis=1), [0, 1, 0, 0], atol=1e-5)


@pytest.mark.parametrize("names", [PAIRS, PAIRS[:2]])
def test_cases_bipolar_eeg_has_no_average_reference(names):
    recording = _recording(names)
    done = standardize(recording, CONTRACT)
    as_recorded = standardize(recording, CONTRACT.with_(reference="none"))
    assert np.array_equal(done.signal, as_recorded.signal)
    assert "left out of the average reference" in done.quality["reading"][0]


def test_cases_the_average_of_electrodes_holds_no_differences():
    done = standardize(_recording([*CAP, "F7-T7", "T8-P8"]), CONTRACT)
    cap = standardize(_recording([*CAP, "F7-T7", "T8-P8"]).pick(np.arange(10)), CONTRACT)
    assert np.allclose(done.signal[:10], cap.signal, atol=1e-9)
    assert np.abs(done.signal[:10].mean(0)).max() < 1e-9
    assert np.abs(done.signal[10:].mean(0)).max() > 1e-6


def test_cases_bad_differences_are_left_out_and_none_is_interpolated_from_them():
    done = standardize(_recording([*CAP, "F7-T7", "T8-P8"], bads=["F7-T7", "O2"]), CONTRACT)
    assert done.sensors.names == (*CAP, "T8-P8")
    alone = standardize(_recording([*CAP, "F7-T7", "T8-P8"], bads=["O2"]).pick(np.arange(10)),
                        CONTRACT)
    assert np.allclose(done.signal[9], alone.signal[9], atol=1e-9)


def test_cases_bad_input_parcels_of_differences():
    with pytest.raises(ContractError, match="8 channels are differences of two electrodes"):
        standardize(_recording(PAIRS), CONTRACT.with_(parcels=ParcelRule()))


def test_cases_arrays_of_differences_are_told_too(tmp_path):
    np.save(tmp_path / "a.npy", 20 * np.random.default_rng(0).standard_normal((8, 500)))
    table = readers.ArrayTable(sfreq=100.0, unit="uV", names=PAIRS, axes="channel,time")
    assert readers.read(tmp_path / "a.npy", arrays=table).sensors.is_difference.all()


def test_cases_the_places_that_are_used_are_drawn():
    """C3 is left of the middle from above; from the left its height shows."""
    import re

    drawn = layout_figure.draw(_recording(["C3", "C4", "F7-T7"]).sensors, "a & b")
    above, left = re.findall(r'<text x="([\d.]+)" y="([\d.]+)">C3<', drawn)
    assert float(above[0]) < 110
    assert float(left[1]) < 110
    assert drawn.count(">C4<") == 1
    assert drawn.count("<line") == 2
    assert "a &amp; b" in drawn


def test_cases_unknown_places_are_not_drawn():
    assert layout_figure.draw(_recording(["X1", "X2"]).sensors, "") == ""


def test_cases_a_difference_is_one_under_a_montage_that_lacks_its_electrodes():
    assert np.isnan(montage.look_up(["Fp1-F7"], "biosemi16")[1]).all()
    assert np.linalg.norm(montage.directions(["Fp1-F7"], "biosemi16")) == pytest.approx(1)
