"""Baselines on simulated people: right where there is an effect, at chance where there is none."""

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import nn

from neurofm.downstream import baselines
from neurofm.downstream.baselines import (
    eegnet,
    linear,
    network,
    recentering,
    shallow_convnet,
    spectra,
    tangent,
)

SFREQ = 256.0
OF_EEG = [name for name in baselines.NAMES if not baselines.find(name).SEES.endswith("scans")]
CLASSIFIERS = [name for name in OF_EEG if not baselines.find(name).REGRESSION]
RHYTHMIC = [name for name in CLASSIFIERS if name != "means_lda"]  # read rhythms of any phase
REGRESSORS = [name for name in OF_EEG if baselines.find(name).REGRESSION]
NETWORKS = ["eegnet", "shallow_convnet"]


class People:
    """Windows of people: eight channels, 1/f sources, and a 10 Hz rhythm that one class weakens.

    gain: how much people differ, the same over both classes: in the gain of each channel and in the
    strength of the rhythm (standard deviation of the logarithm). slope: of the 1/f spectrum, of
    each person.
    """

    def __init__(self, seed: int, n_people: int = 16, n_windows: int = 16, effect: float = 0.7,
                 gain: float = 0.0, n_channels: int = 8, n_times: int = 320, slope=None):
        rng = np.random.default_rng(seed)
        mixing = np.random.default_rng(99).standard_normal((n_channels, 6))  # heads are alike
        pattern = np.random.default_rng(98).standard_normal(n_channels)
        n = n_people * n_windows
        self.target = np.tile(np.arange(n_windows) % 2, n_people)
        self.subjects = np.repeat([f"p{seed}-{i:02d}" for i in range(n_people)], n_windows)
        frequency = np.maximum(np.fft.rfftfreq(n_times, 1 / SFREQ), 1.0)
        self.slope = np.repeat(np.ones(n_people) if slope is None else slope, n_windows)
        shape = frequency ** -self.slope[:, None, None]
        spectrum = rng.standard_normal((n, 6, len(frequency), 2)) @ [1, 1j] * shape
        signal = np.einsum("cs,wst->wct", mixing, np.fft.irfft(spectrum, n_times))
        phase = 2 * np.pi * (10 * np.arange(n_times) / SFREQ + rng.random((n, 1)))
        strength = np.repeat(np.exp(gain * rng.standard_normal(n_people)), n_windows)
        strength = strength * (1 - effect * self.target) * signal.std()
        signal += pattern[None, :, None] * (strength[:, None] * np.sin(phase))[:, None]
        signal += 0.1 * signal.std() * rng.standard_normal(signal.shape)
        gains = np.exp(gain * rng.standard_normal((n_people, n_channels)))
        signal = signal * np.repeat(gains, n_windows, axis=0)[:, :, None]
        self.signals = (signal / signal.std(axis=(1, 2), keepdims=True)).astype(np.float32)
        self.covariances = np.stack([spectra.covariances(w, SFREQ) for w in self.signals])

    def seen_by(self, baseline) -> np.ndarray:
        return getattr(self, baseline.SEES)


def fitted(name: str, train: People, validation: People, target=None, setting: int = 0):
    cls = baselines.find(name)
    baseline = cls(0, **cls.SETTINGS[setting])
    target = (train.slope if cls.REGRESSION else train.target) if target is None else target
    wanted = validation.slope if cls.REGRESSION else validation.target
    baseline.fit(train.seen_by(cls), target, train.subjects,
                 (validation.seen_by(cls), wanted, validation.subjects))
    return baseline


def accuracy(baseline, people: People) -> float:
    found = baseline.predict(people.seen_by(baseline), people.subjects)
    assert found.shape == (len(people.target), 2)
    assert np.allclose(found.sum(axis=1), 1)
    return float((found.argmax(axis=1) == people.target).mean())


@pytest.fixture(scope="module")
def alike():
    return People(1), People(2, 4), People(3)


