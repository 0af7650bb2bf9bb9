"""Metrics against scikit-learn's and scipy's on drawn labels, and where they are undefined."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from neurofm.downstream.scoring import metrics


def drawn(n_classes: int, seed: int = 0, n: int = 300):
    rng = np.random.default_rng(seed)
    target = rng.integers(n_classes, size=n)
    logits = rng.normal(size=(n, n_classes)).round(1)  # rounded: ties
    logits[np.arange(n), target] += 0.7
    probability = np.exp(logits)
    return target, probability / probability.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_classification_as_scikit_learn(n_classes):
    target, p = drawn(n_classes)
    named = p.argmax(axis=1)
    score = p[:, 1] if n_classes == 2 else p
    one_hot = target if n_classes == 2 else np.eye(n_classes)[target]
    wanted = {
        "auroc": reference.roc_auc_score(target, score, multi_class="ovr"),
        "auprc": reference.average_precision_score(one_hot, score),
        "kappa": reference.cohen_kappa_score(target, named),
        "macro_f1": reference.f1_score(target, named, average="macro"),
        "log_loss": reference.log_loss(target, p),
        "brier": np.square(p - np.eye(n_classes)[target]).sum(axis=1).mean(),
    }
    if n_classes == 2:  # scikit-learn counts one of the two classes
        assert wanted["brier"] == pytest.approx(2 * reference.brier_score_loss(target, p[:, 1]))
    for name, value in wanted.items():
        assert metrics.score(name, target, p) == pytest.approx(value), name


def test_regression_as_scikit_learn():
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(2, 50))
    y, x = 1e3 + y, 1e3 + y + x  # far from 0: precision
    assert metrics.score("pearson", y, x) == pytest.approx(stats.pearsonr(y, x).statistic)
    assert metrics.score("r2", y, x) == pytest.approx(reference.r2_score(y, x))
    assert metrics.score("mae", y, x) == pytest.approx(reference.mean_absolute_error(y, x))


def test_tables_of_subjects_add_up_to_the_metric_of_all():
    target, p = drawn(3)
    who = np.random.default_rng(1).integers(6, size=len(target))
    for name, metric in metrics.CLASSIFICATION.items():
        table = metric.count(target, p, who, 6)
        assert metric.compute(table.sum(axis=0)) == pytest.approx(metrics.score(name, target, p))
        assert metric.compute(table).shape == (6,)
        own = who == 2  # the table of one subject is theirs alone
        if not metric.rough:
            assert metric.compute(table[2]) == pytest.approx(
                metrics.score(name, target[own], p[own]))


def test_ranks_taken_together_change_areas_little():
    target, p = drawn(2, n=20_000)
    p = p + np.random.default_rng(0).normal(0, 1e-4, p.shape)  # no ties
    nobody = np.zeros(len(target), int)
    exact, few = (count(target, p, nobody, 1)[0]
                  for count in (metrics.by_rank, metrics.by_few_ranks))
    assert few.shape[-1] == 256 < exact.shape[-1]
    assert few.sum() == exact.sum()
    for name in ("auroc", "auprc"):
        compute = metrics.CLASSIFICATION[name].compute
        assert compute(few) == pytest.approx(compute(exact), abs=0.004)


def test_calibration_error_of_probabilities_that_mean_what_they_say():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 40_000)
    right = rng.random(len(p)) < p
    target = np.where(right, 0, 1)
    honest = metrics.score("calibration_error", target, np.stack([p, 1 - p], axis=1))
    assert honest < 0.015
    sure = np.tile([0.99, 0.01], (len(p), 1))
    assert metrics.score("calibration_error", target, sure) == pytest.approx(0.24, abs=0.01)


def test_undefined_is_nan_not_zero():
    target, p = np.zeros(5, dtype=int), np.full((5, 2), 0.5)
    for name in ("auroc", "auprc", "macro_f1", "kappa"):
        assert np.isnan(metrics.score(name, target, p)), name
    assert np.isnan(metrics.score("pearson", np.ones(4), np.arange(4.0)))
    assert np.isnan(metrics.score("r2", np.ones(4), np.arange(4.0)))
    assert np.isnan(metrics.score("pearson", np.arange(4.0), np.full(4, 57.1)))


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="unknown metric 'auc'; there are auroc, auprc"):
        metrics.score("auc", np.zeros(2, int), np.ones((2, 2)))
