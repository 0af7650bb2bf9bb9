"""Calibration curves and the identity probe: nothing used twice, and known answers come out."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from neurofm.data.corpus import Corpus
from neurofm.downstream.benchmarks.decoding import few_shot
from neurofm.downstream.benchmarks.decoding.fitted import Baselines
from neurofm.downstream.decoder.features import OfCorpus
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.protocol import leaks
from neurofm.downstream.scoring import identity


@pytest.fixture(scope="module")
def data(planted):
    return labeled(Corpus.open(planted.corpus))


def networks(data, pretrained, random) -> SimpleNamespace:
    """Features given by functions of (class, subject number, rng) → vector, for all windows."""
    windows = data.all
    rng = np.random.default_rng(0)
    number = {key: k for k, key in enumerate(np.unique(data.corpus.subjects(windows)))}
    of = [number[key] for key in data.corpus.subjects(windows)]

    def source(make):
        values = [make(k, who, rng) for k, who in zip(data.target[windows], of, strict=True)]
        values = torch.tensor(np.array(values), dtype=torch.float32)
        return OfCorpus(data.corpus, windows, data.target, "head").with_(values)

    both = {False: source(pretrained), True: source(random)}
    return SimpleNamespace(features=lambda drawn, fold, seed: both[drawn])


def noise(k, who, rng):
    return rng.standard_normal(6)


def shared(k, who, rng):
    """The class in the first two features, the same in everybody."""
    return rng.standard_normal(6) + 2 * np.array([k, -k, 0, 0, 0, 0])


def own(k, who, rng):
    """The class in the first feature, upside down in every other person."""
    return rng.standard_normal(6) + 4 * (k - 0.5) * np.array([(-1) ** who, 0, 0, 0, 0, 0])


def test_curves_know_what_features_are_worth(data):
    table = few_shot.curves([0, 1, 5], networks(data, shared, noise), None, [data], seeds=3)
    table = table.set_index(["method", "shots"])
    assert table.loc[("pretrained, with others", 0), "mean"] > 0.8
    assert table.loc[("pretrained, alone", 5), "mean"] > 0.75
    assert table.loc[("pretrained, alone", 5), "mean"] > table.loc[("pretrained, alone", 1), "mean"]
    random = table.loc["random weights, alone"]
    assert random["low"].le(0.5).all()
    assert random["high"].ge(0.5).all()
    assert table.loc[("random weights, alone", 5), "gain_low"] > 0
    assert ("pretrained, alone", 0) not in table.index


def test_own_windows_help_where_people_differ(data):
    table = few_shot.curves([0, 5], networks(data, own, noise), None, [data], seeds=2)
    table = table.set_index(["method", "shots"])["mean"]
    assert table[("pretrained, with others", 5)] > table[("pretrained, with others", 0)] + 0.15


def test_evaluation_windows_come_later_and_share_nothing(data):
    test, _, subjects = data.of("test")
    own_windows = test[subjects == subjects[0]]
    closer = data.corpus.windows.assign(start_s=data.corpus.windows["row"] * 1.0)  # half shared
    fold = dataclasses.replace(data, corpus=dataclasses.replace(data.corpus, windows=closer))
    early, late = few_shot.parted(fold, own_windows, 3)
    assert [(fold.target[early] == k).sum() for k in (0, 1)] == [3, 3]
    assert len(late)
    assert not leaks.overlapping(fold.corpus, early, late)
    assert few_shot.parted(fold, own_windows, 99)[1] is None


def test_bad_input_more_shots_than_windows(data):
    with pytest.raises(ValueError, match="ask for fewer shots"):
        few_shot.curves([500], networks(data, shared, noise), None, [data], seeds=1)


def test_identity_probe_tells_people_from_noise(data):
    def face(k, who, rng):
        return rng.standard_normal(6) + 6 * np.random.default_rng(who).standard_normal(6)

    found = identity.probe(networks(data, face, noise), None, data)
    assert found["pretrained"] > 0.8
    assert found["pretrained, re-centered"] < found["pretrained"] - 0.4
    assert abs(found["random weights"] - found["chance"]) < 0.15
    first, second = identity.halves(data, data.windows["train"])
    assert not set(first) & set(second)
    assert not leaks.overlapping(data.corpus, first, second)


def test_without_a_model_probes_are_of_band_power(data):
    simple = Baselines(data, data.all, tuning=1)
    assert set(identity.probe(None, simple, data)) == {"log band power", "chance"}
    table = few_shot.curves([1], None, simple, [data], seeds=1)
    assert set(table["method"]) == {"log band power, alone", "log band power, with others"}
    few = Baselines(data, data.windows["test"], tuning=1)  # of one layout, say
    assert set(identity.probe(None, few, data)) == {"chance"}
