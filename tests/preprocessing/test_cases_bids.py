"""BIDS folders of EEG whose sidecars are elsewhere, at fault, or of another opinion than the file:
each through `readers.read`, as `ingest` reads it."""

import json

import numpy as np
import pytest

from neurofm.preprocessing import bids, labels, readers
from neurofm.preprocessing.labels import LabelRule
from neurofm.preprocessing.readers import ReadError
from neurofm.preprocessing.standardize import ContractError
from tests.support.torture.signals import edf, eeglab

NAMES = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "Fz", "pulse2"]
EVENTS = "onset\tduration\ttrial_type\n2.0\t0.5\tleft\n8.0\t0.5\tright\n14.0\t0.5\tleft\n"
SAID = {"TaskName": "go", "SamplingFrequency": 100, "PowerLineFrequency": 60}
CHANNELS = "name\ttype\tunits\tstatus\n" + "".join(
    f"{name}\t{'ECG' if name == 'pulse2' else 'EEG'}\tuV\t{'bad' if name == 'Fz' else 'good'}\n"
    for name in NAMES)


def _study(folder, at="beside", session="", **texts: str | bytes):
    """Path of the one recording. at: where its sidecars are; texts: what they say instead."""
    import edfio

    root = folder / "study"
    person = root / "sub-01" / (f"ses-{session}" if session else "")
    eeg = person / "eeg"
    eeg.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "s", "BIDSVersion": "1.9.0"}')
    entities = ["sub-01", *([f"ses-{session}"] if session else []), "task-go"]
    stem = "_".join(entities)
    signal = 20 * np.random.default_rng(0).standard_normal((11, 2000))
    edfio.Edf([edfio.EdfSignal(row, 100, label=name, physical_dimension="uV",
                               physical_range=(-200, 200))
               for name, row in zip(NAMES, signal, strict=True)]).write(eeg / f"{stem}_eeg.edf")
    place, before = {"root": (root, "task-go"), "subject": (root / "sub-01", "sub-01_task-go"),
                     "session": (person, stem), "beside": (eeg, stem)}[at]
    contents = {"channels.tsv": CHANNELS, "events.tsv": EVENTS, "eeg.json": json.dumps(SAID)}
    contents |= {name.replace("_", "."): text for name, text in texts.items()}
    for name, text in contents.items():
        content = text if isinstance(text, bytes) else text.encode()
        (place / f"{before}_{name}").write_bytes(content)
    return eeg / f"{stem}_eeg.edf"


def _cuts(recording):
    found = labels.cuts(recording, LabelRule("event", mapping={"left": "L", "right": "R"}))
    return list(zip(found.onsets_s.tolist(), found.labels, strict=True))


@pytest.mark.parametrize("at", ["root", "subject", "session", "beside"])
def test_cases_sidecars_hold_from_any_level(tmp_path, at):
    recording = readers.read(_study(tmp_path, at, session="a"))
    assert _cuts(recording) == [(2.0, "L"), (8.0, "R"), (14.0, "L")]
    assert recording.left_out == {"pulse2": "of type ecg in the file"}
    assert recording.bads == ("Fz",)
    assert recording.attributes["line_hz"] == "60"
    assert recording.notes == ()


@pytest.mark.parametrize(("rows", "said"), [
    ("n/a\tn/a\tright\n", r"1 event without an onset \(n/a\), left out: right"),
    ("45.0\t0.5\tright\n", r"1 event before its start or after its end \(20 s\), left out: right "
                           r"at 45 s"),
    ("-1.0\t0.5\tright\n", r"before its start .*: right at -1 s"),
])
def test_cases_events_that_are_none_of_the_recording_are_counted_and_named(tmp_path, rows, said):
    import re

    recording = readers.read(_study(tmp_path, events_tsv=EVENTS + rows))
    assert _cuts(recording) == [(2.0, "L"), (8.0, "R"), (14.0, "L")]
    assert re.search(said, recording.notes[0])


def test_cases_bad_input_onsets_in_milliseconds_are_said(tmp_path):
    text = "onset\tduration\ttrial_type\n2000\t500\tleft\n8000\t500\tright\n"
    with pytest.raises(ContractError, match=r"has no events; sub-01_task-go_events.tsv: 2 events "
                                            r".*after its end \(20 s\), left out: left at 2000 s"):
        _cuts(readers.read(_study(tmp_path, events_tsv=text)))


def test_cases_events_named_by_a_column_value(tmp_path):
    recording = readers.read(_study(
        tmp_path, events_tsv="onset\tduration\tvalue\n2.0\t0.5\t1\n8.0\t0.5\t2\n"))
    rule = LabelRule("event", mapping={"1": "L", "2": "R"})
    assert labels.cuts(recording, rule).labels == ["L", "R"]
    with pytest.raises(ContractError, match=r"has 1, 2; correct label\.mapping"):
        _cuts(recording)


def test_cases_an_event_whose_name_is_not_given_has_no_label(tmp_path):
    recording = readers.read(_study(tmp_path, events_tsv=EVENTS.replace("right", "n/a")))
    assert _cuts(recording) == [(2.0, "L"), (14.0, "L")]


@pytest.mark.parametrize("written", ["60", "60.0", "60 Hz", " 60 "])
def test_cases_numbers_written_as_text(tmp_path, written):
    text = json.dumps({**SAID, "PowerLineFrequency": written, "SamplingFrequency": "100"})
    recording = readers.read(_study(tmp_path, eeg_json=text))
    assert (recording.attributes["line_hz"], recording.sfreq) == ("60", 100.0)
    assert recording.notes == ()


