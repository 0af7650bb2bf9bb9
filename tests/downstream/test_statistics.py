"""Intervals, differences and chance on data whose truth is known."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from downstream import statistics


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


def test_interval_covers_the_truth_as_often_as_it_says():
    rng, covered = np.random.default_rng(1), []
    for repeat in range(200):
        target, predicted, subjects = simulated(rng, 15, 0.65, 0.08)
        recall, _ = statistics.recalls(target, predicted, subjects, 2)
        estimate = statistics.interval(recall[None], draws=400, seed=repeat)
        covered.append(estimate.low <= 0.65 <= estimate.high)
    assert 0.87 <= np.mean(covered) <= 0.99


def test_seeds_widen_the_interval():
    rng = np.random.default_rng(2)
    recall = np.full((5, 6, 2), 0.7) + rng.normal(0, 0.05, (5, 1, 1))
    estimate = statistics.interval(recall)
    assert estimate.high - estimate.low > 0.03


def test_difference_finds_a_paired_effect_and_no_other():
    rng = np.random.default_rng(3)
    base = rng.uniform(0.5, 0.9, (1, 12, 2))
    better, p = statistics.difference(np.repeat(base + 0.03, 3, axis=0), base)
    assert better.low > 0.02
    assert p < 0.01
    _, p = statistics.difference(base, np.roll(base, 1, axis=1))
    assert p > 0.05


def test_chance_is_half_and_p_is_uniform_without_effect():
    rng, p_values = np.random.default_rng(4), []
    for repeat in range(60):
        target, predicted, subjects = simulated(rng, 4, 0.5, 0.0, 20)
        by_chance, p = statistics.chance(target, predicted[None], subjects, subjects, 2, 99, repeat)
        assert by_chance.mean == pytest.approx(0.5, abs=0.03)
        p_values.append(p)
    assert np.mean(np.array(p_values) < 0.05) < 0.15
    assert 0.35 < np.mean(p_values) < 0.65


def test_chance_exchanges_whole_recordings_where_each_has_one_label():
    """Four people, a rest and a task recording each: 16 ways, so p cannot fall below 1/16."""
    target = np.tile(np.repeat([0, 1], 50), 4)
    subjects = np.repeat(list("abcd"), 100)
    recordings = np.array([f"{s}{t}" for s, t in zip(subjects, target, strict=True)])
    _, p = statistics.chance(target, target[None], subjects, recordings, 2, draws=800)
    assert 0.03 < p < 0.1
    _, p = statistics.chance(target, target[None], subjects, subjects, 2, draws=200)
    assert p == pytest.approx(1 / 201)


def test_chance_exchanges_subjects_where_each_has_one_label():
    target = np.repeat([0, 0, 1, 1], 30)
    subjects = np.repeat(list("abcd"), 30)
    _, p = statistics.chance(target, target[None], subjects, subjects, 2, draws=600)
    assert p == pytest.approx(1 / 6, abs=0.06)


def test_holm_corrects_by_rank():
    assert np.allclose(statistics.holm(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])
