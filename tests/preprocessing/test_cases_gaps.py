"""Recordings with gaps in time: each piece is used, and nothing runs over a gap."""

import json

import mne
import numpy as np
import pytest

from neurofm.data.contract import InputContract
from neurofm.preprocessing import readers, segments
from neurofm.preprocessing.labels import LabelRule, with_sidecar
from neurofm.preprocessing.readers import ReadError
from neurofm.preprocessing.standardize import standardize

NAMES = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2"]
CONTRACT = InputContract(sfreq=100.0, lowpass_hz=40.0, window_s=4.0)


def _edf(path, gaps_s: dict[int, float], notes=(("go", 5.0),), begin_s: float = 0.0):
    """An EDF+D of 40 records of 1 s. gaps_s: record → gap before it. notes: by the clock."""
    import edfio

    signal = 20 * np.random.default_rng(0).standard_normal((10, 4000))
    labels = [f"{name:>12}" for name, _ in notes]  # of one length: they move among the records
    edfio.Edf([edfio.EdfSignal(row, 100, label=name, physical_dimension="uV",
                               physical_range=(-200, 200))
               for name, row in zip(NAMES, signal, strict=True)],
              annotations=[edfio.EdfAnnotation(float(i), 1.0, label)
                           for i, label in enumerate(labels)]).write(path)
    content = bytearray(path.read_bytes())
    content[192:197] = b"EDF+D"
    at, width = 256 * 12, 0
    width = 2 * int(content[256 + 216 * 11 + 80:][:8])
    clock = begin_s
    for record in range(40):
        clock += gaps_s.get(record, 0.0)
        place = at + record * (2000 + width) + 2000
        text = f"+{clock:g}\x14\x14\0".encode()
        if record < len(notes):
            name, onset = notes[record]
            text += f"+{onset + begin_s:g}\x15".encode() + f"1\x14{name}\x14\0".encode()
        assert len(text) <= width
        content[place:place + width] = text.ljust(width, b"\0")
        clock += 1.0
    path.write_bytes(content)
    return path


def _bdf(path, *how):
    """The same as a BDF+D: three bytes a sample."""
    content = _edf(path.with_suffix(".edf"), *how).read_bytes()
    width = int(content[256 + 216 * 11 + 80:][:8])
    header = b"\xffBIOSEMI" + content[8:192] + b"BDF+D" + content[197:256 * 12]
    records = np.frombuffer(content[256 * 12:], dtype="<i2").reshape(40, -1)
    whole = records[:, :-width].astype("<i4").view(np.uint8).reshape(40, -1, 4)[:, :, :3]
    text = np.pad(records[:, -width:].view(np.uint8), ((0, 0), (0, width)))
    body = np.concatenate([whole.reshape(40, -1), text], axis=1)
    path.write_bytes(header.replace(b"EDF Annotations", b"BDF Annotations") + body.tobytes())
    return path


NOTES = (("before", 5.0), ("in gap", 20.0), ("after", 45.0), ("last", 99.0))


@pytest.mark.parametrize("write", [_edf, _bdf])
@pytest.mark.parametrize("begin_s", [0.0, 0.5])
def test_cases_the_pieces_of_a_recording_are_joined_and_events_keep_their_signal(
    tmp_path, begin_s, write
):
    path = tmp_path / ("a.edf" if write is _edf else "a.bdf")
    recording = readers.read(write(path, {10: 30.0, 25: 40.0}, NOTES, begin_s))
    assert 15e-6 < recording.signal.std() < 25e-6
    assert recording.n_times == 4000
    assert segments.continuous(recording) == [(0, 1000), (1000, 2500), (2500, 4000)]
    events = dict(zip(recording.events.label, recording.events.onset_s, strict=True))
    assert events == {"before": 5.0, "after": 15.0, "last": 29.0, segments.CUT: 25.0}
    assert "3 pieces with gaps of 30 to 40 s" in recording.notes[0]
    assert "1 event in a gap left out: in gap" in recording.notes[0]


def test_cases_windows_lie_within_pieces(tmp_path):
    recording = readers.read(_edf(tmp_path / "a.edf", {10: 30.0, 25: 40.0}))
    done = standardize(recording, CONTRACT)
    assert done.start_s.tolist() == [0, 4, 6, 10, 14, 18, 21, 25, 29, 33, 36]


def test_cases_filters_do_not_run_over_a_gap(tmp_path):
    """What is after a gap changes nothing before it."""
    path = _edf(tmp_path / "a.edf", {10: 30.0})
    one = readers.read(path)
    other = one.with_(signal=one.signal.copy())
    other.signal[:, 1000:] += 500e-6
    first, second = (standardize(recording, CONTRACT.with_(bad_channels="none", scale="none"))
                     for recording in (one, other))
    assert np.array_equal(first.signal[:, :1000], second.signal[:, :1000])


@pytest.mark.parametrize("gaps_s", [{}, {10: 0.0005}])
def test_cases_an_edf_d_without_gaps_is_one_piece(tmp_path, gaps_s):
    recording = readers.read(_edf(tmp_path / "a.edf", gaps_s))
    assert segments.continuous(recording) == [(0, 4000)]
    assert recording.events.label == ("go",)
    assert recording.notes == ()


