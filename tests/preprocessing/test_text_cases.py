"""Text as laboratories write it: any encoding, any line ends, ids and numbers as people type."""

import json

import numpy as np
import pytest

from neurofm.preprocessing import archive, bids, labels, readers, terms, text
from neurofm.preprocessing.labels import LabelRule
from neurofm.preprocessing.readers import ReadError
from neurofm.preprocessing.whose import Exclude, NameTables
from tests.support.torture.signals import edf, onsets

TABLE = "participant_id\tgroup\tsite\r\nsub-01\tpatient\tMünster\r\nsub-02\tcontrol\t“Köln”\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_cases_participants_in_any_encoding(tmp_path, encoding):
    (tmp_path / "participants.tsv").write_bytes(TABLE.encode(encoding))
    assert bids.person(tmp_path, "01") == {"group": "patient", "site": "Münster"}
    assert bids.person(tmp_path, "02")["site"] == "“Köln”"
    assert text.is_guessed(tmp_path / "participants.tsv") == (encoding == "cp1252")


def test_cases_stated_encoding_goes_before_a_guess(tmp_path):
    (tmp_path / "participants.tsv").write_bytes(
        "participant_id\tsite\nsub-1\tŁódź\n".encode("cp1250"))
    assert bids.person(tmp_path, "1", "cp1250") == {"site": "Łódź"}
    assert not text.is_guessed(tmp_path / "participants.tsv", "cp1250")
    with pytest.raises(ValueError, match="'latin-99' is no encoding"):
        text.check_encoding("latin-99")


@pytest.mark.parametrize("written", ["sub-01", "01", "1", "sub-001", "sub-1", "1.0", "SUB-01"])
@pytest.mark.parametrize("subject", ["01", "1", "001"])
def test_cases_ids_with_and_without_sub_and_zeros(tmp_path, written, subject):
    (tmp_path / "participants.tsv").write_text(
        f"participant_id,group\n{written},patient\nsub-10,control\nP07,other\n")
    assert bids.person(tmp_path, subject) == {"group": "patient"}
    assert bids.person(tmp_path, "10") == {"group": "control"}
    assert bids.person(tmp_path, "P7") == {"group": "other"}
    assert bids.person(tmp_path, "11") == {}


def test_cases_two_rows_that_differ_in_zeros_are_two_subjects(tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\tgroup\n1\ta\n01\tb\n")
    assert bids.person(tmp_path, "01") == {"group": "b"}
    assert bids.person(tmp_path, "001") == {}


def test_cases_quoted_fields_and_short_rows():
    columns, rows = text.table('a\tb\tc\n"x\ty"\t"say ""so"""\n\n1\t2\t3\t4\n')
    assert (columns, rows[0]) == (["a", "b", "c"], {"a": "x\ty", "b": 'say "so"', "c": "n/a"})
    assert rows[1] == {"a": "1", "b": "2", "c": "3"}
    assert text.table('a\tb\n"5 inch\tx\n2\ty\n')[1][1] == {"a": "2", "b": "y"}


def test_bad_input_participants_without_ids_names_the_file(tmp_path):
    (tmp_path / "participants.tsv").write_text("subject\tage\n01\t3\n")
    with pytest.raises(ValueError, match=r"participants.tsv: wanted a column participant_id"):
        bids.person(tmp_path, "01")


def test_bad_input_json_names_the_place(tmp_path):
    file = tmp_path / "sub-01_eeg.json"
    file.write_bytes(b'\xef\xbb\xbf{"TaskName": "go",\n "Site": "K\xc3\xb6ln",}')
    with pytest.raises(ReadError, match=r"sub-01_eeg.json: is no valid JSON: .* at line 2"):
        text.read_json(file)
    file.write_bytes('{"Site": "Köln"}'.encode("latin-1"))
    assert text.read_json(file) == {"Site": "Köln"}
    file.write_text("[1]")
    with pytest.raises(ReadError, match="wanted a JSON object"):
        text.read_json(file)


def _study(root, make_raw, save, *, events="", json_bytes=b"{}"):
    """A BIDS folder of one recording; returns the recording."""
    folder = root / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "s", "BIDSVersion": "1.9.0"}')
    stem = folder / "sub-01_task-go"
    recording = save(make_raw(), folder / f"{stem.name}_eeg.edf")
    (folder / f"{stem.name}_eeg.json").write_bytes(json_bytes)
    if events:
        (folder / f"{stem.name}_events.tsv").write_bytes(events)
    return recording


