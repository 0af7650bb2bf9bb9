"""One person, or one recording: blocks of time, what is left out at borders, what is refused."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from neurofm.data.corpus import Corpus
from neurofm.data.windows import SplitLeakError
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.protocol import blocks, leaks
from neurofm.downstream.protocol.windows import Protocol, folds, in_words
from tests.support.planted import WINDOW_S, make_corpus

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """One person, two recordings of 40 windows of 2 s laid end to end."""
    folder = tmp_path_factory.mktemp("one") / "corpus"
    return labeled(Corpus.open(make_corpus(folder, split=["train"], caps=(16, 12), n_windows=40)))


def moved(data, **columns):
    """The same windows at other times, or of other recordings."""
    corpus = dataclasses.replace(data.corpus, windows=data.corpus.windows.assign(**columns))
    return dataclasses.replace(data, corpus=corpus)


def times(fold, split, recording=0) -> np.ndarray:
    table = fold.corpus.windows.iloc[fold.windows[split]]
    return table.loc[table["recording"] == recording, "start_s"].to_numpy()


def test_every_window_is_tested_once_in_stretches_of_time(one):
    found = folds(one, Protocol("within", folds=4), trial="event")
    assert [fold.fold for fold in found] == ["block 1", "block 2", "block 3", "block 4"]
    judged = np.concatenate([fold.windows["test"] for fold in found])
    assert np.array_equal(np.sort(judged), one.all)
    for k, fold in enumerate(found):
        for recording in (0, 1):
            for split in ("test", "validation"):  # nothing of another side between
                own = times(fold, split, recording)
                assert np.ptp(own) == pytest.approx(WINDOW_S * (len(own) - 1))
            assert 5 <= len(times(fold, "test", recording)) <= 15
        following = found[(k + 1) % 4]
        assert np.array_equal(fold.windows["validation"], following.windows["test"])
        assert all(len(set(fold.of(split)[1])) == 2 for split in SPLITS)
        # Trials end to end share nothing: all of them are used.
        assert sum(map(len, fold.windows.values())) == len(one.all)


def test_windows_beside_a_border_are_left_out_of_training_not_of_the_test(one):
    """By default one window's length is left between the sides, of windows laid end to end."""
    for fold in folds(one, Protocol("within", folds=4)):
        for here, there in (("train", "test"), ("train", "validation"), ("validation", "test")):
            for recording in (0, 1):
                apart = np.abs(times(fold, here, recording)[:, None]
                               - times(fold, there, recording))
                assert apart.min() >= 2 * WINDOW_S
    wide = folds(one, Protocol("within", folds=4, gap_s=5.0))
    assert len(np.concatenate([fold.windows["test"] for fold in wide])) == len(one.all)
    for fold in wide:
        assert np.abs(times(fold, "train")[:, None] - times(fold, "test")).min() >= WINDOW_S + 5


def test_windows_that_share_samples_with_the_test_are_left_out(one):
    """Half-overlapping windows, as of events that follow each other fast."""
    close = moved(one, start_s=one.corpus.windows["row"] * WINDOW_S / 2)
    found = folds(close, Protocol("within", folds=4, gap_s=0.0))
    for fold in found:
        for here, there in (("train", "test"), ("train", "validation"), ("validation", "test")):
            assert not leaks.overlapping(fold.corpus, fold.windows[here], fold.windows[there])
        assert sum(map(len, fold.windows.values())) < len(one.all)


def test_planted_leak_shared_samples(one):
    close = moved(one, start_s=one.corpus.windows["row"] * WINDOW_S / 2)
    own = np.flatnonzero(close.corpus.windows["recording"] == 0)
    leaky = dataclasses.replace(
        close, windows={"train": own[:20], "validation": own[30:], "test": own[20:30]})
    with pytest.raises(SplitLeakError, match=r"1 pair\(s\) of windows, such as .* share samples"):
        leaks.refuse(leaky, same_people=True, same_recordings=True)
    with pytest.raises(SplitLeakError, match="windows of one trial"):
        leaks.refuse(leaky, same_people=True)


def test_one_model_of_several_people(tmp_path):
    data = labeled(Corpus.open(make_corpus(tmp_path / "corpus", split=["train"] * 3)))
    protocol = Protocol("within", folds=4)
    found = folds(data, protocol)
    for fold in found:
        for split in SPLITS:
            assert len(set(fold.of(split)[2])) == 3
    assert "one model for 3 subjects" in in_words(protocol, found)


def test_blocks_have_each_class_more_often_than_an_even_cut():
    """A rare class, 15 of 100 windows at random: borders move a little."""
    rng, lacking = np.random.default_rng(0), np.zeros(2)
    for _ in range(300):
        target = (rng.random(100) < 0.15).astype(int)
        block = blocks.cut(target, 5)
        assert (np.diff(block) >= 0).all()
        even = np.arange(100) // 20
        lacking += [sum(not target[each == k].any() for k in range(5)) for each in (block, even)]
        assert np.bincount(block, minlength=5).min() >= 5
    assert lacking[1] > 40
    assert lacking[0] < lacking[1] / 2
    assert np.array_equal(blocks.cut(np.arange(100) % 2, 5), even)


def test_a_long_run_of_one_label_stays_whole_if_there_are_enough():
    """Eyes open and closed every 7 windows, over and over: a run is one trial."""
    target = np.arange(24 * 7) // 7 % 2
    block = blocks.cut(target, 4, long_runs=True)
    assert not (np.diff(block).astype(bool) & ~np.diff(target).astype(bool)).any()
    assert np.bincount(block).tolist() == [42, 42, 42, 42]
    two = np.repeat([0, 1], 20)  # two runs cannot be in four blocks
    assert np.bincount(blocks.cut(two, 4, long_runs=True)).tolist() == [10, 10, 10, 10]


def test_numbers_are_cut_by_time(tmp_path):
    folder = make_corpus(tmp_path / "corpus", split=["train"], number=True, n_windows=40)
    data = labeled(Corpus.open(folder), number=True)
    found = folds(data, Protocol("within"), trial="event")
    assert [len(fold.windows["test"]) for fold in found] == [8] * 5


def test_recordings_of_one_label_each_are_cut_like_the_others(one):
    """Eyes open is one recording, eyes closed the other."""
    rows = one.corpus.windows["recording"].to_numpy()
    eyes = dataclasses.replace(one, target=rows.astype(np.int64))
    for fold in folds(eyes, Protocol("within")):
        assert np.bincount(fold.of("test")[1]).tolist() == [8, 8]


def test_bad_input_blocks_that_lack_a_class(one):
    """Open for the first half of the only recording, closed for the second."""
    rows, row = (one.corpus.windows[name].to_numpy() for name in ("recording", "row"))
    target = np.where(rows == 0, row // 20, -1)
    own = np.flatnonzero(rows == 0)
    half = dataclasses.replace(one, target=target, windows={
        "train": own, "validation": own[:0], "test": own[:0]})
    with pytest.raises(ValueError, match="no validation window labeled 'right': blocks of time"):
        folds(half, Protocol("within"))
    with pytest.raises(ValueError, match="no validation window"):
        folds(one, Protocol("within", gap_s=60.0))
    assert isinstance(half.corpus.windows, pd.DataFrame)
