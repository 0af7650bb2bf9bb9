"""What is found in folders: each recording once, under its own name, and nothing that is none."""

import json
import os
import shutil

import pytest

from neurofm.preprocessing import archive
from neurofm.preprocessing.readers import ReadError, read


def _bids(root, make_raw, save, subjects=("01", "02")):
    for subject in subjects:
        stem = f"sub-{subject}_task-go"
        folder = root / f"sub-{subject}" / "eeg"
        raw = save(make_raw(8, 20, seed=int(subject)), folder / f"{stem}_eeg.edf")
        (folder / f"{stem}_channels.tsv").write_text("name\ttype\tunits\tstatus\n" + "".join(
            f"{name}\tEEG\tuV\tgood\n" for name in make_raw(8, 1).ch_names))
        (folder / f"{stem}_events.tsv").write_text("onset\tduration\ttrial_type\n1.0\t0.5\tleft\n")
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": root.name, "BIDSVersion": "1.9.0", "DatasetType": "raw"}))
    (root / "participants.tsv").write_text(
        "participant_id\tage\n" + "".join(f"sub-{s}\t3{s[-1]}\n" for s in subjects))
    return raw


def _sources(found):
    return [job.source for job in found.jobs]


def test_bids_folders_below_a_plain_one_keep_their_names(tmp_path, make_raw, save):
    """Else every sub-01 of two data sets would be one person, and nobody had an age."""
    for name in ("first", "second"):
        _bids(tmp_path / "all" / name, make_raw, save)
    save(make_raw(), tmp_path / "all" / "loose" / "x_raw.fif")
    jobs = archive.find([str(tmp_path / "all")]).jobs
    assert {(job.dataset, job.subject) for job in jobs} == {
        ("first", "01"), ("first", "02"), ("second", "01"), ("second", "02"), ("all", "x_raw")}
    assert {job.attributes.get("age") for job in jobs} == {"31", "32", None}


def test_derivatives_empty_rooms_and_calibrations_are_no_recordings_of_people(
    tmp_path, make_raw, save
):
    root = tmp_path / "study"
    _bids(root, make_raw, save)
    clean = root / "derivatives/clean/sub-01/eeg/sub-01_task-go_desc-clean_eeg.fif"
    save(make_raw(8, 20), clean)
    save(make_raw(8, 20), root / "sub-emptyroom/ses-1/meg/sub-emptyroom_ses-1_task-noise_meg.fif")
    save(make_raw(8, 20), root / "sub-01/meg/sub-01_acq-crosstalk_meg.fif")
    save(make_raw(8, 20), root / "sub-01/eeg/practice.edf")
    found = archive.find([str(root)])
    assert _sources(found) == [f"study/sub-{s}/eeg/sub-{s}_task-go_eeg.edf" for s in ("01", "02")]
    assert found.passed_over["empty room"] == 1
    assert found.passed_over["not named as BIDS names EEG and MEG"] == 1
    # Who names derivatives or a file means them.
    assert len(archive.find([str(root / "derivatives")]).jobs) == 1
    assert len(archive.find([str(root / "sub-01/eeg/practice.edf")]).jobs) == 1


@pytest.mark.parametrize("sidecar", ["channels", "events"])
def test_a_changed_sidecar_is_a_changed_recording(tmp_path, make_raw, save, ingest, quick, sidecar):
    root = tmp_path / "study"
    _bids(root, make_raw, save)
    ingest(root, *quick)
    path = root / f"sub-01/eeg/sub-01_task-go_{sidecar}.tsv"
    path.write_text(path.read_text().replace("good", "bad", 1).replace("1.0", "2.0"))
    again = ingest(root, *quick)
    assert "1 unchanged" in again.text
    if sidecar == "channels":
        assert "Fp1" in again.corpus.recordings.set_index("subject")["bads"]["01"]


def test_a_sidecar_that_holds_for_all_counts_for_each(tmp_path, make_raw, save):
    _bids(tmp_path / "study", make_raw, save)
    before = archive.find([str(tmp_path / "study")]).jobs
    (tmp_path / "study" / "task-go_eeg.json").write_text('{"PowerLineFrequency": 60}')
    (tmp_path / "study" / "task-rest_eeg.json").write_text('{"PowerLineFrequency": 60}')
    after = archive.find([str(tmp_path / "study")]).jobs
    assert all(new.size == old.size + 26 for new, old in zip(after, before, strict=True))


