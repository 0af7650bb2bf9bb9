"""Labels that say who somebody is: recognized, replaced everywhere, the table kept at home."""

import json
import os
import stat

import pandas as pd
import pytest

from neurofm.hub import people, secrets
from neurofm.hub.people import Pseudonyms, telling

# labels of one data set → those that say who somebody is
STUDIES = [
    (["01", "02", "3"], {}),
    (["sub-01", "S002", "s3"], {}),
    ([f"CC{n}" for n in (110033, 110045, 120120, 121685)], {}),
    (["NYU_0050952", "NYU_0050953", "UCLA_0051201", "UCLA_0051202"], {}),
    (["NDARAB123CD4", "NDARZZ999AA1"], {}),
    (["a1b2c3d4e5", "0f9e8d7c6b"], {}),
    (["100206", "101309", "150928", "996782"], {}),  # six digits, no dates
    (["100307"], {}), (["100307", "100408", "101107"], {}),  # of the HCP; they could be dates
    (["S001R01", "S001R02", "S002R01", "S002R02"], {}),
    (["A", "B", "C"], {}),
    (["emptyroom", "sample", "fsaverage", "phantom1"], {}),
    (["patient12", "control03", "Proband7"], {}),
    (["P07_rest", "P08_rest", "P09_task"], {}),
    (["F2B"], {}),
    (["P01", "P02", "AB12", "AB13", "AB14", "s001_a", "s002_b"], {}),
    ([f"{group}{n}" for group in ("dyslexia", "dyscalculia") for n in range(1, 6)], {}),
    (["aaaaaaac", "aaaaabdn", "aaaaaaac_s001_t000"], {}),  # TUH counts in letters
    (["maria", "01", "02"], {"maria": "a name"}),
    (["01", "Anna_Weber", "Jürgen"], {"Anna_Weber": "a name", "Jürgen": "a name"}),
    (["AW", "JS", "01"], {"AW": "initials", "JS": "initials"}),
    (["JS85", "KM91", "AB72"], {"JS85": "initials", "KM91": "initials", "AB72": "initials"}),
    (["muster01", "weber02", "01"], {"muster01": "a name", "weber02": "a name"}),
    (["19850312", "01"], {"19850312": "a date"}),
    (["12031985", "P1"], {"12031985": "a date"}),
    (["1985-03-12", "P1"], {"1985-03-12": "a date"}),
    (["850312", "910704", "780229"], {each: "a date" for each in ("850312", "910704", "780229")}),
    (["mueller_19850312_rest", "P2_rest"], {"mueller_19850312_rest": "a name"}),
    (["sub-maria", "sub-02"], {"sub-maria": "a name"}),
    (["anna_1", "anna_2", "01", "02"], {"anna_1": "a name", "anna_2": "a name"}),
    (["patient_schmidt", "patient_2"], {"patient_schmidt": "a name"}),
]


@pytest.mark.parametrize(("labels", "wanted"), STUDIES)
def test_labels_that_say_who_somebody_is_are_secrets(labels, wanted):
    assert telling(labels) == wanted


def test_six_digits_are_no_dates_where_the_data_set_is_of_the_hcp():
    labels = ["850312", "910704"]
    assert telling(labels, "HCP_1200") == telling(labels, "hcp1200") == {}
    assert telling(labels, "lab") == telling(labels, "hcplus") == dict.fromkeys(labels, "a date")


def test_secrets_in_columns_of_a_table_of_subjects():
    assert people.telling_columns(["age", "sex", "patient_name", "birthDate", "birth_date", "dob",
                                   "Name", "group", "device_name", "line_hz", "e-mail"]) == [
        "patient_name", "birthDate", "birth_date", "dob", "Name", "e-mail"]
    others = ["PatientBirthDate", "PatientName", "phone_number", "postal_code", "hospital_id"]
    assert people.telling_columns([*others, "deviceName", "site", "patient_id"]) == others