def test_cases_sidecars_of_a_recording(tmp_path, make_raw, save):
    said = json.dumps({"TaskName": "go", "PowerLineFrequency": 60, "Site": "Köln"},
                      ensure_ascii=False)
    file = _study(tmp_path / "study", make_raw, save, json_bytes=said.encode("latin-1"),
                  events='onset\ttrial_type\r\n2\t"gauche"\r\n8\tdroite à\r\nn/a\tgauche\r\n'
                         .encode("cp1252"))
    found = readers.read(file)
    assert found.attributes["line_hz"] == "60"
    assert "sub-01_task-go_eeg.json" in found.attributes["encoding"]
    assert "sub-01_task-go_events.tsv" in found.attributes["encoding"]
    assert found.events.label == ("gauche", "droite à")
    assert found.events.onset_s.tolist() == [2.0, 8.0]
    assert (found.source, found.folder) == (str(file), str(file.parent))
    assert readers.read(file, encoding="latin-1").attributes.keys() == {"line_hz"}


def test_cases_negative_durations_and_marks_of_byte_order(tmp_path, make_raw, save):
    events = "onset\tduration\ttrial_type\n2.0\t-1\tleft\n8.0\t0.5\tright\n"
    file = _study(tmp_path / "study", make_raw, save, events=events.encode("utf-16"),
                  json_bytes=b'\xef\xbb\xbf{"PowerLineFrequency": 50}')
    found = readers.read(file)
    assert found.events.label == ("left", "right")
    assert found.events.duration_s.tolist() == [0.0, 0.5]
    assert found.attributes == {"line_hz": "50"}


def test_bad_input_sidecars_name_themselves(tmp_path, make_raw, save):
    file = _study(tmp_path / "a", make_raw, save, json_bytes=b'{"TaskName": "go",}')
    with pytest.raises(ReadError, match=r"task-go_eeg.json: is no valid JSON"):
        readers.read(file)
    file = _study(tmp_path / "b", make_raw, save, events=b"time\ttrial_type\n2\tleft\n")
    with pytest.raises(ReadError, match=r"events.tsv: wanted a column onset"):
        readers.read(file)
    (file.parent / "sub-01_task-go_events.tsv").write_text("onset\ttrial_type\nsoon\tleft\n")
    with pytest.raises(ReadError, match=r"events.tsv: wanted numbers of seconds .* got 'soon'"):
        readers.read(file)


def test_bad_input_description_of_a_folder_is_told(tmp_path, make_raw, save):
    file = _study(tmp_path / "a", make_raw, save)
    (tmp_path / "a" / "dataset_description.json").write_text('{"License": "CC0",}')
    said: list[str] = []
    assert terms.of(archive.find([str(file)]).jobs, {}, said.append) == {"a": {}}
    assert "dataset_description.json: is no valid JSON" in said[0]


@pytest.mark.parametrize(("encoding", "stated"), [
    ("utf-8", ""), ("latin-1", ""), ("cp1252", ""), ("cp1251", "cp1251")])
def test_cases_annotations_of_edf(tmp_path, encoding, stated):
    edfio = pytest.importorskip("edfio")
    words = {"latin-1": "Augen öffnen", "cp1252": "“zu”", "cp1251": "глаза"}.get(encoding, "öffnen")
    random, file = np.random.default_rng(0), tmp_path / "rest.edf"
    stand_in = "x" * len(words.encode(encoding))
    signals = [edfio.EdfSignal(20 * random.standard_normal(2000), 200, label=f"EEG {name}",
                               physical_dimension="uV", physical_range=(-200, 200))
               for name in ("Fz", "Cz", "Pz", "Oz")]
    edfio.Edf(signals, annotations=[edfio.EdfAnnotation(2.0, None, stand_in)]).write(file)
    file.write_bytes(file.read_bytes().replace(stand_in.encode(), words.encode(encoding)))
    found = readers.read(file, encoding=stated)
    assert found.events.label == (words,)
    assert found.events.onset_s.tolist() == [2.0]
    assert found.n_times == 2000
    assert found.attributes == ({"encoding": "rest.edf"} if encoding in ("latin-1", "cp1252")
                                else {})