def test_links_of_datalad(tmp_path, make_raw, save, ingest, quick):
    """The content lies under a key; what was not fetched is a link to nothing."""
    root = tmp_path / "study"
    _bids(root, make_raw, save)
    store = root / ".git" / "annex" / "objects"
    store.mkdir(parents=True)
    for subject, key in (("01", "MD5E-1.edf"), ("02", "MD5E-2.edf")):
        path = root / f"sub-{subject}/eeg/sub-{subject}_task-go_eeg.edf"
        shutil.move(path, store / key)
        path.symlink_to(os.path.relpath(store / key, path.parent))
    (store / "MD5E-2.edf").unlink()
    outcome = ingest(root, *quick)
    assert outcome.status == 3
    assert outcome.corpus.recordings["subject"].tolist() == ["01"]
    assert "datalad get" in outcome.failures["sub-02_task-go_eeg.edf"]
    (job,) = archive.find([str(root / "sub-01/eeg/sub-01_task-go_eeg.edf")]).jobs
    assert job.subject == "01"
    assert read(root / "sub-01/eeg/sub-01_task-go_eeg.edf").subject == "01"
    with pytest.raises(ReadError, match="datalad get"):
        read(root / "sub-02/eeg/sub-02_task-go_eeg.edf")


def test_a_link_back_to_a_folder_above_ends(tmp_path, make_raw, save):
    save(make_raw(), tmp_path / "lab" / "a_raw.fif")
    (tmp_path / "lab" / "again").symlink_to(tmp_path / "lab")
    assert len(archive.find([str(tmp_path / "lab")]).jobs) == 1


def test_the_table_says_more_than_the_name_for_all(tmp_path, make_raw, save):
    for name in ("a", "b"):
        save(make_raw(), tmp_path / "lab" / f"{name}_raw.fif")
    (tmp_path / "t.tsv").write_text(
        "file\tsubject\tdataset\na_raw.fif\tann\tward\nlab/a_raw.fif\tanna\tn/a\ngone.fif\tx\ty\n")
    found = archive.find([str(tmp_path / "lab")], dataset="clinic", table=str(tmp_path / "t.tsv"))
    assert [(job.dataset, job.subject) for job in found.jobs] == [
        ("ward", "anna"), ("clinic", "b_raw")]
    assert found.unused == ["gone.fif"]


def test_what_the_table_or_the_labels_name_in_vain_is_said(tmp_path, make_raw, save, ingest, quick):
    import mne

    raw = make_raw()
    raw.set_annotations(mne.Annotations([5.0, 15.0], [0, 0], ["T1", "T1"]))
    save(raw, tmp_path / "lab" / "a_raw.fif")
    shutil.copy(tmp_path / "lab" / "a_raw.fif", tmp_path / "lab" / "b_raw.fif")
    (tmp_path / "t.tsv").write_text("file\tsubject\nc_raw.fif\tann\n")
    text = ingest(tmp_path / "lab", *quick, "--table", tmp_path / "t.tsv", "--label.source",
                  "event", "--label.mapping", '{"T1": "left", "T22": "right"}').text
    assert "the table names files that were not found: c_raw.fif" in text
    assert "in label.mapping, but on no window: right" in text
    assert "the same signal twice: lab/a_raw.fif = lab/b_raw.fif" in text


def test_plain_arrays_without_a_description_are_explained(tmp_path, ingest, quick):
    import numpy as np

    (tmp_path / "lab").mkdir()
    np.save(tmp_path / "lab" / "a.npy", np.zeros((100, 4)))
    assert "--arrays.sfreq" in ingest(tmp_path / "lab", *quick).text


def test_signal_and_markers_of_a_header_are_not_passed_over(tmp_path, make_raw, save, data):
    save(make_raw(), tmp_path / "lab" / "a.vhdr")
    (tmp_path / "lab" / "b.vmrk").write_text("without a header")
    found = archive.find([str(tmp_path / "lab"), str(data / "eeglab_sample")])
    assert found.passed_over[".vmrk"] == 1
    assert not found.passed_over[".eeg"]
    assert not found.passed_over[".fdt"]


def test_a_folder_that_cannot_be_listed_is_a_failure(tmp_path, make_raw, save, monkeypatch):
    from pathlib import Path

    save(make_raw(), tmp_path / "lab" / "open" / "a_raw.fif")
    (tmp_path / "lab" / "locked").mkdir()
    original = Path.iterdir

    def iterdir(self):
        if self.name == "locked":
            raise PermissionError(13, "Permission denied")
        return original(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    found = archive.find([str(tmp_path / "lab")])
    assert len(found.jobs) == 1
    assert found.missing == [(str(tmp_path / "lab/locked"), "cannot be listed: Permission denied")]
