"""Protocols and leaks: who is on which side, and that a planted leak does not get through."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from neurofm.data.corpus import Corpus
from neurofm.data.windows import SplitLeakError
from neurofm.downstream.benchmarks.decoding.jobs import Job
from neurofm.downstream.decoder import features
from neurofm.downstream.decoder.features import OfCorpus
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.protocol import leaks
from neurofm.downstream.protocol.windows import Protocol, folds, in_words
from tests.support.planted import make_corpus


@pytest.fixture(scope="module")
def data(planted):
    return labeled(Corpus.open(planted.corpus))


def people(fold, split) -> set[str]:
    return set(fold.of(split)[2])


@pytest.mark.parametrize(("protocol", "n"), [(Protocol("kfold", folds=5), 5),
                                             (Protocol("loso"), 14)])
def test_each_subject_is_tested_once_and_never_trained_on(data, protocol, n):
    found = folds(data, protocol)
    assert len(found) == n
    tested = [one for fold in found for one in people(fold, "test")]
    assert sorted(tested) == sorted(set(data.corpus.subjects(data.all)))
    for fold in found:
        sides = [people(fold, split) for split in ("train", "validation", "test")]
        assert sum(map(len, sides)) == len(set.union(*sides))
        assert len(set.union(*sides)) == 14
        assert sum(map(len, fold.windows.values())) == len(data.all)
    watched = [frozenset(people(fold, "validation")) for fold in found]
    assert len(set(watched)) > 1
    assert in_words(protocol, found)


def test_parts_have_alike_labels_where_a_person_has_one(data):
    """A diagnosis: every part of seven and seven has both groups, whoever is drawn."""
    subject = np.array([int(key[-2:]) for key in data.corpus.subjects(np.arange(len(data.target)))])
    told = dataclasses.replace(data, target=(subject % 2).astype(np.int64))
    for seed in range(5):
        for fold in folds(told, Protocol("kfold", folds=4, seed=seed)):
            for split in ("train", "validation", "test"):
                assert len(set(fold.of(split)[1])) == 2 or len(people(fold, split)) < 2


def test_leave_one_out_of_a_diagnosis_has_one_class_in_its_test(data):
    subject = np.array([int(key[-2:]) for key in data.corpus.subjects(np.arange(len(data.target)))])
    told = dataclasses.replace(data, target=(subject % 2).astype(np.int64))
    found = folds(told, Protocol("loso", validation=0.4))
    assert all(len(set(fold.of("test")[1])) == 1 for fold in found)


def test_a_rare_class_has_somebody_in_validation(data):
    """Four of fourteen people have the other label, as few men among many women."""
    rare = {f"planted/{k:02d}" for k in (2, 5, 9, 11)}
    of = data.corpus.subjects(np.arange(len(data.target)))
    told = dataclasses.replace(data, target=np.isin(of, sorted(rare)).astype(np.int64))
    found = folds(told, Protocol("kfold", folds=4), min_subjects=1)
    for fold in found:
        for split in ("train", "validation"):
            assert people(fold, split) & rare, (fold.fold, split)
            assert people(fold, split) - rare, (fold.fold, split)


def test_published_split_by_ranges(data):
    protocol = Protocol("published", train=["0-8"], validation_subjects=["9", "10"],
                        test=["S11-S13"])
    with pytest.raises(ValueError, match="subject '9'"):
        folds(data, protocol)
    protocol.validation_subjects = ["09", "10"]
    (fold,) = folds(data, protocol)
    assert people(fold, "train") == {f"planted/{k:02d}" for k in range(9)}
    assert people(fold, "test") == {"planted/11", "planted/12", "planted/13"}


def of_sessions(data, names: dict[str, str]):
    """The same data, runs named as sessions."""
    corpus = dataclasses.replace(data.corpus, recordings=data.corpus.recordings.assign(
        session=data.corpus.recordings["run"].map(names)))
    return dataclasses.replace(data, corpus=corpus)


def test_cross_session_tests_the_last_one(tmp_path):
    data = labeled(Corpus.open(make_corpus(tmp_path / "corpus", caps=(16, 12, 9), n_windows=4)))
    named = of_sessions(data, {"0": "ses-9", "1": "ses-10", "2": "ses-2"})
    (fold,) = folds(named, Protocol("sessions"))
    assert len(people(fold, "test") & people(fold, "train")) == 14
    for split, run in (("test", "1"), ("validation", "0"), ("train", "2")):
        rows = fold.recordings(split)
        assert set(fold.corpus.recordings["run"].iloc[rows]) == {run}, split
    with pytest.raises(ValueError, match="wanted three"):
        folds(of_sessions(data, {"0": "1", "1": "1", "2": "2"}), Protocol("sessions"))
    (fold,) = folds(data, Protocol("sessions", column="run"))
    assert fold.fold == "last run"


def test_trials_of_the_only_other_session_choose(tmp_path):
    data = labeled(Corpus.open(make_corpus(tmp_path / "corpus", caps=(16, 12), n_windows=20)))
    protocol = Protocol("sessions", column="run", trials=True)
    (fold,) = folds(data, protocol, trial="event")
    for split, runs in (("test", {"1"}), ("validation", {"0"}), ("train", {"0"})):
        assert set(fold.corpus.recordings["run"].iloc[fold.recordings(split)]) == runs, split
    _, target, subjects = fold.of("validation")
    assert len(target) == 14 * 4  # of ten trials of each of two classes, two
    assert all((target[subjects == one] == k).sum() == 2 for one in set(subjects) for k in (0, 1))
    assert len(fold.all) == len(data.all)
    assert "every 5th trial of a class" in in_words(protocol, [fold], "event")
    with pytest.raises(ValueError, match="neighbors"):
        folds(data, protocol, trial="recording")
    with pytest.raises(ValueError, match=r"protocol\.trials=true"):
        folds(data, Protocol("sessions", column="run"), trial="event")
    # Trials that overlap: those beside one that chooses do not train.
    table = data.corpus.windows
    dense = dataclasses.replace(data, corpus=dataclasses.replace(
        data.corpus, windows=table.assign(start_s=table["start_s"] / 2)))
    (fold,) = folds(dense, protocol, trial="event")
    assert leaks.overlapping(fold.corpus, fold.windows["train"], fold.windows["validation"]) == []
    assert 0 < len(fold.windows["train"]) < len(data.all) / 2 - 14 * 4


def test_every_session_is_tested_once_where_they_take_turns(tmp_path):
    data = labeled(Corpus.open(make_corpus(tmp_path / "corpus", caps=(16, 12, 9), n_windows=4)))
    protocol = Protocol("sessions", column="run", rotate=True)
    found = folds(data, protocol)
    assert [fold.fold for fold in found] == ["run 0", "run 1", "run 2"]
    for fold, runs in zip(found, (("0", "2", "1"), ("1", "0", "2"), ("2", "1", "0")), strict=True):
        for split, run in zip(("test", "validation", "train"), runs, strict=True):
            rows = fold.recordings(split)
            assert set(fold.corpus.recordings["run"].iloc[rows]) == {run}, (fold.fold, split)
    judged = np.sort(np.concatenate([fold.windows["test"] for fold in found]))
    assert np.array_equal(judged, data.all)
    assert "earlier and later" in in_words(protocol, found)


def test_who_has_fewer_sessions_trains_when_theirs_are_over(tmp_path):
    folder = make_corpus(tmp_path / "corpus", caps=(16, 12, 9, 7), n_windows=4)
    data = labeled(Corpus.open(folder))
    table = data.corpus.recordings
    short = (table["subject"] == "03") & (table["run"] == "3")
    gone = short.to_numpy()[data.corpus.windows["recording"].to_numpy()]
    target = np.where(gone, -1, data.target)
    windows = {split: own[target[own] >= 0] for split, own in data.windows.items()}
    fewer = dataclasses.replace(data, target=target, windows=windows)
    found = folds(fewer, Protocol("sessions", column="run", rotate=True))
    assert len(found) == 4
    assert "planted/03" not in people(found[3], "test") | people(found[3], "validation")
    assert "planted/03" in people(found[3], "train")
    assert "planted/03" in people(found[0], "validation")  # by its own last run, 2


def test_recordings_without_the_attribute_are_named(data):
    table = data.corpus.recordings
    for kind, missing in (("across", None), ("sessions", "n/a")):
        site = table["run"].where(table["subject"] != "04", missing)
        corpus = dataclasses.replace(data.corpus, recordings=table.assign(session=site))
        with pytest.raises(ValueError, match=r"1 of 14 recordings have no session.*sub-04_run-0"):
            folds(dataclasses.replace(data, corpus=corpus), Protocol(kind, column="session"))


def test_a_label_that_is_the_same_all_through_a_person_is_not_asked_of_the_same_person(data):
    subject = np.array([int(key[-2:]) for key in data.corpus.subjects(np.arange(len(data.target)))])
    told = dataclasses.replace(data, target=(subject % 2).astype(np.int64))
    for protocol in (Protocol("within"), Protocol("sessions", column="run")):
        with pytest.raises(ValueError, match="how well people are recognized"):
            folds(told, protocol)


def test_cross_device_leaves_a_device_and_its_people_out(data):
    table = data.corpus.recordings
    site = np.where(table["subject"].astype(int) < 5, "a", "b")
    both = table["subject"] == "05"
    site = np.where(both & (table["run"] == "0"), "a", site)
    corpus = dataclasses.replace(data.corpus, recordings=table.assign(session=site))
    found = folds(dataclasses.replace(data, corpus=corpus), Protocol("across", column="session"))
    assert [fold.fold for fold in found] == ["a", "b"]
    for fold in found:
        rows = fold.recordings("test")
        assert set(corpus.recordings["session"].iloc[rows]) == {fold.fold}
        assert not people(fold, "test") & (people(fold, "train") | people(fold, "validation"))
    with pytest.raises(ValueError, match="no such column"):
        folds(data, Protocol("across", column="amplifier"))
    with pytest.raises(ValueError, match="wanted two values"):
        folds(data, Protocol("across", column="task"))


def test_planted_leak_same_subject_on_both_sides(data):
    stolen = data.windows["test"][:5]
    leaky = dataclasses.replace(
        data, windows={**data.windows, "train": np.sort(np.r_[data.windows["train"], stolen]),
                       "test": data.windows["test"][5:]})
    with pytest.raises(SplitLeakError, match="1 subject"):
        leaks.refuse(leaky)
    leaks.refuse(data)


def test_planted_leak_windows_of_one_trial_on_both_sides(data):
    """Neighboring windows of one recording, dealt to both sides of a person's own split."""
    own = np.flatnonzero(data.corpus.windows["recording"] == 0)
    leaky = dataclasses.replace(
        data, windows={"train": own[::2], "validation": own[:0], "test": own[1::2]})
    with pytest.raises(SplitLeakError, match="windows of one trial"):
        leaks.refuse(leaky, same_people=True)


