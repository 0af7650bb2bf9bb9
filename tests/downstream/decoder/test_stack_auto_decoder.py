"""The stack: linear models that are solved, folds that share nobody, weights that tell what counts.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from transformers import AutoModel

from neurofm.data.corpus import Corpus
from neurofm.downstream.decoder import features, solved
from neurofm.downstream.decoder.inner_folds import inner_folds
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.decoder.shares import best_factor, shares
from neurofm.downstream.decoder.stack import fit_stack, part
from neurofm.downstream.decoder.stacked_build import (
    build_stacked,
    channels_of,
    common_channels,
    measure,
)
from neurofm.models.stacked import Stacked
from neurofm.models.stacked_config import NETWORK, RECENTERED, SIGNALS, StackedConfig
from neurofm.models.stacked_views import view_of
from neurofm.nn import example
from tests.support import planted as simulated

# linear models


def test_auto_decoder_features_by_the_hundred_thousand():
    """Connectivity of 530 regions has 140,000: a matrix of them squared was made, of 146 GiB."""
    x = np.random.default_rng(0).normal(size=(6, 200_000))
    found = solved.solve(x, np.arange(6) % 2, np.ones(6), 2, (1e-3,))
    assert (found.outputs(x)[0].argmax(axis=1) == np.arange(6) % 2).all()


@pytest.mark.parametrize(("n", "d"), [(60, 8), (40, 90)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_auto_decoder_logistic_models_are_those_of_scikit_learn(n, d, n_classes):
    rng = np.random.default_rng(d)
    x, target = rng.normal(size=(n, d)) * rng.uniform(0.1, 9, d) + 3, np.arange(n) % n_classes
    x += target[:, None] * rng.normal(size=d)
    weight = rng.uniform(0.5, 2, n)
    new = rng.normal(size=(20, d)) * x.std(0) + x.mean(0)
    scale = StandardScaler().fit(x)
    ours = solved.solve(x, target, weight, n_classes, (1e-3, 0.1)).outputs(new)
    for c, found in zip((1e-3, 0.1), ours, strict=True):
        theirs = LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit(
            scale.transform(x), target, sample_weight=weight)
        said = torch.from_numpy(found).softmax(dim=1).numpy()
        assert np.abs(said - theirs.predict_proba(scale.transform(new))).max() < 2e-3


@pytest.mark.parametrize(("n", "d"), [(60, 8), (40, 90)])
def test_auto_decoder_ridge_models_are_those_of_scikit_learn(n, d):
    rng = np.random.default_rng(d)
    x, target = rng.normal(size=(n, d)) * rng.uniform(0.1, 9, d), rng.normal(50, 9, n)
    new, scale = rng.normal(size=(20, d)), StandardScaler().fit(x)
    ours = solved.solve(x, target, np.ones(n), 0, (1e-3, 0.1)).outputs(new)
    for c, found in zip((1e-3, 0.1), ours, strict=True):
        theirs = Ridge(alpha=1 / c).fit(scale.transform(x), target)
        assert np.allclose(found[:, 0], theirs.predict(scale.transform(new)), atol=1e-5)


def test_auto_decoder_a_feature_that_never_changes_says_nothing():
    x = np.random.default_rng(0).normal(size=(30, 4))
    x[:, 2] = 7.0
    found = solved.solve(x, np.arange(30) % 2, np.ones(30), 2)
    assert not found.weight[:, :, 2].any()
    assert np.isfinite(found.outputs(x + 100)).all()


# shares of views


def _held_out(rng, target: np.ndarray, strength: float) -> np.ndarray:
    odds = strength * (2.0 * target - 1) + rng.normal(size=len(target))
    return np.stack([-odds / 2, odds / 2], axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_auto_decoder_noise_counts_less_than_what_informs(seed):
    rng, target = np.random.default_rng(seed), np.arange(300) % 2
    outputs = np.stack([_held_out(rng, target, strength) for strength in (0.0, 1.5, 0.0)])
    found = shares(outputs, target, np.ones(300), 2)
    assert (found >= 0).all()
    assert found[1] > 4 * max(found[0], found[2])
    numbers = np.stack([_held_out(rng, target, strength)[:, 1:] for strength in (0.0, 1.5)])
    found = shares(numbers, target.astype(float), np.ones(300), 0)
    assert (found >= 0).all()
    assert found[1] > 4 * found[0]


def test_auto_decoder_few_windows_leave_all_views_alike():
    rng = np.random.default_rng(0)
    spread = []
    for n in (4, 400):
        target = np.arange(n) % 2
        outputs = np.stack([_held_out(rng, target, strength) for strength in (0.2, 1.0)])
        found = shares(outputs, target, np.ones(n), 2)
        spread.append(np.ptp(found) / found.sum())
    assert spread[0] < 0.5 < spread[1]


def test_auto_decoder_a_view_that_is_wrong_loses_no_more_than_chance():
    rng, target = np.random.default_rng(0), np.arange(200) % 2
    loss, factor = best_factor(-_held_out(rng, target, 1.0), target, np.ones(200), 2)
    assert loss == pytest.approx(np.log(2), abs=0.01)
    assert factor == pytest.approx(0.01)
    loss, factor = best_factor(-_held_out(rng, target, 1.0)[:, 1:], target.astype(float),
                               np.ones(200), 0)
    assert (loss, factor) == (1.0, 0.0)


# folds


@pytest.mark.parametrize("n_people", [4, 5, 9, 20])
@pytest.mark.parametrize("one_class", [False, True])
def test_auto_decoder_folds_share_no_person(n_people, one_class):
    rng = np.random.default_rng(n_people)
    subjects = rng.permutation(np.repeat([f"p{k:02d}" for k in range(n_people)], 6))
    number = np.array([int(who[1:]) for who in subjects])
    target = number % 2 if one_class else rng.integers(0, 2, len(subjects))
    fold = inner_folds(subjects, target, np.zeros(len(subjects)), np.arange(len(subjects)))
    assert len(np.unique(fold)) == min(5, n_people)
    for who in np.unique(subjects):
        assert len(np.unique(fold[subjects == who])) == 1
    if one_class and n_people >= 10:
        assert all(len(np.unique(target[fold == k])) == 2 for k in np.unique(fold))


def test_auto_decoder_folds_of_few_people_are_blocks_of_time():
    recording, start = np.repeat([0, 1], 20), np.tile(np.arange(20.0), 2)
    order = np.random.default_rng(0).permutation(40)
    fold = np.empty(40, dtype=int)
    fold[order] = inner_folds(np.repeat(["a", "b"], 20)[order], np.zeros(40), recording[order],
                              start[order])
    for one in (0, 1):
        assert fold[recording == one].tolist() == np.repeat(np.arange(5), 4).tolist()


# the whole


@pytest.fixture(scope="module")
def stacked(planted):
    """(decoder, what was told, its rows, labeled windows) of the planted effect, with a network."""
    from neurofm import checkpoints

    data = labeled(Corpus.open(planted.corpus))
    model = build_stacked(data, _training(data), checkpoints.load(planted.backbone))
    pooled = measure(model, data, data.all)
    return model, _fitted(model, data, pooled), pooled, data


def _training(data) -> np.ndarray:
    return np.sort(np.concatenate([data.windows["train"], data.windows["validation"]]))


def _fitted(model, data, pooled):
    windows = _training(data)
    table = data.corpus.windows.iloc[windows]
    return fit_stack(model, pooled, windows, table["recording"].to_numpy(),
                     table["start_s"].to_numpy(), say=lambda text: None)


def answers(model, pooled, windows) -> np.ndarray:
    """Probabilities, every person about an own center."""
    rows = pooled.rows(windows)
    found = np.empty((len(windows), len(model.classes) or 1))
    for group in pooled.alike(rows):
        values = pooled.values[torch.from_numpy(group)]
        found[np.isin(rows, group)] = model.name(values, features.center(values)).numpy()
    return found


def right(model, pooled, data) -> float:
    windows = data.windows["test"]
    return float((answers(model, pooled, windows).argmax(1) == data.target[windows]).mean())


def alone(model, view: str) -> Stacked:
    """The same decoder with the weight of one view alone."""
    only = Stacked(model.config, model.backbone if model.config.backbone else None).eval()
    only.load_state_dict(model.state_dict())
    only.share.copy_(torch.tensor([float(name == view) for name in model.config.views]))
    return only


def test_auto_decoder_takes_all_views_that_fit_and_learns(stacked):
    model, told, pooled, data = stacked
    plain = ("power", "covariance", "filter_bank", "spatial_patterns", NETWORK)
    assert model.config.views == (*plain, *(name + RECENTERED for name in plain))
    assert model.config.placed
    assert [each.name for each in told] == list(model.config.views)
    assert sum(each.share for each in told) == pytest.approx(1)
    assert min(each.share for each in told) >= 0
    assert right(model, pooled, data) > 0.9


def test_auto_decoder_weights_tell_what_moves_the_answers(stacked):
    """A weight is the size of a view's part in the outputs: one that is shrunk to nothing had the
    weight of its share."""
    model, _, pooled, data = stacked
    windows = data.windows["train"]
    own = part(pooled, pooled.rows(windows))
    sizes = {}
    for name, share, view, linear in zip(model.config.views, model.share.tolist(), model.views,
                                         model.linear, strict=True):
        with torch.no_grad():
            outputs = share * linear(torch.from_numpy(own.features(model, view)))
        outputs = outputs - outputs.mean(dim=1, keepdim=True)
        sizes[name] = float(outputs.square().mean().sqrt())
    whole = sum(sizes.values())
    for name, weight in model.weights.items():  # of held-out outputs, which are smaller
        assert weight == pytest.approx(sizes[name] / whole, abs=0.1), name


def test_auto_decoder_saved_and_opened_answers_the_same_bytes(stacked, tmp_path):
    model, _, _, data = stacked
    model.save_pretrained(tmp_path)
    batch = data.corpus.batch(data.windows["test"][:6], geometry=model.contract.geometry)
    wanted = model.predict(batch)
    assert model.config.calibration_windows == len(_training(data))
    for opened in (Stacked.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert torch.equal(opened.predict(batch), wanted)
        assert opened.weights == model.weights
        assert opened.contract == model.contract
        assert opened.config.to_diff_dict() == model.config.to_diff_dict()


def test_auto_decoder_fitted_again_is_the_same(stacked):
    model, _, pooled, data = stacked
    again = build_stacked(data, _training(data), model.backbone)
    again.backbone.contract = None
    _fitted(again, data, pooled)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_auto_decoder_labels_of_test_people_change_nothing(stacked):
    model, _, pooled, data = stacked
    target = data.target.copy()
    target[data.windows["test"]] = 1 - target[data.windows["test"]]
    other = replace(data, target=target)
    again = build_stacked(other, _training(other), model.backbone)
    _fitted(again, other, features.InMemory(
        pooled.windows, pooled.values, target[pooled.windows], pooled.subjects, pooled.source,
        pooled.devices))
    assert torch.equal(again.share, model.share)
    assert all(torch.equal(a.weight, b.weight)
               for a, b in zip(again.linear, model.linear, strict=True))


def test_auto_decoder_without_its_person_takes_that_of_the_training_people(stacked):
    model, _, pooled, _ = stacked
    values = pooled.values[:3]
    assert torch.equal(model.name(values), model.name(values, model.centre))
    assert not torch.equal(model.name(values), model.name(values, features.center(values)))


def test_auto_decoder_two_kinds_of_information_beat_each_alone(tmp_path):
    """Power tells some windows, a wave of either sign the others; neither tells all."""
    model, pooled, data = _two_kinds()
    told = _fitted(model, data, pooled)
    each = {view: right(alone(model, view), pooled, data) for view in model.config.views}
    both = right(model, pooled, data)
    assert both > max(each.values()) + 0.05, (both, each)
    assert min(one.share for one in told) > 0.2


class _Windows:
    """What `fit_stack` reads of labeled windows."""

    def __init__(self, target, subjects, split):
        self.target = target
        self.windows = {name: np.flatnonzero(split == name)
                        for name in ("train", "validation", "test")}
        self.corpus = self
        import pandas as pd

        self.table = pd.DataFrame({"recording": 0, "start_s": np.arange(len(target))})

    @property
    def iloc(self):
        return self.table.iloc


def _two_kinds():
    n_people, n, m = 24, 24, 5
    rng = np.random.default_rng(0)
    names = tuple(f"E{k}" for k in range(m))
    model = Stacked(StackedConfig(
        views=("power", "evoked_50ms"), channels=names, kinds=(0,) * m, sfreq=100.0, n_times=100,
        bands=((8.0, 13.0),), n_components=m)).eval()
    target = rng.integers(0, 2, n_people * n)
    subjects = np.repeat([f"p{k:02d}" for k in range(n_people)], n)
    values = rng.normal(size=(len(target), sum(model.config.sections.values()))).astype(np.float32)
    sign = (2 * target - 1)[:, None]
    hears = (rng.random(len(target)) < 0.5)[:, None]
    widths = model.config.sections
    slow = sum(widths.values()) - widths["slow"]
    values[:, : widths["power"]] += 1.2 * sign * hears
    values[:, slow:] += 0.7 * sign * ~hears
    split = np.where(np.arange(len(target)) < 16 * n, "train", "test")
    data = _Windows(target, subjects, split)
    data.corpus = type("Corpus", (), {"windows": data.table})()
    pooled = features.InMemory(np.arange(len(target)), torch.from_numpy(values), target, subjects)
    return model, pooled, data


def test_auto_decoder_predicts_planted_numbers(tmp_path):
    folder = simulated.make_corpus(tmp_path / "corpus", number=True, n_windows=8)
    data = labeled(Corpus.open(folder), number=True)
    model = build_stacked(data, _training(data))
    pooled = measure(model, data, data.all)
    told = _fitted(model, data, pooled)
    test = data.windows["test"]
    found = answers(model, pooled, test)[:, 0]
    assert model.classes == ()
    assert np.corrcoef(found, data.target[test])[0, 1] > 0.7
    assert np.abs(found - data.target[test]).mean() < 0.8 * np.abs(
        data.target[test] - data.target[_training(data)].mean()).mean()
    assert all(0 <= each.loss <= 1.0 for each in told)
    assert float(model.intercept) == pytest.approx(data.target[_training(data)].mean(), rel=1e-5)


def test_auto_decoder_views_by_name_alone(planted):
    data = labeled(Corpus.open(planted.corpus))
    model = build_stacked(data, _training(data), views=("power", "filter_bank_recentered"))
    assert model.config.views == ("power", "filter_bank_recentered")
    with pytest.raises(ValueError, match=r"views of signals are power, .* got spectrum"):
        build_stacked(data, _training(data), views=("spectrum",))


def test_auto_decoder_views_have_the_width_that_they_say():
    config = StackedConfig(views=tuple(SIGNALS), channels=("A", "B", "C"), kinds=(0, 0, 0),
                           sfreq=100.0, n_times=80, n_components=3)
    row = torch.randn(5, sum(config.sections.values()))
    model = Stacked(config)
    of = torch.zeros(5, dtype=torch.int64)
    for name in config.views:
        view = view_of(name, config)
        with torch.no_grad():
            assert view(model.rows(row), model.rows(row[:1]), of).shape == (5, view.n_features)


def test_auto_decoder_refuses_magnetometers_beside_electrodes(stacked):
    """They were brought to electrodes by splines, as if they measured potentials."""
    model, _, _, data = stacked
    batch = data.corpus.batch(data.windows["train"][:2])
    assert model.config.placed
    with pytest.raises(ValueError, match=r"electrodes of EEG.*kind mag"):
        model.pool(replace(batch, kind=torch.ones_like(batch.kind)))
    caps = {"cap": example.layout("eeg"), "helmet": example.layout("mag")}
    mixed = SimpleNamespace(
        folder="mixed", layouts=caps, windows=pd.DataFrame({"recording": [0, 0, 1]}),
        recordings=pd.DataFrame({"layout": ["cap", "helmet"]}))
    with pytest.raises(ValueError, match=r"--only.kinds='eeg' or --only.sensors='19 eeg'"):
        channels_of(mixed, np.arange(3))
    assert channels_of(mixed, np.arange(2)) is caps["cap"]
    helmets = [caps["helmet"], replace(caps["helmet"], names=tuple(
        f"B{k}" for k in range(len(caps["helmet"]))))]
    with pytest.raises(ValueError, match=r"no channel in common .*--only.kinds='mag'"):
        common_channels(helmets, helmets)


def test_auto_decoder_of_one_kind_of_sensor(planted):
    corpus = Corpus.open(planted.corpus)
    assert len(labeled(corpus, only={"kinds": "eeg"}).all) == len(labeled(corpus).all)
    with pytest.raises(ValueError, match=r"only.kinds=mag: no recording has it; there are eeg"):
        labeled(corpus, only={"kinds": "mag"})
