"""Channels and events of EDF, BrainVision and others as recorders write them: none is lost."""

import mne
import numpy as np
import pytest

from neurofm import config
from neurofm.preprocessing import archive, labels, readers, segments
from neurofm.preprocessing.ingest import IngestConfig
from neurofm.preprocessing.labels import LabelRule

NAMES = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4"]


def _edf(path, names, unit="uV", rates=None, signal=None):
    import edfio

    rates = rates or [200] * len(names)
    if signal is None:
        signal = 20 * np.random.default_rng(0).standard_normal((len(names), 4000))
    edfio.Edf([edfio.EdfSignal(row[:20 * rate], rate, label=name, physical_dimension=unit,
                               physical_range=(-400, 400))
               for name, rate, row in zip(names, rates, signal, strict=True)]).write(path)
    return path


def _raw(*annotations):
    signal = 20e-6 * np.random.default_rng(0).standard_normal((8, 4000))
    raw = mne.io.RawArray(signal, mne.create_info(NAMES, 200.0, "eeg"), verbose="ERROR")
    onset_s, length_s, said = zip(*annotations, strict=True)
    return raw.set_annotations(mne.Annotations(onset_s, length_s, said))


@pytest.mark.parametrize("unit", ["uV", "UV", "microV", "uVolt", "uvolts", "10^-6V"])
def test_cases_microvolts_in_any_spelling(tmp_path, unit):
    path = _edf(tmp_path / "a.edf", NAMES, unit)
    for stated in ("", "uV"):
        assert 18e-6 < readers.read(path, unit=stated).signal.std() < 22e-6


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1e-3), ("nV", 1e-9), ("Volt", 1.0), ("", 1.0)])
def test_cases_a_unit_is_what_the_header_says_or_what_is_stated(tmp_path, unit, factor):
    path = _edf(tmp_path / "a.edf", NAMES, unit)
    assert 18 < readers.read(path).signal.std() / factor < 22
    assert 18e-6 < readers.read(path, unit="uV").signal.std() < 22e-6


def test_cases_microvolts_in_latin_1_and_utf_8(tmp_path):
    path = _edf(tmp_path / "a.edf", NAMES, "xxV")
    content = path.read_bytes()
    for sign in ("µV ".encode("latin-1"), "µV".encode(), b"\x83\xcaV"):
        path.write_bytes(content.replace(b"xxV", sign))
        assert 18e-6 < readers.read(path).signal.std() < 22e-6


def test_cases_a_channel_faster_than_eeg_is_named(tmp_path):
    recording = readers.read(_edf(tmp_path / "a.edf", [*NAMES, "EMG chin", "EOG"],
                                  rates=[100] * 8 + [200, 50]))
    assert (recording.sfreq, recording.n_times) == (100.0, 2000)
    assert recording.left_out == {
        "EMG chin": "by its name EMG, not EEG, sampled faster than EEG",
        "EOG": "by its name EOG, not EEG"}


def test_cases_eeg_of_two_rates_is_said(tmp_path):
    recording = readers.read(_edf(tmp_path / "a.edf", NAMES, rates=[200] * 6 + [100] * 2))
    assert recording.notes == ("2 EEG channels were recorded at 100 Hz and upsampled to 200 Hz: "
                               "P3, P4",)


@pytest.mark.parametrize("names", [["O2", "O2", "O2"], ["O2", "o2", "EEG O2-REF"],
                                   ["T3", "T7", "EEG T3"], ["F7-T7", "F7-T7", "EEG F7-T3"]])
@pytest.mark.parametrize("equal", [0, 1, 2])
def test_cases_copies_are_one_channel_and_others_stay(tmp_path, names, equal):
    signal = 20 * np.random.default_rng(0).standard_normal((11, 4000))
    signal[9:9 + equal] = signal[8]
    recording = readers.read(_edf(tmp_path / "a.edf", [*NAMES, *names], signal=signal))
    assert recording.n_channels == 11 - equal
    assert len(recording.left_out) == equal
    assert sum("the same electrode" in note for note in recording.notes) == 2 - equal


@pytest.mark.parametrize("name", ["LEG-L", "PLM2", "LIGHT", "H.R.", "SaO2", "Chin1-Chin2"])
def test_cases_what_a_night_records_besides_is_no_eeg(tmp_path, name):
    recording = readers.read(_edf(tmp_path / "a.edf", [*NAMES, name]))
    assert list(recording.left_out) == [name]