@pytest.fixture(scope="module")
def different():
    return People(4, gain=1.0), People(5, 4, gain=1.0), People(6, gain=1.0)


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """Enough for an effect as plain as the simulated one."""
    monkeypatch.setattr(network, "STEPS", 60)


@pytest.mark.parametrize("name", [*RHYTHMIC, *(f"{name}_recentered" for name in RHYTHMIC)])
def test_names_what_is_shared_between_people(name, alike):
    train, validation, test = alike
    assert accuracy(fitted(name, train, validation), test) > 0.8


@pytest.mark.parametrize("name", RHYTHMIC)
def test_recentering_helps_where_people_differ(name, different):
    train, validation, test = different
    setting = 2  # the higher learning rate, for so short a training
    plain = accuracy(fitted(name, train, validation, setting=setting), test)
    moved = accuracy(fitted(f"{name}_recentered", train, validation, setting=setting), test)
    assert moved > plain + 0.1


@pytest.mark.parametrize("name", [*CLASSIFIERS, "tangent_lr_recentered"])
def test_is_at_chance_where_labels_are_shuffled(name, alike):
    """Within people, so that re-centering could not help either."""
    train, validation, _ = alike
    rng, test = np.random.default_rng(7), People(8, 20)
    test.target = rng.permutation(test.target)
    half_width = 3.3 * np.sqrt(0.25 / len(test.target))  # 99.9 % of a fair coin
    named = accuracy(fitted(name, train, validation, rng.permutation(train.target)), test)
    assert abs(named - 0.5) < half_width


def evoked(seed: int, n_people: int = 8) -> People:
    """The same people and noise, with a wave 0.3 s after an event that one class turns round: the
    power of both is the same."""
    people = People(seed, n_people, effect=0.0)
    time = np.arange(people.signals.shape[2]) / SFREQ
    wave = np.exp(-np.square((time - 0.3) / 0.06)) * np.linspace(-1, 1, 8)[:, None]
    people.signals += (0.7 * wave * (1 - 2 * people.target[:, None, None])).astype(np.float32)
    people.covariances = np.stack([spectra.covariances(w, SFREQ) for w in people.signals])
    return people


def test_waves_locked_to_an_event_are_in_means_and_not_in_covariances():
    train, validation, test = evoked(20), evoked(21, 3), evoked(22)
    assert accuracy(fitted("means_lda", train, validation), test) > 0.9
    assert accuracy(fitted("means_lda_recentered", train, validation), test) > 0.9
    assert accuracy(fitted("tangent_lr", train, validation), test) < 0.65


def test_means_of_a_step_are_its_levels():
    cls = baselines.find("means_lda")
    signal = np.repeat(np.arange(5.0, dtype=np.float32), 32)[None, None].repeat(2, 1)
    one, long = (cls(0, stretch_s=each, sfreq=128.0) for each in (0.25, 9.0))
    found = one.features(signal, np.array(["a"]), training=False)
    assert np.array_equal(found, np.tile(np.arange(5.0), 2)[None])
    assert long.features(signal, np.array(["a"]), training=False).shape == (1, 2)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("n_features", [12, 300])
def test_wide_discriminant_analysis_is_that_of_sklearn(n_classes, n_features):
    rng = np.random.default_rng(n_classes)
    target = np.arange(30) % n_classes
    x = rng.standard_normal((30, n_features)) * np.exp(rng.standard_normal(n_features))
    x += 0.5 * target[:, None]
    x[:, 3] = 1.5  # of a flat channel
    found = linear.BalancedLDA().fit(x[:20], target[:20])
    wanted = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage="auto", priors=np.full(n_classes, 1 / n_classes)
    ).fit(x[:20], target[:20])
    assert np.allclose(found.coef_, wanted.coef_, atol=1e-9 * np.abs(wanted.coef_).max())
    assert np.allclose(found.predict_proba(x[20:]), wanted.predict_proba(x[20:]))
    assert np.array_equal(found.predict(x[20:]), wanted.predict(x[20:]))


