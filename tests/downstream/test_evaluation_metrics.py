"""Metrics against scikit-learn's and scipy's on drawn labels, and where they are undefined."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from downstream import metrics


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
        "balanced_accuracy": reference.balanced_accuracy_score(target, named),
        "auroc": reference.roc_auc_score(target, score, multi_class="ovr"),
        "auprc": reference.average_precision_score(one_hot, score),
        "kappa": reference.cohen_kappa_score(target, named),
        "macro_f1": reference.f1_score(target, named, average="macro"),
        "log_loss": reference.log_loss(target, p),
    }
    for name, value in wanted.items():
        assert metrics.find(name, "classification").compute(target, p) == pytest.approx(value), name


def test_regression_as_scikit_learn():
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(2, 50))
    x = y + x
    assert metrics.pearson(y, x) == pytest.approx(stats.pearsonr(y, x).statistic)
    assert metrics.r_squared(y, x) == pytest.approx(reference.r2_score(y, x))
    assert metrics.mean_absolute_error(y, x) == pytest.approx(reference.mean_absolute_error(y, x))


def test_undefined_is_nan_not_zero():
    target, p = np.zeros(5, dtype=int), np.full((5, 2), 0.5)
    for name in ("balanced_accuracy", "auroc", "auprc", "macro_f1"):
        assert np.isnan(metrics.ALL[name].compute(target, p)), name
    assert np.isnan(metrics.pearson(np.ones(4), np.arange(4.0)))
    assert np.isnan(metrics.r_squared(np.ones(4), np.arange(4.0)))


def test_a_metric_of_the_other_kind_is_refused():
    with pytest.raises(ValueError, match="not one for regression; there are pearson, r2, mae"):
        metrics.find("auroc", "regression")