def test_planted_leak_one_file_under_two_names(data):
    table = data.corpus.recordings.copy()
    test_row = data.recordings("test")[0]
    table.loc[table.index[test_row], "sha256"] = table["sha256"].iloc[data.recordings("train")[0]]
    corpus = dataclasses.replace(data.corpus, recordings=table)
    with pytest.raises(SplitLeakError, match="byte for byte"):
        leaks.refuse(dataclasses.replace(data, corpus=corpus))


def test_overlapping_finds_each_pair_once(data):
    windows = np.arange(6)
    corpus = dataclasses.replace(data.corpus, windows=data.corpus.windows.assign(
        start_s=data.corpus.windows["row"] * 1.5))  # windows of 2 s
    assert leaks.overlapping(corpus, windows[:3], windows[3:]) == [(2, 3)]
    assert leaks.overlapping(data.corpus, windows[:3], windows[3:]) == []
    assert isinstance(corpus.windows, pd.DataFrame)


def test_bad_input_protocol():
    for fields, message in [({"folds": 1}, "at least 2"), ({"validation": 1.0}, r"in \(0, 1\)"),
                            ({"kind": "published"}, "names nobody"),
                            ({"kind": "across"}, "no column"),
                            ({"kind": "within", "folds": 2}, "three blocks"),
                            ({"kind": "within", "gap_s": -1.0}, "gap_s must be at least 0"),
                            ({"kind": "kfold", "gap_s": 2.0}, "is of protocol.kind=within"),
                            ({"kind": "kfold", "rotate": True}, "is of protocol.kind=sessions"),
                            ({"kind": "kfold", "trials": True}, "is of protocol.kind=sessions"),
                            ({"kind": "sessions", "trials": True, "rotate": True}, "last session")]:
        with pytest.raises(ValueError, match=message):
            Protocol(**fields)