def test_names_are_replaced_everywhere_and_the_table_is_kept(tmp_path):
    names = Pseudonyms()
    new = names.add(["lab/maria", "lab/sub-0001", "lab/Anna_Weber", "other/maria", "lab/07"], [
        ("lab/maria", "lab-maria-rest-0a1b"), ("lab/maria", "lab-maria-task-2c3d"),
        ("lab/07", "lab-07-rest-4e5f")])
    assert new == {"maria": "a name", "Anna_Weber": "a name"}
    assert names.of == {("lab", "Anna_Weber"): "sub-0002", ("lab", "maria"): "sub-0003",
                        ("other", "maria"): "sub-0001"}
    assert names.renamed({
        "recordings": [{"recording": "lab-maria-task-2c3d", "subject": "lab/maria"},
                       {"recording": "lab-07-rest-4e5f", "subject": "lab/07"}],
        "lab/Anna_Weber": 0.5, "note": "anna weber, sub-maria, MARIA and marianne; 3.5 maria",
    }) == {
        "recordings": [{"recording": "lab-sub-0003-02", "subject": "lab/sub-0003"},
                       {"recording": "lab-07-rest-4e5f", "subject": "lab/07"}],
        "lab/sub-0002": 0.5,
        "note": "sub-0002, sub-0003, sub-0003 and marianne; 3.5 sub-0003",
    }
    path = tmp_path / "home" / "table.tsv"
    names.write(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    again = Pseudonyms.read(path)
    assert again.of == names.of
    assert again.add(["lab/maria", "lab/peter"]) == {"peter": "a name"}
    assert again.of["lab", "maria"] == "sub-0003"
    assert again.of["lab", "peter"] == "sub-0004"


def test_people_of_two_data_sets_with_one_label_stay_two():
    names = Pseudonyms()
    names.add(["a/anna", "a/carl", "b/carl", "b/dora"])
    ledger = [{"subject": key} for key in ("a/anna", "a/carl", "b/carl", "b/dora")]
    found = [each["subject"] for each in names.renamed(ledger)]
    assert found == ["a/sub-0001", "a/sub-0002", "b/sub-0001", "b/sub-0002"]
    assert found == [f"{each.partition('/')[0]}/{names.subject(*each.split('/'))}"
                     for each in ("a/anna", "a/carl", "b/carl", "b/dora")]
    assert names.renamed("LEAK: b/carl, b/dora") == "LEAK: b/sub-0001, b/sub-0002"


def test_channels_keep_their_names_and_a_label_without_letters_is_no_pattern():
    names = Pseudonyms({("lab", "CZ"): "sub-0001", ("lab", "--"): "sub-0002"})
    assert names.renamed({"ch_names": ["CZ", "FZ"], "people": ["lab/CZ"], "note": "a -- b"}) == {
        "ch_names": ["CZ", "FZ"], "people": ["lab/sub-0001"], "note": "a sub-0002 b"}


def test_a_table_from_a_spreadsheet(tmp_path):
    (tmp_path / "t.tsv").write_text("dataset\tlabel\tpseudonym\nlab\tmaria\tsub-7\n",
                                    encoding="utf-8-sig")
    assert Pseudonyms.read(tmp_path / "t.tsv").of == {("lab", "maria"): "sub-7"}


def test_a_label_that_is_its_own_pseudonym_stays(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("dataset\tlabel\tpseudonym\nlab\tmaria\tmaria\n")
    names = Pseudonyms.read(path)
    assert names.add(["lab/maria"]) == {}
    assert names.renamed("lab/maria") == "lab/maria"
    path.write_text("label\tpseudonym\nmaria\tmaria\n")
    with pytest.raises(ValueError, match=r"table\.tsv: wanted a table with the columns dataset"):
        Pseudonyms.read(path)


def test_a_name_that_is_left_is_found_by_place(tmp_path):
    (tmp_path / "notes.txt").write_text("fine\nas Weber said\n")
    pd.DataFrame({"who": ["x", "ANNA-WEBER"]}).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "anna weber.txt").write_text("fine")
    found = secrets.found_in(tmp_path, people=people.rules_of(["Anna_Weber"]))
    assert {(each.file, each.place) for each in found} == {
        ("notes.txt", "line 2"), ("t.parquet", "column who, row 1"),
        ("anna weber.txt", "its name")}
    assert all(each.what == "a subject's label (Anna_Weber)" for each in found)


def test_a_table_of_recordings_without_names():
    table = pd.DataFrame([
        {"recording": "lab-maria-rest-0a", "dataset": "lab", "subject": "maria", "session": None,
         "task": "rest", "run": None, "source": "lab/Maria Muster/rest.edf", "bads": "",
         "quality": "{}", "attributes": json.dumps({"age": "40", "patient_name": "Maria M."})},
        {"recording": "lab-02-rest-0b", "dataset": "lab", "subject": "02", "session": None,
         "task": "rest", "run": None, "source": "lab/02/rest.edf", "bads": "", "quality": "{}",
         "attributes": "{}"}])
    names = Pseudonyms()
    names.add(["lab/maria", "lab/02"], [("lab/maria", "lab-maria-rest-0a")])
    public = people.without_names(table, names)
    assert public["subject"].tolist() == ["sub-0001", "02"]
    assert public["recording"].tolist() == ["lab-sub-0001-01", "lab-02-rest-0b"]
    assert public["source"].tolist() == ["lab/lab-sub-0001-01.edf", "lab/02/rest.edf"]
    assert json.loads(public["attributes"][0]) == {"age": "40"}
    assert "maria" not in public.to_csv().casefold()


def test_files_that_are_called_by_names_though_a_table_gives_numbers():
    sources = ["lab/Schmidt Anna.edf", "lab/P02.edf", "lab/day/maria/rest.edf", "lab/S004/eeg.edf",
               "lab/sub-05/eeg/sub-05_task-rest_eeg.edf"]
    table = pd.DataFrame([
        {"recording": f"lab-0{n}-ab", "dataset": "lab", "subject": f"0{n}", "session": None,
         "task": None, "run": None, "source": source, "bads": "", "quality": "{}",
         "attributes": "{}"} for n, source in enumerate(sources, start=1)])
    assert people.telling_sources(table) == {sources[0], sources[2]}
    public = people.without_names(table, Pseudonyms())
    assert public["source"].tolist() == [
        "lab/lab-01-ab.edf", sources[1], "lab/lab-03-ab.edf", *sources[3:]]
    assert public["recording"].tolist() == table["recording"].tolist()


def test_numbers_stay_numbers_where_labels_are_dates():
    labels = ["850312", "910704", "780229"]
    names, quality = Pseudonyms(), '{"flat": 0.850312, "n": 910704, "note": "as 910704", "v": "1."}'
    names.add([f"lab/{label}" for label in labels], [("lab/850312", "lab-850312-ab")])
    table = pd.DataFrame([{"recording": "lab-850312-ab", "dataset": "lab", "subject": "850312",
                           "session": None, "task": None, "run": None, "source": "lab/850312.edf",
                           "bads": "", "quality": quality, "attributes": "{}"}])
    public = people.without_names(table, names)
    assert json.loads(public["quality"][0]) == {"flat": 0.850312, "n": 910704, "v": "1.",
                                                "note": f"as {names.of['lab', '910704']}"}
    assert names.renamed("0.850312 and 850312.5, 850312.") == (
        f"0.850312 and 850312.5, {names.of['lab', '850312']}.")