def test_discriminant_analysis_of_thousands_of_features_takes_no_minute():
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((24, 6000)), np.arange(24) % 2
    before = time.process_time()
    linear.BalancedLDA().fit(x, target)
    assert time.process_time() - before < 10  # a matrix of 6000 × 6000 takes minutes


@pytest.mark.parametrize("name", REGRESSORS)
def test_predicts_age_from_the_slope_of_the_spectrum(name):
    rng = np.random.default_rng(11)
    train, test = (People(seed, 24, 8, gain=0.2, slope=rng.uniform(0.6, 1.4, 24))
                   for seed in (12, 13))
    age = lambda people: 20 + 50 * (1.4 - people.slope)  # noqa: E731
    baseline = fitted(name, train, test, age(train))
    found = baseline.predict(test.covariances, test.subjects)
    assert found.shape == (len(test.slope), 1)
    assert np.corrcoef(found[:, 0], age(test))[0, 1] > 0.8
    assert np.abs(found[:, 0] - age(test)).mean() < 8  # years, so it is no other scale
    # What is the same for all windows of a person is what re-centering takes away.
    moved = fitted(f"{name}_recentered", train, test, age(train))
    moved = moved.predict(test.covariances, test.subjects)[:, 0]
    assert abs(np.corrcoef(moved, age(test))[0, 1]) < 0.5


def test_tangent_space_does_not_see_a_mixing_common_to_all_windows(alike):
    """Distances between windows stay what they are; so does what is made of them."""
    rng, matrices = np.random.default_rng(3), alike[0].covariances.sum(axis=1)
    mixing = rng.standard_normal((8, 8))
    assert np.linalg.cond(mixing) > 5

    def products(matrices):
        vectors = tangent.tangent_space(matrices, recentering.mean(matrices))
        return vectors @ vectors.T

    before, after = products(matrices), products(mixing @ matrices @ mixing.T)
    assert np.allclose(before, after, rtol=1e-3, atol=1e-3 * before.std())
    # Log power, in contrast, is that of the channels.
    power = [np.log(np.diagonal(m, axis1=1, axis2=2))
             for m in (matrices, mixing @ matrices @ mixing.T)]
    assert not np.allclose(*(p @ p.T for p in power), rtol=0.1)


def test_recentered_subjects_have_the_same_mean(different):
    people = different[0]
    own = people.subjects == people.subjects[0]
    moved = recentering.covariances(people.covariances.sum(axis=1), people.subjects)
    assert np.allclose(recentering.mean(moved[own]), np.eye(8), atol=1e-3)
    moved = recentering.signals(people.signals, people.subjects)
    mean = np.einsum("wct,wdt->cd", moved[own], moved[own]) / (own.sum() * moved.shape[2])
    assert np.allclose(mean, np.eye(8), atol=1e-3)
    # Nobody else's windows enter.
    assert np.array_equal(moved[own], recentering.signals(people.signals[own],
                                                         people.subjects[own]))
    moved = recentering.log_power(people.covariances.reshape(len(own), -1), people.subjects)
    assert np.allclose(moved[own].mean(axis=0), 0, atol=1e-6)


def test_euclidean_alignment_takes_a_persons_mixing_away(alike):
    """Two people who differ by a symmetric mixing, such as gains, become the same signals; and
    directions without power are not blown up."""
    first = alike[0].signals[:16]
    subjects = np.array(["a"] * 16)
    louder = first * np.exp(np.linspace(-1, 1, 8, dtype=np.float32))[:, None]
    energy = [np.square(recentering.signals(x, subjects)).sum(axis=(1, 2)) for x in (first, louder)]
    assert np.allclose(*energy, rtol=1e-3)
    referenced = first - first.mean(axis=1, keepdims=True)
    moved = recentering.signals(referenced, subjects)
    assert np.square(moved).mean(axis=(0, 2)).max() < 1.01
    assert np.abs(moved.mean(axis=1)).max() < 0.01
    assert np.isfinite(recentering.signals(np.zeros_like(first), subjects)).all()