def test_cases_a_line_frequency_that_nobody_knows(tmp_path):
    text = json.dumps({**SAID, "PowerLineFrequency": "n/a"})
    assert "line_hz" not in readers.read(_study(tmp_path, eeg_json=text)).attributes


def test_cases_a_sidecar_with_another_rate_is_said(tmp_path):
    recording = readers.read(_study(tmp_path, eeg_json=json.dumps(
        {**SAID, "SamplingFrequency": 250})))
    assert recording.sfreq == 100.0
    assert "says SamplingFrequency 250 Hz, the file 100 Hz" in recording.notes[0]


def test_cases_bad_input_a_comma_too_many(tmp_path):
    with pytest.raises(ReadError, match=r"sub-01_task-go_eeg\.json: is no valid JSON.*line 1"):
        readers.read(_study(tmp_path, eeg_json='{"TaskName": "go",}'))


@pytest.mark.parametrize(("name", "text"), [
    ("events_tsv", EVENTS.replace("left", "gauçhe")), ("eeg_json", json.dumps(
        {**SAID, "InstitutionName": "Universität"}, ensure_ascii=False)),
    ("channels_tsv", CHANNELS.replace("uV", "µV"))])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
def test_cases_sidecars_in_any_encoding(tmp_path, name, text, encoding):
    recording = readers.read(_study(tmp_path, **{name: text.encode(encoding)}))
    assert recording.bads == ("Fz",)
    assert {"gauçhe", "left"} & set(recording.events.label)
    assert ("encoding" in recording.attributes) == (encoding == "latin-1")


def test_cases_a_stated_encoding_holds_for_sidecars(tmp_path):
    path = _study(tmp_path, events_tsv=EVENTS.replace("left", "左").encode("shift_jis"))
    recording = readers.read(path, encoding="shift_jis")
    assert recording.events.label == ("左", "right", "左")
    assert "encoding" not in recording.attributes


@pytest.mark.parametrize("when", ["2020-01-01 10:00:00", "not-a-date", "1925-03-01T10:00:00", ""])
def test_cases_dates_of_scans_move_no_event(tmp_path, when):
    path = _study(tmp_path)
    row = f"eeg/{path.name}\t{when}\n" if when else ""
    (path.parents[1] / "sub-01_scans.tsv").write_text(f"filename\tacq_time\n{row}")
    assert _cuts(readers.read(path)) == [(2.0, "L"), (8.0, "R"), (14.0, "L")]


@pytest.mark.parametrize(("rows", "known"), [
    ("participant_id\tsite\nsub-01\tMünster\n", True), ("participant_id\tsite\n1\tMünster\n", True),
    ("participant_id,site\nsub-001,Münster\n", True), ("participant_id\tsite\n01\tMünster\n", True),
    ("participant_id\tsite\nSub-01\tMünster\n", True),
    ("participant_id\tsite\nsub-02\tMünster\n", False)])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_cases_participants_by_any_spelling(tmp_path, rows, known, encoding):
    (tmp_path / "participants.tsv").write_bytes(rows.encode(encoding))
    assert bids.person(tmp_path, "01").get("site") == ("Münster" if known else None)


def test_cases_a_fault_in_the_description_costs_the_license_alone(tmp_path):
    path = _study(tmp_path)
    (path.parents[2] / "dataset_description.json").write_text('{"Name": "s", "License": "CC0",}')
    assert _cuts(readers.read(path)) == [(2.0, "L"), (8.0, "R"), (14.0, "L")]


@pytest.fixture
def folder(tmp_path):
    """Of a subject's EEG in a BIDS folder."""
    made = tmp_path / "study" / "sub-01" / "eeg"
    made.mkdir(parents=True)
    (tmp_path / "study" / "dataset_description.json").write_text(
        '{"Name": "s", "BIDSVersion": "1.9.0"}')
    return made


def test_cases_bad_input_text_called_edf_in_bids(folder):
    (folder / "sub-01_task-go_eeg.edf").write_text("hello")
    with pytest.raises(ReadError, match="has no EDF header; it is damaged"):
        readers.read(folder / "sub-01_task-go_eeg.edf")


def test_cases_bad_input_a_set_without_its_fdt_in_bids(folder):
    path = eeglab(folder / "sub-01_task-go_eeg.set", data="sub-01_task-go_eeg.fdt")
    with pytest.raises(ReadError, match=r"its signal file sub-01_task-go_eeg\.fdt is missing"):
        readers.read(path)


def test_cases_events_whose_times_are_no_numbers(folder):
    """inf is what a division by zero leaves in a table."""
    (folder / "sub-01_task-go_events.tsv").write_text(
        "onset\tduration\ttrial_type\ninf\t1\tlost\n2\tinf\tgo\n")
    found = readers.read(edf(folder / "sub-01_task-go_eeg.edf"))
    assert found.events.label == ("go",)
    assert (found.events.onset_s[0], found.events.duration_s[0]) == (2.0, 0.0)
    assert "1 event without an onset (n/a), left out: lost" in found.notes[0]


def test_cases_events_that_began_before_the_recording(folder):
    """What is kept of them is not told as left out."""
    (folder / "sub-01_task-go_events.tsv").write_text(
        "onset\tduration\ttrial_type\n-1\t3\tW\n-1\t0.5\tgo\n")
    found = readers.read(edf(folder / "sub-01_task-go_eeg.edf"))
    assert (found.events.label, found.events.onset_s.tolist()) == (("W",), [0.0])
    kept, lost = found.notes
    assert kept.endswith("1 event before its start, set to begin with it: W at -1 s")
    assert lost.endswith("1 event before its start or after its end (12 s), left out: go at -1 s")
