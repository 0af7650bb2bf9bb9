"""A BIDS folder with all its sidecars, written for the test."""

import json

import numpy as np
import pytest

from neurofm.preprocessing import bids
from neurofm.preprocessing.archive import find
from neurofm.preprocessing.readers import ReadError, read


@pytest.fixture
def archive(tmp_path, make_raw, save):
    """Two subjects, two sessions; sub-01 with every sidecar."""
    root = tmp_path / "study"
    for subject, session in (("01", "a"), ("01", "b"), ("02", "a")):
        raw = make_raw(8, 20, seed=int(subject))
        raw.rename_channels({"F7": "heart"})
        stem = f"sub-{subject}_ses-{session}_task-go_run-01"
        folder = root / f"sub-{subject}" / f"ses-{session}" / "eeg"
        save(raw, folder / f"{stem}_eeg.edf")
        (folder / f"{stem}_eeg.json").write_text(json.dumps({
            "TaskName": "go", "SamplingFrequency": 200, "PowerLineFrequency": 60,
            "EEGReference": "Cz", "SoftwareFilters": "n/a"}))
        rows = "".join(f"{name}\t{'ECG' if name == 'heart' else 'EEG'}\tuV\t"
                       f"{'bad' if name == 'Fz' else 'good'}\n" for name in raw.ch_names)
        (folder / f"{stem}_channels.tsv").write_text("name\ttype\tunits\tstatus\n" + rows)
        (folder / f"{stem}_events.tsv").write_text(
            "onset\tduration\ttrial_type\n1.0\t0.5\tleft\n6.0\t0.5\tright\n12.0\t0.5\tleft\n")
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": "a study", "BIDSVersion": "1.9.0", "DatasetType": "raw"}))
    (root / "participants.tsv").write_text(
        "participant_id\tage\thand\tsite\nsub-01\t31\tleft\tA\nsub-02\t28\tright\tB\n")
    return root


def test_sidecars_reach_the_recording(archive):
    path = archive / "sub-01/ses-b/eeg/sub-01_ses-b_task-go_run-01_eeg.edf"
    recording = read(path)
    assert (recording.subject, recording.session, recording.task, recording.run) == (
        "01", "b", "go", "01")
    assert recording.dataset == "study"
    assert "heart" not in recording.sensors.names
    assert recording.bads == ("Fz",)
    assert recording.attributes == {"age": "31", "hand": "left", "site": "A", "line_hz": "60"}
    assert recording.events.label == ("left", "right", "left")
    assert np.allclose(recording.events.onset_s, [1, 6, 12])


def test_recordings_are_found_at_and_below_a_path(archive):
    assert len(find([str(archive)]).jobs) == 3
    assert len(find([str(archive / "sub-01")]).jobs) == 2
    one = archive / "sub-02/ses-a/eeg/sub-02_ses-a_task-go_run-01_eeg.edf"
    (job,) = find([str(one)]).jobs
    assert job.path == str(one)
    assert job.identity() == {"dataset": "study", "subject": "02", "session": "a", "task": "go",
                              "run": "01"}
    assert job.attributes == {"age": "28", "hand": "right", "site": "B"}
    assert len(find([str(archive), str(one), str(archive / "sub-02")]).jobs) == 3


def test_what_lies_in_a_bids_folder_without_its_names_is_plain(archive, make_raw, save):
    path = save(make_raw(), archive / "sourcedata" / "first_raw.fif")
    (job,) = find([str(path)]).jobs
    assert (job.dataset, job.subject) == ("sourcedata", "first_raw")
    assert len(find([str(archive)]).jobs) == 3


def test_participants_are_read_anew_when_they_change(archive):
    assert bids.participants(archive)["01"]["age"] == "31"
    table = archive / "participants.tsv"
    table.write_text(table.read_text().replace("31", "32") + "sub-03\t40\tleft\tB\n")
    assert bids.participants(archive)["01"]["age"] == "32"