def test_eegnet_is_the_papers():
    """Table 2 written out, with the batch norm between time and space that ours does without."""
    torch.manual_seed(0)
    ours = eegnet.EEGNet(64, 128, 2, dropout=0.0)
    n_ours = sum(p.numel() for p in ours.parameters())
    assert n_ours + 2 * eegnet.F1 == 2258  # EEGNet-8,2, 64 channels, 1 s at 128 Hz, two classes
    with torch.no_grad():
        signal = 5 * torch.randn(16, 64, 128)
        ours(signal)  # brings norms within bounds
    layers = nn.Sequential(
        nn.ZeroPad2d((31, 32, 0, 0)), nn.Conv2d(1, 8, (1, 64), bias=False), nn.BatchNorm2d(8),
        nn.Conv2d(8, 16, (64, 1), groups=8, bias=False), nn.BatchNorm2d(16), nn.ELU(),
        nn.AvgPool2d((1, 4)), nn.ZeroPad2d((7, 8, 0, 0)),
        nn.Conv2d(16, 16, (1, 16), groups=16, bias=False), nn.Conv2d(16, 16, 1, bias=False),
        nn.BatchNorm2d(16), nn.ELU(), nn.AvgPool2d((1, 8)), nn.Flatten(), nn.Linear(64, 2),
    )
    assert sum(p.numel() for p in layers.parameters()) == 2258
    with torch.no_grad():
        for place, layer in {1: ours.temporal, 3: ours.spatial, 8: ours.in_time, 9: ours.across,
                             14: ours.dense}.items():
            layers[place].weight.copy_(layer.weight.reshape(layers[place].weight.shape))
        layers[14].bias.copy_(ours.dense.bias)
    target = torch.arange(16) % 2
    here, there = ours(signal), layers(signal[:, None])
    assert torch.allclose(here, there, atol=1e-4)
    F.cross_entropy(here, target).backward()
    F.cross_entropy(there, target).backward()
    for place, layer in {1: ours.temporal, 3: ours.spatial}.items():
        wanted = layers[place].weight.grad.reshape(layer.weight.shape)
        assert torch.allclose(layer.weight.grad, wanted, atol=1e-3 * wanted.abs().max().item())
    assert layers[2].weight.grad.abs().max() < 1e-4  # the norm that is left out learns nothing
    spatial = ours.spatial.weight.detach()
    ours.spatial.weight.data *= 100
    ours.dense.weight.data *= 100
    ours(signal)
    assert ours.spatial.weight.flatten(1).norm(dim=1).max() <= 1.0001
    assert ours.dense.weight.norm(dim=1).max() <= 0.2501
    assert spatial.flatten(1).norm(dim=1).max() <= 1.0001