@pytest.mark.parametrize(("encoding", "stated"), [("cp1252", ""), ("cp1250", "cp1250")])
def test_cases_markers_of_brainvision(tmp_path, make_raw, save, encoding, stated):
    import mne

    raw, word = make_raw(), "“Łódź”" if stated else "“ö”"
    raw.set_annotations(mne.Annotations([2.0], [0.1], ["Comment/xyz"]))
    file = save(raw, tmp_path / "a.vhdr")
    markers = file.with_suffix(".vmrk")
    markers.write_bytes(markers.read_bytes().replace(b"xyz", word.encode(encoding)))
    found = readers.read(file, encoding=stated)
    assert f"Comment/{word}" in found.events.label
    assert found.attributes.get("encoding", "") == ("" if stated else "a.vhdr")
    assert np.abs(found.signal - readers.from_raw(raw).signal).max() < 1e-7
    assert found.folder == str(tmp_path)


@pytest.mark.parametrize(("pattern", "left"), [
    ("*_rest.edf", ["a/sub-01_go.edf", "a/sub-02_go.fif"]),
    ("sub-01*", ["a/sub-02_go.fif", "a/sub-02_rest.edf"]),
    ("sub-0?_go.*", ["a/sub-01_rest.edf", "a/sub-02_rest.edf"]),
    ("_rest", ["a/sub-01_go.edf", "a/sub-02_go.fif"]),
    (r"sub-\d+_go\.", ["a/sub-01_rest.edf", "a/sub-02_rest.edf"]),
    ("a/*.fif", ["a/sub-01_go.edf", "a/sub-01_rest.edf", "a/sub-02_rest.edf"]),
    ("rest|fif$", ["a/sub-01_go.edf"]),
    ("sub-{01,03}_*", ["a/sub-02_go.fif", "a/sub-02_rest.edf"]),
    ("*_{go,rest}.edf", ["a/sub-02_go.fif"]),
    ("[a-z]{2,2}_", ["a/sub-01_go.edf", "a/sub-01_rest.edf", "a/sub-02_go.fif",
                     "a/sub-02_rest.edf"]),
    ("b-0[12]_[a-z]{3,4}", ["a/sub-01_go.edf", "a/sub-02_go.fif"]),
    ("*.set", ["a/sub-01_go.edf", "a/sub-01_rest.edf", "a/sub-02_go.fif", "a/sub-02_rest.edf"]),
])
def test_cases_exclude_takes_globs_and_regular_expressions(pattern, left):
    files = ["a/sub-01_go.edf", "a/sub-01_rest.edf", "a/sub-02_go.fif", "a/sub-02_rest.edf"]
    exclude = Exclude([pattern])
    assert [file for file in files if not exclude(file)] == left
    assert exclude.unused() == ([pattern] if len(left) == 4 else [])


def test_bad_input_of_exclude():
    with pytest.raises(ValueError, match=r"exclude: .* is no regular expression"):
        Exclude(["(edf"])


def test_cases_table_of_files_in_latin1(tmp_path):
    (tmp_path / "t.csv").write_bytes('file;subject;site\na.edf;01;"Köln; Süd"\n'.encode("latin-1"))
    assert NameTables([], str(tmp_path / "t.csv")).fields("x/a.edf") == {
        "subject": "01", "site": "Köln; Süd"}


def test_cases_numbers_as_events_and_labels(make_raw):
    import mne

    raw = make_raw()
    raw.set_annotations(mne.Annotations([2, 8, 14, 20], 0.1, ["1", "2.0", "1.0", "12"]))
    rule = LabelRule("event", mapping={1: "left", 2: 0})
    cuts = labels.cuts(readers.from_raw(raw), rule)
    assert cuts.onsets_s.tolist() == [2, 8, 14]
    assert cuts.labels == ["left", "0", "left"]


@pytest.mark.parametrize("reserved", ["EDF+C", "EDF+D"])
def test_cases_annotations_of_edf_in_an_encoding_that_nothing_says(tmp_path, reserved):
    """Bytes of Japanese that mean nothing in cp1252."""
    label = "安静ー閉眼"
    path = edf(tmp_path / "a.edf", reserved=reserved, annotations=onsets(
        10.0 * (reserved == "EDF+D"), label.encode("shift_jis")))
    found = readers.read(path)
    assert label.encode("shift_jis").decode("latin-1") in found.events.label
    assert found.attributes["encoding"] == "a.edf"
    assert label in readers.read(path, encoding="shift_jis").events.label
