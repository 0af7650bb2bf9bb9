"""Intervals, differences and chance on data whose truth is known."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from neurofm.downstream.scoring import statistics
from neurofm.downstream.scoring.exchanges import exchanges


def simulated(rng, n_subjects: int, skill: float, spread: float, n_windows: int = 40):
    """(target, predicted, subjects): each subject is right with a probability of their own."""
    target = np.tile(np.arange(n_windows) % 2, n_subjects)
    subjects = np.repeat([f"s{i:02d}" for i in range(n_subjects)], n_windows)
    own = np.clip(rng.normal(skill, spread, n_subjects), 0, 1)
    right = rng.random(len(target)) < np.repeat(own, n_windows)
    return target, np.where(right, target, 1 - target), subjects


def test_is_the_mean_over_subjects_of_sklearns():
    rng = np.random.default_rng(0)
    target, predicted, subjects = simulated(rng, 5, 0.7, 0.1)
    keep = rng.random(len(target)) < np.where(target == 1, 0.4, 1.0)  # classes of unequal size
    target, predicted, subjects = target[keep], predicted[keep], subjects[keep]
    recall, names = statistics.recalls(target, predicted, subjects, 2)
    each = [balanced_accuracy_score(target[subjects == n], predicted[subjects == n]) for n in names]
    assert np.allclose(statistics.of_subjects(recall), each)
    assert statistics.balanced_accuracy(recall) == pytest.approx(np.mean(each))


def test_subjects_of_one_class_weigh_classes_alike():
    target = np.repeat([0, 0, 0, 1], 10)  # three healthy, one ill
    recall, _ = statistics.recalls(target, np.zeros(40, int), np.repeat(list("abcd"), 10), 2)
    assert statistics.balanced_accuracy(recall) == 0.5
    assert np.isfinite(statistics.interval(recall[None]).low)  # also of draws without the ill one


@pytest.mark.parametrize("n_subjects", [6, 15, 40])
def test_interval_covers_the_truth_as_often_as_it_says(n_subjects):
    rng, covered = np.random.default_rng(1), []
    for repeat in range(200):
        target, predicted, subjects = simulated(rng, n_subjects, 0.65, 0.08)
        recall, _ = statistics.recalls(target, predicted, subjects, 2)
        estimate = statistics.interval(recall[None], draws=1000, seed=repeat)
        covered.append(estimate.low <= 0.65 <= estimate.high)
    assert 0.90 <= np.mean(covered) <= 0.99


def test_seeds_widen_the_interval():
    rng = np.random.default_rng(2)
    recall = np.full((5, 6, 2), 0.7) + rng.normal(0, 0.05, (5, 1, 1))
    estimate = statistics.interval(recall)
    assert estimate.high - estimate.low > 0.03


def test_one_subject_has_no_interval_and_one_seed_is_enough():
    alone = statistics.interval(np.full((3, 1, 2), 0.7))
    assert alone.mean == pytest.approx(0.7)
    assert np.isnan(alone.low)
    assert np.isnan(alone.high)
    once = statistics.interval(np.random.default_rng(0).uniform(0.4, 0.9, (1, 8, 2)))
    assert once.low < once.mean < once.high


def test_difference_finds_a_paired_effect_and_no_other():
    rng = np.random.default_rng(3)
    base = rng.uniform(0.5, 0.9, (1, 12, 2))
    better, p = statistics.difference(np.repeat(base + 0.03, 3, axis=0), base)
    assert better.low > 0.02
    assert p < 0.01
    assert statistics.wilcoxon(base + 0.03 + rng.normal(0, 1e-4, base.shape), base) < 0.01
    _, p = statistics.difference(base, np.roll(base, 1, axis=1))
    assert p > 0.05


def test_differences_of_methods_that_are_alike_are_rarely_found():
    """Type I error of both tests, people of very different difficulty, five seeds against one."""
    rng, found = np.random.default_rng(4), []
    for repeat in range(300):
        people = rng.uniform(0.5, 0.9, (1, 10, 1))
        one = people + rng.normal(0, 0.05, (5, 10, 2))
        other = people + rng.normal(0, 0.05, (1, 10, 2))
        _, p = statistics.difference(one, other, draws=20, seed=repeat)
        found.append([p < 0.05, statistics.wilcoxon(one, other) < 0.05])
    assert np.mean(found, axis=0).max() < 0.09
    assert np.mean(found, axis=0).min() > 0.01  # and not by never finding anything


def test_equal_methods_have_p_one():
    base = np.random.default_rng(0).uniform(0.4, 0.9, (2, 5, 3))
    estimate, p = statistics.difference(base, base)
    assert (estimate.mean, p, statistics.wilcoxon(base, base)) == (0, 1, 1)


def test_difference_of_a_diagnosis_is_tested_as_it_is_estimated():
    """Ten healthy, two ill: the ill weigh five times as much in balanced accuracy, so the
    exchange of the methods in them does too; with two of them nothing can be found."""
    one, other = (np.full((1, 12, 2), np.nan) for _ in range(2))
    one[0, :10, 0], other[0, :10, 0] = 0.5, 0.5
    one[0, 10:, 1], other[0, 10:, 1] = 1.0, 0.0
    estimate, p = statistics.difference(one, other)
    assert estimate.mean == pytest.approx(0.5)
    assert p == pytest.approx(0.5)  # 2 of 4 ways to exchange reach it


def test_chance_is_half_and_p_is_uniform_without_effect():
    rng, p_values = np.random.default_rng(4), []
    for repeat in range(60):
        target, predicted, subjects = simulated(rng, 4, 0.5, 0.0, 20)
        by_chance, p = statistics.chance(target, predicted[None], subjects, subjects, 2, 99, repeat)
        assert by_chance.mean == pytest.approx(0.5, abs=0.03)
        p_values.append(p)
    assert np.mean(np.array(p_values) < 0.05) < 0.15
    assert 0.35 < np.mean(p_values) < 0.65


def test_chance_of_four_classes_of_unequal_size_is_a_quarter():
    rng = np.random.default_rng(0)
    target = rng.choice(4, p=[0.7, 0.1, 0.1, 0.1], size=800)
    subjects = np.repeat(np.arange(8), 100)
    always = np.zeros(800, int)  # right in 70 % of the windows
    by_chance, p = statistics.chance(target, always[None], subjects, subjects, 4)
    assert by_chance.mean == pytest.approx(0.25)
    assert p == 1
    informed = np.where(rng.random(800) < 0.3, target, rng.choice(4, size=800))
    _, p = statistics.chance(target, informed[None], subjects, subjects, 4)
    assert p < 0.01


def test_few_exchanges_are_all_gone_through():
    """Four people, a rest and a task recording each: 16 ways, so p is 1/16 and no less."""
    target = np.tile(np.repeat([0, 1], 50), 4)
    subjects = np.repeat(list("abcd"), 100)
    recordings = np.array([f"{s}{t}" for s, t in zip(subjects, target, strict=True)])
    by_chance, p = statistics.chance(target, target[None], subjects, recordings, 2)
    assert (by_chance.unit, by_chance.count, by_chance.exact) == (
        "recordings of a subject", 16, True)
    assert p == 1 / 16
    assert by_chance.mean == pytest.approx(0.5)  # of 0, .25, .5, .75, 1 as a coin's four tosses


def test_subjects_are_exchanged_where_each_has_one_label():
    target = np.repeat([0, 0, 1, 1], 30)
    subjects = np.repeat(list("abcd"), 30)
    by_chance, p = statistics.chance(target, target[None], subjects, subjects, 2)
    assert (by_chance.unit, by_chance.count, p) == ("subjects", 6, 1 / 6)


def test_labels_in_long_runs_are_exchanged_as_blocks():
    """Eyes open, then closed, in one recording: 100 windows a person, but 2 blocks."""
    target = np.tile(np.repeat([0, 1], 50), 4)
    subjects = np.repeat(list("abcd"), 100)
    by_chance, p = statistics.chance(target, target[None], subjects, subjects, 2)
    assert (by_chance.unit, by_chance.count, p) == ("blocks of windows of a recording", 16, 1 / 16)
    # A slow drift that has nothing to do with labels must not look like skill.
    rng, p_values = np.random.default_rng(0), []
    for _ in range(200):
        onset = rng.integers(5, 15, size=6)  # blocks of six people, in either order
        labels = np.stack([(np.arange(120) // 20 + k) % 2 for k in onset])
        drift = np.cumsum(rng.normal(size=(6, 120)), axis=1)
        said = (drift > np.median(drift, axis=1, keepdims=True)).astype(int)
        who = np.repeat(np.arange(6), 120)
        p_values.append(statistics.chance(labels.ravel(), said.reshape(1, -1), who, who, 2,
                                          draws=99)[1])
    assert np.mean(np.array(p_values) <= 0.05) < 0.1


def test_every_labeling_is_counted_once():
    codes = np.array([0, 0, 1, 2, 2, 1, 0])
    one = np.zeros(7, int)
    ways = exchanges(codes, np.arange(7), np.arange(7))
    found = {tuple(row) for row in ways.labelings(10, 0).tolist()}
    assert found == set(itertools.permutations(codes.tolist()))
    assert len(found) == ways.count == math.factorial(7) // (6 * 2 * 2)
    events = exchanges(np.array([0, 1, 0, 1, 0, 1]), one[:6], one[:6])
    assert (events.unit, events.count) == ("windows of a recording", 20)
    assert len(events.labelings(1, 0)) == 20


def test_labels_of_windows_change_places_within_a_fold_only():
    """One recording cut in three blocks of time, labels in any order."""
    codes = np.array([0, 1, 1, 0, 1, 0, 1, 1, 0])
    one, fold = np.zeros(9, int), np.repeat([0, 1, 2], 3)
    ways = exchanges(codes, one, one, fold)
    assert (ways.unit, ways.count) == ("windows of a recording within a fold", 27)
    found = ways.labelings(5, 0)
    assert len({tuple(row) for row in found.tolist()}) == 27
    for k in range(3):
        assert (found[:, fold == k].sum(axis=1) == codes[fold == k].sum()).all()


def test_recordings_of_one_label_that_are_cut_in_blocks_cannot_be_exchanged():
    """Eyes open and closed, a recording each, every block of both tested once. A method that knows
    recordings apart, by an electrode that came loose, is always right; no p may call that skill."""
    target = np.repeat([0, 1], 15)
    who, fold = np.zeros(30, int), np.tile(np.repeat(np.arange(5), 3), 2)
    found, p = statistics.chances(target, _shares(target), who, target, folds=fold, units=fold)[0]
    assert (found.count, found.unit) == (0, "recordings of a subject")
    assert found.mean == 0.5
    assert np.isnan([p, found.low, found.high]).all()
    # Whole recordings tested in turn were not trained on: three of each can be exchanged.
    recording = np.repeat(np.arange(6), 5)
    found, p = statistics.chances(np.repeat([0, 1] * 3, 5), _shares(np.repeat([0, 1] * 3, 5)), who,
                                  recording, folds=recording, units=recording)[0]
    assert (found.count, p) == (20, 1 / 20)


def test_runs_of_labels_are_exchanged_unless_a_fold_ends_in_one():
    codes, one = np.tile(np.repeat([0, 1], 5), 6), np.zeros(60, int)
    whole = exchanges(codes, one, one, np.repeat(np.arange(3), 20))
    assert (whole.unit, whole.count) == ("blocks of windows of a recording", 6**3)
    # The run from window 15 to 20 is in two folds and keeps its label, the others change places.
    cut = exchanges(codes, one, one, np.repeat(np.arange(3), [18, 22, 20]))
    assert cut.count == 3 * 6 * 6
    found = cut.labelings(5, 0)
    assert len({tuple(row) for row in found.tolist()}) == cut.count
    assert (found[:, 15:20] == codes[15:20]).all()
    assert (found.sum(axis=1) == codes.sum()).all()
    assert exchanges(codes[:10], one[:10], one[:10], np.arange(10) // 3).count == 0


def test_chance_within_blocks_of_time_is_found_as_often_as_it_says():
    """One person, five blocks, methods that know nothing but lean to one side in each block."""
    rng, p_values = np.random.default_rng(0), []
    fold, one = np.repeat(np.arange(5), 12), np.zeros(60, int)
    for repeat in range(150):
        target = rng.integers(2, size=60)
        said = (rng.random(60) < np.repeat(rng.uniform(0.1, 0.9, 5), 12)).astype(int)
        p_values.append(statistics.chances(target, _shares(said), one, one, 199, repeat,
                                           units=fold, folds=fold)[0][1])
    assert np.mean(np.array(p_values) <= 0.05) < 0.1
    assert 0.4 < np.mean(p_values) < 0.6
    right = np.where(rng.random(60) < 0.8, target, 1 - target)
    assert statistics.chances(target, _shares(right), one, one, units=fold,
                              folds=fold)[0][1] < 0.01


def test_numbers_that_are_the_same_all_through_a_recording_in_blocks_have_no_chance():
    numbers, fold = np.repeat([20.0, 50.0], 10), np.tile(np.arange(5), 4)
    (found, p), = statistics.chances_of_numbers(
        numbers, [numbers[None]], np.zeros(20, int), numbers, folds=fold, units=fold)
    assert found.count == 0
    assert np.isnan([found.mean, p]).all()


def _shares(said: np.ndarray) -> np.ndarray:
    """[window, class, method] of one method with one seed."""
    return np.stack([said == 0, said == 1], axis=1)[..., None].astype(float)


def test_many_windows_of_one_label_are_no_burden():
    codes = np.zeros(5000, int)
    codes[7] = 1
    ways = exchanges(codes, np.zeros(5000, int), np.zeros(5000, int))
    assert ways.count == 5000
    assert ways.labelings(3, 0).sum(axis=1).tolist() == [1, 1, 1]


def test_exchanged_numbers_of_subjects():
    age = np.repeat([20.0, 30.0, 40.0, 70.0], 5)
    subjects = np.repeat(np.arange(4), 5)
    found = statistics.chances_of_numbers(
        age, [age[None], np.full((2, 20), 40.0)], subjects, subjects)
    chance, p = found[0]
    assert (chance.count, p) == (24, 1 / 24)
    pairs = np.abs(np.subtract.outer(age[::5], age[::5]))
    assert chance.mean == pytest.approx(pairs.mean())
    assert found[1][1] == 1  # a constant is as good whatever the labels


def test_exchanged_numbers_within_recordings():
    rng = np.random.default_rng(0)
    numbers, who = rng.normal(size=300), np.repeat(np.arange(5), 60)
    near, far = numbers + rng.normal(0, 0.5, (3, 300)), rng.normal(size=(1, 300))
    (chance, p), (_, other) = statistics.chances_of_numbers(numbers, [near, far], who, who, 200)
    assert chance.unit == "windows of a recording"
    assert p == pytest.approx(1 / 201)
    assert other > 0.01


def test_holm_corrects_by_rank():
    assert np.allclose(statistics.holm(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])
    assert np.allclose(statistics.holm(np.array([0.5, 0.01, 0.4, 0.02])), [0.8, 0.04, 0.8, 0.06])
    assert len(statistics.holm(np.array([]))) == 0


def test_ranks_are_demsars():
    scores = np.array([[0.9, 0.8, 0.7, 0.9], [0.8, 0.8, 0.6, 0.7], [0.1, 0.2, 0.3, 0.2]])
    found = statistics.ranks(scores)
    assert np.allclose(found.mean, [1.125, 1.875, 3])  # a tie shares ranks 1 and 2
    assert found.p == pytest.approx(stats.friedmanchisquare(*scores).pvalue)
    assert statistics.ranks(np.ones((3, 5))).p == 1
    assert np.isnan(statistics.ranks(scores[:2]).p)


def test_bars_join_only_what_is_not_told_apart_pair_by_pair():
    p = np.ones((4, 4))
    p[0, 3] = p[3, 0] = 0.01
    assert statistics.alike(np.arange(4), p) == [(0, 2), (1, 3)]
    p[0, 2] = p[2, 0] = p[1, 3] = p[3, 1] = 0.01
    assert statistics.alike(np.arange(4), p) == [(0, 1), (1, 2), (2, 3)]
    assert statistics.alike(np.arange(4), np.zeros((4, 4))) == []
    assert statistics.alike(np.array([3, 0, 1, 2]), np.ones((4, 4))) == [(0, 3)]