def test_labels_from_events_and_participants_and_splits_by_site(archive, ingest, quick, tmp_path):
    outcome = ingest(archive, *quick, "--label.source", "event", "--label.mapping",
                     '{"left": "L", "right": "R"}', "--label.tmin_s", "0.5")
    assert outcome.status == 0, outcome.text
    corpus = outcome.corpus
    assert corpus.windows["start_s"].tolist()[:3] == [1.5, 6.5, 12.5]
    assert corpus.labels(np.arange(3)).tolist() == ["L", "R", "L"]
    assert json.loads(corpus.recordings["quality"][0])["bads"] == {"Fz": "marked in the file"}
    outcome = ingest(archive, *quick, "--label.source", "participant", "--label.name", "hand",
                     "--splits.by", "site", "--splits.test", '["B"]', "--out", tmp_path / "two")
    corpus = outcome.corpus
    assert set(corpus.labels(corpus.select("train"))) == {"left"}
    assert set(corpus.labels(corpus.select("test"))) == {"right"}


def test_bad_input_a_damaged_recording_among_good_ones(archive, ingest, quick):
    path = archive / "sub-02/ses-a/eeg/sub-02_ses-a_task-go_run-01_eeg.edf"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ReadError, match="truncated"):
        read(path)
    outcome = ingest(archive, *quick)
    assert outcome.status == 3
    assert len(outcome.corpus.recordings) == 2
    assert "truncated" in outcome.failures[path.name]


def test_bad_input_a_damaged_sidecar_names_the_file(archive):
    path = archive / "sub-01/ses-a/eeg/sub-01_ses-a_task-go_run-01_eeg.edf"
    (path.parent / path.name.replace("_eeg.edf", "_channels.tsv")).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReadError, match=r"channels.tsv: is no text in utf-16") as caught:
        read(path)
    assert path.name in str(caught.value)


def test_joints_and_bad_stretches_of_the_file_stay_beside_events_tsv(tmp_path, make_raw, save):
    """mne-bids takes the events of the table instead of the file's annotations."""
    import mne

    from neurofm.preprocessing.segments import bad_stretches, continuous

    raw = make_raw(8, 20)
    raw.set_annotations(mne.Annotations([6.0, 9.0, 12.0], [0.0, 0.0, 1.0],
                                        ["EDGE boundary", "go", "BAD_muscle"]))
    folder = tmp_path / "study" / "sub-01" / "eeg"
    path = save(raw, folder / "sub-01_task-go_eeg.vhdr")
    (folder / "sub-01_task-go_events.tsv").write_text(
        "onset\tduration\ttrial_type\n1.0\t0.5\tleft\n")
    (folder / "sub-01_scans.tsv").write_text("filename\tacq_time\n")
    (tmp_path / "study" / "dataset_description.json").write_text(
        json.dumps({"Name": "a study", "BIDSVersion": "1.9.0", "DatasetType": "raw"}))
    recording = read(path)
    assert [label for label in recording.events.label if label in ("left", "go")] == ["left"]
    assert continuous(recording) == [(0, 1200), (1200, 4000)]
    assert np.allclose(bad_stretches(recording), [[12, 13]], atol=0.01)


def test_slow_eeg_beside_a_fast_emg_keeps_its_rate_with_channels_tsv(tmp_path):
    import edfio

    random = np.random.default_rng(0)
    names = ["C3", "C4", "O1"]
    signals = [edfio.EdfSignal(20 * random.standard_normal(100 * 10), 100, label=name,
                               physical_dimension="uV", physical_range=(-200, 200))
               for name in names]
    signals.append(edfio.EdfSignal(20 * random.standard_normal(500 * 10), 500, label="EMG chin",
                                   physical_dimension="uV", physical_range=(-200, 200)))
    folder = tmp_path / "study" / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    path = folder / "sub-01_task-sleep_eeg.edf"
    edfio.Edf(signals).write(path)
    rows = "".join(f"{name}\t{kind}\tuV\t{status}\n" for name, kind, status in (
        ("C3", "EEG", "good"), ("C4", "EEG", "bad"), ("O1", "MISC", "good"),
        ("EMG chin", "EMG", "good")))
    (folder / "sub-01_task-sleep_channels.tsv").write_text("name\ttype\tunits\tstatus\n" + rows)
    (tmp_path / "study" / "dataset_description.json").write_text(
        json.dumps({"Name": "a study", "BIDSVersion": "1.9.0", "DatasetType": "raw"}))
    recording = read(path)
    assert recording.sfreq == 100
    assert recording.sensors.names == ("C3", "C4")
    assert recording.bads == ("C4",)