@pytest.mark.parametrize("label", [
    "boundary", "boundary ", "Boundary", "BAD boundary", "EDGE boundary", "New Segment",
    "New Segment/", "New Segment/LostSamples: 5", "Comment/New Segment", "SegmentStarted",
    "discontinuity"])
def test_cases_joints_by_any_name(label):
    recording = readers.from_raw(_raw((10.0, 2.0, label)))
    assert segments.continuous(recording) == [(0, 2000), (2000, 4000)]
    assert segments.is_cut_or_bad(label)


def test_cases_what_was_not_recorded_is_left_out_and_other_names_are_events():
    assert segments.continuous(readers.from_raw(_raw((10.0, 2.0, "BAD_ACQ_SKIP")))) == [
        (0, 2000), (2400, 4000)]
    for label in ("-99", "start", "new", "segment"):
        assert segments.continuous(readers.from_raw(_raw((10.0, 2.0, label)))) == [(0, 4000)]


def test_cases_markers_of_brainvision_are_found_without_their_type():
    rule = LabelRule("event", mapping={"S  1": "left", "go": "right"})
    recording = readers.from_raw(_raw((1, 0, "Stimulus/S  1"), (2, 0, "Comment/go"),
                                      (3, 0, "Stimulus/S  1")))
    found = labels.cuts(recording, rule)
    assert found.labels == ["left", "right", "left"]


def test_cases_a_code_of_two_types_of_markers_is_none():
    rule = LabelRule("event", mapping={"S  1": "left", "Response/S  1": "pressed"})
    recording = readers.from_raw(_raw((1, 0, "Stimulus/S  1"), (2, 0, "Response/S  1")))
    assert labels.cuts(recording, rule).labels == ["pressed"]


@pytest.mark.parametrize("high", [0, 0xFF00])
def test_cases_triggers_of_biosemi_are_the_low_byte(high):
    status = np.full(4000, (1 << 20) | high)
    status[:10] |= 1 << 16
    for at, code in ((400, 1), (1600, 2), (2800, 1)):
        status[at:at + 20] |= code
    raw = _raw((0, 0, "bad start"))
    info = mne.create_info(["Status"], 200.0, "stim")
    raw.add_channels([mne.io.RawArray(status[None].astype(float), info, verbose="ERROR")],
                     force_update_info=True)
    recording = readers.from_raw(raw)
    rule = LabelRule("event", mapping={"1": "one", "2": "two"})
    found = labels.cuts(recording, rule)
    assert found.onsets_s.tolist() == [2.0, 8.0, 14.0]
    assert found.labels == ["one", "two", "one"]
    assert recording.left_out == {"Status": "of type stim in the file"}


@pytest.mark.parametrize(("written", "mapping"), [
    ("{1: left, 2: right}", {"1": "left", "2": "right"}),
    ("{left: 0, right: 1}", {"left": "0", "right": "1"})])
def test_cases_codes_and_classes_of_yaml_are_numbers(tmp_path, written, mapping):
    (tmp_path / "c.yaml").write_text(f"label:\n  source: event\n  mapping: {written}\n"
                                     f"splits:\n  test: [20, 21]\nrename: {{1: Fp1}}\n")
    run = config.parse(IngestConfig, ["x.edf", "--out", "y", "--config", str(tmp_path / "c.yaml")],
                       command="ingest", positional="paths")
    assert (run.label.mapping, run.rename) == (mapping, {"1": "Fp1"})
    assert [str(name) for name in run.splits.test] == ["20", "21"]


def test_cases_a_folder_is_a_recording_only_in_formats_of_folders(tmp_path):
    (tmp_path / "lab.edf").mkdir()
    _edf(tmp_path / "lab.edf" / "a.edf", NAMES)
    assert [job.source for job in archive.find([str(tmp_path / "lab.edf")]).jobs] == [
        "lab.edf/a.edf"]
    (tmp_path / "s.ds").mkdir()
    assert readers.claims(tmp_path / "s.ds")


def test_cases_a_stretch_bad_in_one_channel_is_bad_as_in_mne(tmp_path):
    raw = _raw((5, 5, "BAD_flat"), (15, 2, "BAD_muscle"))
    raw.annotations.ch_names = np.array([("P4",), ()], dtype=object)
    raw.save(tmp_path / "a_raw.fif", verbose="ERROR")
    recording = readers.read(tmp_path / "a_raw.fif")
    assert segments.bad_stretches(recording).tolist() == [[5.0, 10.0], [15.0, 17.0]]