def test_shallow_convnet_is_the_papers():
    """Sizes as in the EEGNet paper, and the two convolutions in one are the two."""
    torch.manual_seed(0)
    ours = shallow_convnet.ShallowConvNet(64, 128, 2).eval()
    # 40 · 13 + 40, 40 · 40 · 64, 80 of the norm, 2 · 40 · 12 means + 2
    assert sum(p.numel() for p in ours.parameters()) == 104_002
    with torch.no_grad():
        ours.temporal.bias.normal_()
        signal = torch.randn(4, 64, 128)
        x = ours.spatial(ours.temporal(signal[:, None]))[:, :, 0]
        x = torch.log(F.avg_pool1d(ours.norm(x) ** 2, 35, 7))
        assert torch.allclose(ours(signal), ours.dense(x.flatten(1)), atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_reproducible_and_leave_the_random_numbers_alone(name, alike, monkeypatch):
    monkeypatch.setattr(network, "STEPS", 10)
    train, validation, test = alike
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = fitted(name, train, validation).predict(test.signals, test.subjects)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again = fitted(name, train, validation).predict(test.signals, test.subjects)
    assert np.array_equal(first, again)
    cls = baselines.find(name)
    other = cls(1, **cls.SETTINGS[0])
    other.fit(train.signals, train.target, train.subjects,
              (validation.signals, validation.target, validation.subjects))
    assert not np.allclose(first, other.predict(test.signals, test.subjects), atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_window_is_named_by_itself(name, alike, monkeypatch):
    monkeypatch.setattr(network, "STEPS", 10)
    train, validation, test = alike
    baseline = fitted(name, train, validation)
    together = baseline.predict(test.signals, test.subjects)
    alone = baseline.predict(test.signals[3:4], test.subjects[3:4])
    assert np.allclose(together[3], alone[0], atol=1e-5)
    mixed = baseline.predict(np.concatenate([test.signals[3:6], 100 * test.signals[:40]]),
                             test.subjects[:43])
    assert np.allclose(together[3:6], mixed[:3], atol=1e-5)


@pytest.mark.parametrize(("name", "lr"), [("eegnet", 4e-3), ("shallow_convnet", 1e-3)])
def test_validation_people_choose_the_step(name, lr, alike):
    """With their labels exchanged, what fits them least of all is a network that has learned."""
    train, validation, test = alike
    found = {}
    for exchanged in (False, True):
        watched = validation.target ^ exchanged
        baseline = baselines.find(name)(0, lr=lr, dropout=0.25)
        baseline.fit(train.signals, train.target, train.subjects,
                     (validation.signals, watched, validation.subjects))
        probability = baseline.predict(test.signals, test.subjects)
        found[exchanged] = probability[np.arange(len(test.target)), test.target].mean()
    assert found[False] > found[True] + 0.1


@pytest.mark.parametrize("name", [*CLASSIFIERS, *REGRESSORS, "eegnet_recentered"])
def test_three_channels_and_an_odd_number_of_samples(name, monkeypatch):
    monkeypatch.setattr(network, "STEPS", 10)
    few = [People(seed, 4, n_channels=3, n_times=301) for seed in (21, 22)]
    baseline = fitted(name, *few)
    found = baseline.predict(few[1].seen_by(baseline), few[1].subjects)
    assert np.isfinite(found).all()


def test_networks_hear_the_same_at_any_sampling_rate():
    time = np.arange(1024) / SFREQ
    tones = np.stack([np.sin(2 * np.pi * 10 * time), np.sin(2 * np.pi * 100 * time)])[None]
    setting = baselines.find("eegnet").SETTINGS[0]
    subjects = np.array(["a"])
    for sfreq, signal in {256.0: tones, 512.0: np.repeat(tones, 2, axis=2)}.items():
        if sfreq == 512.0:
            time = np.arange(2048) / sfreq
            signal = np.stack([np.sin(2 * np.pi * f * time) for f in (10, 100)])[None]
        heard = baselines.find("eegnet")(0, **setting, sfreq=sfreq)._prepared(signal, subjects)
        assert heard.shape == (1, 2, 512)
        assert heard.dtype == np.float32
        middle = heard[0, :, 50:-50]
        assert np.allclose(middle[0], np.sin(2 * np.pi * 10 * np.arange(512) / 128)[50:-50],
                           atol=0.01)
        assert np.abs(middle[1]).max() < 0.01  # above half of 128 Hz: gone, not folded back


def test_index():
    moved = {f"{name}_recentered" for name in baselines.NAMES
             if not name.startswith(("fc_", "roi_"))}
    assert set(baselines.INDEX) == {*baselines.NAMES, *moved}
    for name in baselines.INDEX:
        cls = baselines.find(name)
        assert len(cls.SETTINGS) == len({str(setting) for setting in cls.SETTINGS}) == 6
        assert cls.recentered == name.endswith("_recentered")
        assert cls is baselines.find(name)
        for setting in cls.SETTINGS:
            cls(0, **setting)
    with pytest.raises(ValueError, match="unknown baseline 'lda'; there are band_power_lr"):
        baselines.find("lda")


@pytest.mark.parametrize("name", [*CLASSIFIERS, *REGRESSORS])
def test_says_what_is_wrong_with_windows(name, alike, monkeypatch):
    monkeypatch.setattr(network, "STEPS", 1)
    train, validation, test = alike
    baseline = fitted(name, train, validation)
    x = test.seen_by(baseline)
    spoilt = x.copy()
    spoilt[5] = np.nan
    for windows, subjects, message in [
        (spoilt, test.subjects, "1 of 256 windows hold NaN or Inf, the first is window 5"),
        (x, test.subjects[1:], "a subject for each of 256 windows, got 255"),
        (x[..., :7], test.subjects, r"fitted to windows of \("),
        (x[0], test.subjects, "of one or more windows, got"),
        (x[:0], test.subjects[:0], "of one or more windows, got"),
    ]:
        with pytest.raises(ValueError, match=message):
            baseline.predict(windows, subjects)


def test_says_what_is_wrong_with_targets(alike):
    train, validation, _ = alike
    watched = (validation.signals, validation.target, validation.subjects)

    def fit(name, target, validation=None):
        cls = baselines.find(name)
        cls(0, **cls.SETTINGS[0]).fit(train.seen_by(cls), target, train.subjects, validation)

    for name, target, message in [
        ("tangent_lr", 2 * train.target, r"every class from 0 on, two or more; found \[0, 2\]"),
        ("csp_lda", 0 * train.target, r"two or more; found \[0\]"),
        ("band_power_lr", train.target / 2, "numbers are predicted by baselines for regression"),
        ("tangent_ridge", np.full(256, np.nan), "256 of 256 training windows have no number"),
        ("band_power_ridge", train.target[1:], "one target for each of 256 windows"),
        ("eegnet", train.target, "needs windows of validation subjects"),
    ]:
        with pytest.raises(ValueError, match=message):
            fit(name, target)
    with pytest.raises(ValueError, match=r"classes that no training window has: \[2\]"):
        fit("eegnet", train.target, (watched[0], watched[1] + 1, watched[2]))
    short = train.signals[..., :50], train.target, train.subjects
    for name, least in (("eegnet", 32), ("shallow_convnet", 47)):
        cls = baselines.find(name)
        with pytest.raises(ValueError, match=f"at least {least} samples at 128 Hz, got 25"):
            cls(0, **cls.SETTINGS[0]).fit(*short, validation=short)


@pytest.mark.parametrize("name", [*CLASSIFIERS, *(f"{name}_recentered" for name in CLASSIFIERS)])
def test_a_dead_window_and_a_flat_channel_stop_nobody(name, alike, monkeypatch):
    monkeypatch.setattr(network, "STEPS", 5)
    train, cls = alike[0], baselines.find(name)
    x = train.seen_by(cls).copy()
    x[7] = 0
    if cls.SEES == "signals":
        x[:, 3] = 0
    else:
        x[:, :, 3] = x[:, :, :, 3] = 0
    baseline = cls(0, **cls.SETTINGS[0])
    baseline.fit(x, train.target, train.subjects, (x, train.target, train.subjects))
    found = baseline.predict(x, train.subjects)
    assert np.isfinite(found).all()
    if cls.SEES == "covariances":
        assert (found.argmax(axis=1) == train.target).mean() > 0.8


def test_recordings_too_slow_for_the_bands(alike):
    """Such as fMRI, where no band has power."""
    train = alike[0]
    slow = np.stack([spectra.covariances(w, 0.5) for w in train.signals])
    for name in ("band_power_lr", "csp_lda", "tangent_lr"):
        cls = baselines.find(name)
        with pytest.raises(ValueError, match="no window has power in"):
            cls(0, **cls.SETTINGS[0]).fit(slow, train.target, train.subjects)