def test_bad_input_more_folds_than_people(data):
    with pytest.raises(ValueError, match="as many folds as subjects"):
        folds(data, Protocol("kfold", folds=15))


def test_recentering_of_training_windows_sees_no_test_window(data):
    """People on both sides, as between sessions: their test windows must not move the others."""
    windows = data.all
    parts = [windows[::2], windows[1::2]]
    values = torch.randn(len(windows), 3, generator=torch.Generator().manual_seed(0))
    moved = values.clone()
    moved[1::2] += 9
    before, after = (features.recentered(
        OfCorpus(data.corpus, windows, data.target, "head").with_(part), parts)
        for part in (values, moved))
    assert torch.equal(before.take(parts[0]), after.take(parts[0]))
    assert torch.allclose(before.take(parts[1]), after.take(parts[1]), atol=1e-5)
    subjects = data.corpus.subjects(parts[0])
    own = before.take(parts[0])[torch.from_numpy(subjects == subjects[0])]
    assert torch.allclose(own.mean(dim=0), torch.zeros(3), atol=1e-6)


def test_folds_of_like_names_have_files_of_their_own(data):
    names = ["site A", "site-A", "a/b-c", "a-b/c"]
    files = {Job(k, dataclasses.replace(data, fold=name), "frozen@other", 0).file
             for k, name in enumerate(names)}
    assert len(files) == len(names)
    assert not any("/" in name or " " in name for name in files)