def test_cases_bad_input_records_that_go_back_in_time(tmp_path):
    with pytest.raises(ReadError, match=r"a\.edf: record 11 begins 3 s before the end"):
        readers.read(_edf(tmp_path / "a.edf", {10: -3.0}))


def test_cases_a_raw_whose_gaps_are_not_marked_is_refused(tmp_path):
    path = _edf(tmp_path / "a.edf", {10: 30.0})
    raw = mne.io.read_raw(path, verbose="ERROR")
    with pytest.raises(ReadError, match="give the path of the file instead of the Raw"):
        readers.from_raw(raw)
    assert readers.from_raw(raw.copy().crop(11, 30)).n_times == 1901
    raw.set_annotations(mne.Annotations([10.0], 0, ["EDGE boundary"]))
    assert segments.continuous(readers.from_raw(raw)) == [(0, 1000), (1000, 4000)]


@pytest.mark.parametrize("with_events", [True, False])
def test_cases_an_edf_with_gaps_in_bids(tmp_path, with_events):
    folder = tmp_path / "study" / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    (tmp_path / "study" / "dataset_description.json").write_text(
        json.dumps({"Name": "s", "BIDSVersion": "1.9.0"}))
    path = _edf(folder / "sub-01_task-go_eeg.edf", {10: 30.0}, NOTES)
    if with_events:
        (folder / "sub-01_task-go_events.tsv").write_text(
            "onset\tduration\ttrial_type\n5\t1\tbefore\n20\t1\tin gap\n45\tn/a\tafter\n"
            "59\t1\tlast\n")
    recording = readers.read(path)
    assert segments.continuous(recording) == [(0, 1000), (1000, 4000)]
    events = dict(zip(recording.events.label, recording.events.onset_s, strict=True))
    assert (events["before"], events["after"]) == (5.0, 15.0)
    assert "in gap" not in events


def test_cases_a_hypnogram_of_a_night_with_gaps(tmp_path):
    path = _edf(tmp_path / "n1-PSG.edf", {10: 30.0})
    (tmp_path / "n1-Hypnogram.tsv").write_text(
        "onset\tduration\tstage\n0\t20\tW\n20\t15\tN1\n35\t20\tN2\n")
    recording = with_sidecar(readers.read(path), LabelRule("sidecar"), str(path))
    found = {label: (onset, length) for label, onset, length in zip(
        recording.events.label, recording.events.onset_s, recording.events.duration_s,
        strict=True) if label != segments.CUT}
    assert found == {"W": (0.0, 10.0), "N2": (10.0, 15.0)}


def _set(path, times, sfreq=200.0):
    from scipy.io import savemat

    n = len(times)
    chan = np.array([(name, [], [], []) for name in NAMES],
                    dtype=[("labels", "O"), ("X", "O"), ("Y", "O"), ("Z", "O")])
    empty = np.array([])
    savemat(path, {"EEG": {
        "setname": "x", "nbchan": 10, "trials": 1, "pnts": n, "srate": sfreq, "xmin": 0.0,
        "xmax": times[-1] / 1000, "times": times, "chanlocs": chan, "event": np.array(
            [("go", 2501.0, 0.0)], dtype=[("type", "O"), ("latency", "O"), ("duration", "O")]),
        "data": (20 * np.random.default_rng(0).standard_normal((10, n))).astype(np.float32),
        "epoch": empty, "icawinv": empty, "icaweights": empty, "icasphere": empty, "ref": "common",
        "chaninfo": {"nosedir": "+X"}, "history": "", "etc": {}}}, appendmat=False, oned_as="row")
    return path


@pytest.mark.parametrize("unit", [1.0, 0.001])
def test_cases_jumps_in_times_of_eeglab_are_joints(tmp_path, unit):
    times = 5.0 * np.arange(4000)
    times[1500:] += 3000
    recording = readers.read(_set(tmp_path / "a.set", unit * times))
    assert segments.continuous(recording) == [(0, 1500), (1500, 4000)]
    assert recording.events.onset_s[list(recording.events.label).index("go")] == 12.5


@pytest.mark.parametrize("change", [
    lambda times: times, lambda times: times[::-1] * 0, lambda times: times.astype(np.float32)])
def test_cases_other_times_of_eeglab_are_no_joints(tmp_path, change):
    path = _set(tmp_path / "a.set", change(5.0 * np.arange(4000)))
    assert segments.continuous(readers.read(path)) == [(0, 4000)]


def test_cases_a_note_tells_of_events_in_a_gap_of_bids(tmp_path):
    folder = tmp_path / "study" / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    (tmp_path / "study" / "dataset_description.json").write_text(
        json.dumps({"Name": "s", "BIDSVersion": "1.9.0"}))
    (folder / "sub-01_task-go_events.tsv").write_text(
        "onset\tduration\ttrial_type\n5\t1\tbefore\n20\t1\tin gap\n")
    recording = readers.read(_edf(folder / "sub-01_task-go_eeg.edf", {10: 30.0}, ()))
    assert ("sub-01_task-go_events.tsv: 1 event without an onset (n/a) or in a gap, left out: "
            "in gap") in recording.notes


def test_cases_a_loaded_raw_whose_file_is_gone(tmp_path):
    path = _edf(tmp_path / "a.edf", {})
    raw = mne.io.read_raw(path, preload=True, verbose="ERROR")
    before = readers.from_raw(raw)
    path.unlink()
    assert np.array_equal(readers.from_raw(raw).signal, before.signal)
