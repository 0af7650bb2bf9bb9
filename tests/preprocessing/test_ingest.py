"""`neurofm ingest` as a person runs it: on real folders, again, interrupted, with other workers."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import datasets
import mne
import numpy as np
import pytest
import yaml

from neurofm import artifacts
from neurofm.data.corpus import Corpus
from neurofm.preprocessing.readers import read
from neurofm.preprocessing.standardize import standardize

EEGMAT = ("--contract.lowpass_hz", "40", "--contract.sfreq", "100", "--label.source", "entity",
          "--label.name", "task")


def _folder(tmp_path, make_raw, save, n=3, **options):
    """A plain folder of `n` recordings, one a subject."""
    for i in range(n):
        save(make_raw(seed=i, seconds=12 + 2 * i, **options), tmp_path / "lab" / f"p{i}_raw.fif")
    return tmp_path / "lab"


def _fingerprint(out) -> str:
    return artifacts.open_sealed(out, "corpus", hashes=True).fingerprint


def test_bids_folder_with_labels_by_task(data, ingest):
    paths = [data / "eegmat" / f"sub-0{i}" for i in range(4)]
    outcome = ingest(*paths, *EEGMAT, "--splits.test", '["sub-01"]', "--splits.validation",
                     '["03"]')
    assert outcome.status == 0
    corpus = outcome.corpus
    table = corpus.recordings.set_index(["subject", "task"])
    assert len(table) == 8
    assert table.loc[("02", "rest"), "n_windows"] == 9
    assert table.loc[("00", "arithmetic"), "n_windows"] == 7  # a bit over 60 s: six, and the tail
    assert table.loc["01", "split"].tolist() == ["test", "test"]
    assert table.loc["03", "split"].tolist() == ["validation", "validation"]
    assert json.loads(table.loc[("01", "rest"), "attributes"])["age"] == "18"
    labels = corpus.labels(np.arange(len(corpus)))
    assert {label: (labels == label).sum() for label in set(labels)} == {
        "rest": 36, "arithmetic": table.xs("arithmetic", level="task")["n_windows"].sum()}
    assert set(corpus.subjects(corpus.select("test"))) == {"eegmat/01"}
    assert len(corpus.layouts) == 1
    for shown in ("recordings  8", "test 1 (", "rest 36", "MB an hour", str(outcome.out)):
        assert shown in outcome.text
    assert "eegmat/sub-00/eeg" in (outcome.out / "quality.html").read_text()


def test_archive_and_new_file_are_standardized_alike(data, ingest):
    path = data / "eegmat/sub-05/eeg/sub-05_task-rest_eeg.edf"
    corpus = ingest(path, *EEGMAT).corpus
    alone = standardize(read(path), corpus.contract)
    stored = np.stack([corpus.signal(i) for i in range(len(corpus))])
    assert np.array_equal(stored, alone.windows)
    assert corpus.layout(0).fingerprint == alone.sensors.fingerprint
    assert np.allclose(corpus.windows["start_s"], alone.start_s)


def test_shards_open_with_datasets(data, ingest):
    corpus = ingest(data / "eegmat/sub-05/eeg/sub-05_task-rest_eeg.edf", *EEGMAT).corpus
    shard = datasets.Dataset.from_file(str(next((corpus.folder / "windows").glob("*.arrow"))))
    assert len(shard) == len(corpus)
    assert np.array_equal(np.frombuffer(shard[2]["signal"], np.float32).reshape(19, -1),
                          corpus.signal(2))


def test_events_of_unlike_meaning_become_labels(data, ingest, repo):
    config = repo / "configs/preprocessing/eegmmidb.yaml"
    outcome = ingest(data / "eegmmidb", "--config", config)
    assert outcome.status == 0
    corpus = outcome.corpus
    labels = corpus.labels(np.arange(len(corpus)))
    counts = {label: int((labels == label).sum()) for label in sorted(set(labels))}
    assert counts == {"feet": 24, "fists": 21, "left": 23, "right": 22}
    assert set(corpus.recordings["subject"]) == {"001"}
    assert set(corpus.recordings["run"]) == {"04", "06", "08", "10", "12", "14"}
    run = corpus.recordings.index[corpus.recordings["run"] == "04"][0]
    rows = corpus.windows[corpus.windows["recording"] == run]
    raw = mne.io.read_raw(data / "eegmmidb/S001R04.edf", verbose="ERROR")
    onsets = [onset for onset, code in zip(raw.annotations.onset, raw.annotations.description,
                                           strict=True) if code != "T0"]
    assert np.allclose(rows["start_s"], onsets, atol=1 / 256)


def test_devices_and_kinds_mixed_in_one_corpus(data, ingest, repo):
    """EEG + MEG in one file, five makers of MEG, an EEG cap: layouts stored once, one batch."""
    config = repo / "configs/preprocessing/meg.yaml"
    outcome = ingest(data / "meg_readers", data / "eeglab_sample", "--config", config)
    assert outcome.status == 0, outcome.text
    corpus = outcome.corpus
    kinds = {"+".join(sorted(set(layout.kinds))) for layout in corpus.layouts.values()}
    assert kinds == {"eeg", "mag", "axial_grad", "planar_grad", "mag+planar_grad",
                     "axial_grad+eeg", "eeg+mag+planar_grad"}
    assert len(corpus.layouts) == len(corpus.recordings) == 8
    batch = corpus.batch(np.arange(len(corpus))[::7])
    assert batch.signal.isfinite().all()
    assert batch.geometry.isfinite().all()
    assert batch.valid.sum(1).tolist() == corpus.widths(np.arange(len(corpus))[::7]).tolist()
    real = batch.geometry[batch.valid][:, :3].norm(dim=1)
    assert 0.5 < real.min() < real.max() < 2.5


def test_configs_of_other_folders_run(data, ingest, repo, tmp_path):
    config = repo / "configs/preprocessing"
    outcome = ingest(data / "eeglab_sample", "--config", config / "eeglab_sample.yaml",
                     "--out", tmp_path / "eeglab")
    assert outcome.status == 0
    assert "response 74, stimulus 80" in outcome.text
    few = [data / "adhd_children" / name for name in ("ADHD/v10p.mat", "Control/v107.mat")]
    few = [path if path.exists() else sorted(path.parent.glob("*.mat"))[0] for path in few]
    outcome = ingest(*few, "--config", config / "adhd_children.yaml", "--out", tmp_path / "adhd")
    assert outcome.status == 0, outcome.text
    assert set(outcome.corpus.labels(np.arange(len(outcome.corpus)))) == {"ADHD", "Control"}


def test_plain_folder_with_a_table_of_names(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save)
    rows = [{"pattern": r"p(?P<subject>\d)_raw", "dataset": "ward", "age": 30},
            {"pattern": "p2_", "subject": "two", "label": "odd"}]
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"files": [{k: str(v) for k, v in row.items()}
                                                for row in rows]}))
    corpus = ingest(folder, *quick, "--config", config).corpus
    assert sorted(corpus.recordings["subject"]) == ["0", "1", "two"]
    assert set(corpus.recordings["dataset"]) == {"ward"}
    assert json.loads(corpus.recordings["attributes"][0])["age"] == "30"
    assert set(corpus.labels(corpus.select(subject="two"))) == {"odd"}
    assert set(corpus.labels(corpus.select(subject="0"))) == {None}


def test_plain_folder_with_a_table_of_columns(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save)
    (tmp_path / "who.tsv").write_text(
        "file\tsubject\tsession\tgroup\np0_raw.fif\tann\t1\tpatient\np1_raw.fif\tann\t2\tn/a\n")
    outcome = ingest(folder, *quick, "--table", tmp_path / "who.tsv", "--label.source",
                     "participant", "--label.name", "group")
    table = outcome.corpus.recordings.set_index("source")
    assert table.loc["lab/p1_raw.fif", "subject"] == "ann"
    assert table.loc["lab/p2_raw.fif", "subject"] == "p2_raw"
    assert table.groupby("subject")["split"].nunique().max() == 1
    assert "1 recordings have no subject: the file name is used" in outcome.text
    assert "labels      patient" in outcome.text


def test_few_subjects_held_out_are_told_with_a_remedy(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save, n=12)
    words = ["--files", '[{"pattern": "p(?P<subject>[0-9]+)_", "label": "x"}]']
    outcome = ingest(folder, *quick, *words)
    people = outcome.corpus.recordings.groupby("split")["subject"].nunique()
    assert (f"few subjects are held out ({people['validation']} for validation and "
            f"{people['test']} for test)") in outcome.text
    remedy = outcome.text.partition("of these subjects: ")[2].splitlines()[0]
    again = ingest(folder, *quick, *words, *shlex.split(remedy))
    assert "few subjects" not in again.text
    people = again.corpus.recordings.groupby("split")["subject"].nunique()
    assert people.to_dict() == {"train": 4, "validation": 4, "test": 4}


def test_labels_that_nothing_has_are_told_first(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save)
    text = ingest(folder, *quick, "--label.source", "entity", "--label.name", "task").text
    first = next(line for line in text.splitlines() if line.startswith("note"))
    assert "NO WINDOW HAS A LABEL, although label.source is entity and label.name is task" in first


def test_same_corpus_with_any_number_of_workers_anywhere(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save, n=4)
    one = ingest(folder, *quick, "--workers", "1", "--out", tmp_path / "one")
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "lab")
    two = ingest(moved, *quick, "--workers", "2", "--out", tmp_path / "two")
    assert _fingerprint(one.out) == _fingerprint(two.out)


def test_again_with_nothing_new_does_nothing(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save)
    first = ingest(folder, *quick)
    stamps = {path: path.stat().st_mtime_ns for path in first.out.rglob("*.arrow")}
    manifest = (first.out / "manifest.json").read_bytes()
    again = ingest(folder, *quick)
    assert again.status == 0
    assert "nothing to do" in again.text
    assert "3 unchanged" in again.text
    assert "moved to another split" not in again.text
    assert {path: path.stat().st_mtime_ns for path in again.out.rglob("*.arrow")} == stamps
    assert (again.out / "manifest.json").read_bytes() == manifest
    table = first.corpus.recordings
    name = table["subject"][table["split"] == "train"].iloc[0]
    moved = ingest(folder, *quick, "--splits.test", f'["{name}"]').text
    assert name in moved.partition("moved to another split (")[2].splitlines()[0]


def test_only_new_changed_and_failed_files_are_done_again(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save)
    (folder / "broken_raw.fif").write_text("nothing")
    first = ingest(folder, *quick)
    assert first.status == 3
    shards = {path.name: path.stat().st_mtime_ns for path in first.out.rglob("*.arrow")}
    save(make_raw(seconds=40), folder / "broken_raw.fif")  # mended
    save(make_raw(seconds=20, seed=9), folder / "new_raw.fif")
    save(make_raw(seconds=30, seed=8), folder / "p1_raw.fif")  # changed
    again = ingest(folder, *quick)
    assert again.status == 0
    assert "2 unchanged" in again.text
    assert "1 failed before and are tried again" in again.text
    assert "2 new, changed or unfinished" in again.text
    kept = {path.name: path.stat().st_mtime_ns for path in again.out.rglob("*.arrow")}
    same = [name for name, stamp in shards.items() if kept.get(name) == stamp]
    assert len(same) == 2
    durations = again.corpus.recordings.set_index("source")["duration_s"]
    assert durations["lab/p1_raw.fif"] == 30
    assert len(durations) == 5
    assert again.failures == {}


def test_a_recording_that_broke_leaves_the_corpus(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save)
    assert len(ingest(folder, *quick).corpus.recordings) == 3
    (folder / "p1_raw.fif").write_text("nothing")
    outcome = ingest(folder, *quick)
    assert outcome.status == 3
    assert len(outcome.corpus.recordings) == 2
    assert len(list((outcome.out / "windows").iterdir())) == 2


def test_what_is_excluded_or_gone_is_no_failure_any_more(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save)
    (folder / "broken_raw.fif").write_text("nothing")
    assert ingest(folder, *quick).status == 3
    assert ingest(folder, *quick, "--exclude", '["broken"]').status == 0
    assert ingest(folder, *quick).status == 3
    (folder / "broken_raw.fif").unlink()
    assert ingest(folder, *quick).status == 0
    fewer = ingest(folder, *quick, "--exclude", '["p2"]')
    assert len(fewer.corpus.recordings) == 2


def test_other_splits_need_no_reading(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save)
    ingest(folder, *quick)
    again = ingest(folder, *quick, "--splits.test", '["p2_raw"]')
    assert "3 unchanged" in again.text
    assert again.corpus.recordings.set_index("subject")["split"]["p2_raw"] == "test"


def test_another_contract_needs_another_folder(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save, n=1)
    before = _fingerprint(ingest(folder, *quick).out)
    with pytest.raises(ValueError, match=r"contract\.window_s: 4.0 there, 2.0 now") as caught:
        ingest(folder, *quick, "--contract.window_s", "2")
    assert "choose another --out" in str(caught.value)
    assert _fingerprint(tmp_path / "corpus") == before


def test_same_identity_does_not_collide(tmp_path, make_raw, save, ingest, quick):
    for i, name in enumerate(("a/sub-01_task-x_eeg.vhdr", "b/sub-01_task-x_eeg.vhdr")):
        save(make_raw(seed=i), tmp_path / "lab" / name)
    deep = save(make_raw(seed=5), tmp_path / "other" / "lab" / "a" / "sub-01_task-x_eeg.vhdr")
    outcome = ingest(tmp_path / "lab", deep.parent.parent, *quick)
    assert outcome.status == 0
    corpus = outcome.corpus
    assert set(corpus.recordings["subject"]) == {"01"}
    assert len(corpus.recordings) == len(set(corpus.recordings["recording"])) == 3
    signals = [corpus.signal(corpus.windows.index[corpus.windows["recording"] == i][0])
               for i in range(3)]
    assert not np.array_equal(signals[0], signals[1])
    assert not np.array_equal(signals[0], signals[2])


def test_interrupted_by_a_kill_continues(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save, n=8, n_channels=32)
    whole = _fingerprint(ingest(folder, *quick, "--out", tmp_path / "whole").out)
    out = tmp_path / "corpus"
    running = subprocess.Popen(
        [sys.executable, "-m", "neurofm.cli", "ingest", str(folder), *quick, "--out", str(out),
         "--workers", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    done, limit = out / ".ingest" / "done", time.monotonic() + 60
    while not (done.is_dir() and len(list(done.glob("*.json"))) >= 2):
        assert time.monotonic() < limit
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    finished = len(list(done.glob("*.json")))
    if finished < 8:  # else it was quicker than the kill
        with pytest.raises(artifacts.ArtifactError, match="unfinished"):
            Corpus.open(out)
    outcome = ingest(folder, *quick)
    assert outcome.status == 0
    assert "unchanged" in outcome.text
    assert _fingerprint(out) == whole
    assert not [path for path in (out / "windows").iterdir() if path.name.startswith(".")]


def test_interrupted_by_hand_says_how_to_go_on(
    tmp_path, make_raw, save, ingest, quick, monkeypatch
):
    from neurofm import processes

    def interrupt(*_, **options):
        raise KeyboardInterrupt
        yield

    folder = _folder(tmp_path, make_raw, save)
    with monkeypatch.context() as patch:
        patch.setattr(processes, "run", interrupt)
        outcome = ingest(folder, *quick)
    assert outcome.status == 130
    assert "run the same command again" in outcome.text
    assert ingest(folder, *quick).status == 0


def test_a_shard_that_is_there_in_part_is_made_again(tmp_path, make_raw, save, ingest, quick):
    """After a power cut, or in a copy that broke off, under a record that says finished."""
    folder = _folder(tmp_path, make_raw, save)
    first = ingest(folder, *quick)
    whole = _fingerprint(first.out)
    shard = sorted((first.out / "windows").glob("*.arrow"))[1]
    shard.write_bytes(shard.read_bytes()[:1000])
    again = ingest(folder, *quick)
    assert "2 unchanged" in again.text
    assert _fingerprint(again.out) == whole


def test_left_over_shards_go_before_the_corpus_is_sealed(
    tmp_path, make_raw, save, ingest, quick, monkeypatch
):
    """A kill between sealing and clearing up would leave them for ever."""
    from neurofm.data import corpus

    folder = _folder(tmp_path, make_raw, save)
    out = ingest(folder, *quick).out
    (out / "windows" / ".half.arrow.part").write_text("x")
    seen = []
    original = corpus.seal

    def seal(*words):
        seen.append((out / "windows" / ".half.arrow.part").exists())
        return original(*words)

    monkeypatch.setattr(corpus, "seal", seal)
    ingest(folder, *quick, "--splits.test", '["p2_raw"]')
    assert seen == [False]


def test_records_are_read_under_the_lock(tmp_path, make_raw, save, ingest, quick, monkeypatch):
    """Else a second ingest would see what the first one is just changing."""
    from filelock import FileLock, Timeout

    from neurofm.preprocessing.records import Records

    folder, held = _folder(tmp_path, make_raw, save, n=1), []
    original = Records.open.__func__

    def opened(cls, kind, out, shaping):
        try:
            FileLock(out / ".lock").acquire(timeout=0)
        except Timeout:
            held.append(True)
        return original(cls, kind, out, shaping)

    monkeypatch.setattr(Records, "open", classmethod(opened))
    ingest(folder, *quick)
    assert held == [True]


def test_the_page_says_what_was_done_and_shows_it(tmp_path, make_raw, save, ingest, quick):
    folder = _folder(tmp_path, make_raw, save)
    raw = make_raw(seed=7)
    raw._data[3] = 0
    save(raw, folder / "flat<b>_raw.fif")
    (folder / "broken_raw.fif").write_text("nothing")
    page = (ingest(folder, *quick).out / "quality.html").read_text()
    for said in ("1 recording failed", "broken_raw.fif", "0.1–40 Hz", "50 Hz, 60 Hz", "<svg",
                 "flat: the same value throughout", "flat&lt;b&gt;_raw.fif", "19 eeg"):
        assert said in page, said
    assert page.count("<polyline") == 4
    heads = re.findall(r"<th[^>]*>([^<]+)</th>", page.partition("<h2>Recordings</h2>")[2])
    assert heads[:2] == ["recording", "remarks"]  # a remark is seen without scrolling
    assert "session" not in heads
    assert "Hz" in heads
    assert "nan" not in page.split("<polyline")[1].split("/>")[0]
