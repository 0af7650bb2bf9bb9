"""The automatic decoder on epochs: answers of `neurofm finetune`, scikit-learn's conventions."""

import json
from pathlib import Path

import joblib
import mne
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

import neurofm
from neurofm import checkpoints, cli
from neurofm.data import corpus
from neurofm.data.recording import Events, Recording
from neurofm.downstream.estimators import epochs as epochs_module
from neurofm.downstream.estimators.automatic import NeuroFMAutoClassifier, NeuroFMAutoRegressor
from neurofm.downstream.estimators.moabb_adapter import band_of, pipelines
from tests.downstream.estimators.test_estimators import INFO, as_epochs, people
from tests.support.planted import CONTRACT, cap

QUICK = ("power", "power_recentered", "filter_bank_recentered")


@pytest.fixture(scope="module")
def known():
    """Five people to learn from."""
    return people(5, n_epochs=8, seed=1)


@pytest.fixture(scope="module")
def strangers():
    """Two people never seen."""
    return people(2, n_epochs=8, seed=2)


@pytest.fixture(scope="module")
def fitted(known):
    x, y, groups = known
    return NeuroFMAutoClassifier(info=INFO, views=QUICK, contract=CONTRACT).fit(x, y, groups)


def corpus_of(folder: Path, x, y, groups, split) -> Path:
    """The corpus that these epochs would be; a recording a person."""
    contract = epochs_module.contract_for(epochs_module.of_array(x, INFO), CONTRACT)
    made = epochs_module.standardized(epochs_module.of_array(x, INFO), contract)
    layout, recordings, rows = made.sensors[0], [], []
    for number, (person, part) in enumerate(zip(np.unique(groups), split, strict=True)):
        own = np.flatnonzero(groups == person)
        digest = corpus.write_shard(folder, person, np.stack([made.signals[k] for k in own]))
        rows += [(number, row, row * contract.window_s, y[k]) for row, k in enumerate(own)]
        recordings.append({
            "recording": person, "dataset": "planted", "subject": person, "session": None,
            "task": "imagery", "run": None, "split": part, "layout": layout.fingerprint,
            "n_channels": len(layout), "n_windows": len(own), "duration_s": 2.0 * len(own),
            "sfreq_original": contract.sfreq, "bads": "", "quality": "{}", "attributes": "{}",
            "source": person, "sha256": digest})
    table = pd.DataFrame(rows, columns=["recording", "row", "start_s", "label"])
    corpus.seal(folder, contract, pd.DataFrame(recordings), table, {layout.fingerprint: layout},
                pd.DataFrame(columns=["source", "reason"]), {})
    return folder


@pytest.mark.parametrize("network", [False, True])
def test_answers_are_those_of_finetune(known, strangers, planted, tmp_path, network):
    x, y, groups = (np.concatenate(pair) for pair in zip(known, (
        strangers[0], strangers[1], np.char.replace(strangers[2], "p", "q")), strict=True))
    folder = corpus_of(tmp_path / "corpus", x, y, groups, ["train"] * 4 + ["validation"] +
                       ["test"] * 2)
    views = (*QUICK[:2], "network") if network else QUICK
    model = str(planted.backbone) if network else None
    assert cli.main(["finetune", f"--data={folder}", f"--out={tmp_path / 'out'}",
                     f"--views={json.dumps(views)}", "--robustness=false",
                     *([f"--model={model}"] if network else [])]) == 0
    expected = pd.read_parquet(tmp_path / "out" / "test" / "predictions.parquet")
    ours = NeuroFMAutoClassifier(model, INFO, views=views,
                                 contract=None if network else CONTRACT)
    ours.fit(known[0], known[1], known[2])
    found = ours.predict_proba(strangers[0], strangers[2])
    assert np.allclose(found, expected[["p_left", "p_right"]], atol=1e-6)
    assert ours.decoder_.weights == pytest.approx(
        checkpoints.load(tmp_path / "out").weights, abs=1e-7)
    assert (expected["predicted"] == expected["label"]).mean() > 0.8


def test_saved_and_opened(fitted, strangers, tmp_path):
    x, _, groups = strangers
    expected = fitted.predict_proba(x, groups)
    joblib.dump(fitted, tmp_path / "fitted.joblib")
    assert np.array_equal(joblib.load(tmp_path / "fitted.joblib").predict_proba(x, groups),
                          expected)
    fitted.decoder_.save_pretrained(tmp_path / "decoder")
    opened = neurofm.load(tmp_path / "decoder")
    assert opened.contract == fitted.decoder_.contract
    assert opened.weights == fitted.decoder_.weights
    assert all(np.array_equal(a, b) for a, b in zip(
        opened.state_dict().values(), fitted.decoder_.state_dict().values(), strict=True))


def test_epochs_alone_and_together(fitted, known, strangers):
    """People are told apart by groups; a single epoch is compared with the training people."""
    x, y, groups = strangers
    together = fitted.predict_proba(x, groups)
    assert np.array_equal(fitted.predict_proba(x[groups == "p1"]), together[groups == "p1"])
    assert not np.allclose(fitted.predict_proba(x), together, atol=1e-4)
    assert (fitted.predict(x, groups) == y).mean() > 0.85
    assert np.isfinite(fitted.predict_proba(x[:1])).all()
    alone = NeuroFMAutoClassifier(info=INFO, views=QUICK[:1], recentered=False, contract=CONTRACT)
    alone.fit(*known)
    assert np.allclose(alone.predict_proba(x)[:3], alone.predict_proba(x[:3]), atol=1e-6)


def test_scikit_learn_takes_it_and_its_epochs(known):
    x, y, groups = known
    model = NeuroFMAutoClassifier(views=QUICK[:2], contract=CONTRACT)
    assert clone(model).get_params() == model.get_params()
    scores = cross_val_score(make_pipeline(model), as_epochs(x), y, groups=groups,
                             cv=GroupKFold(2))
    assert scores.mean() > 0.8
    assert repr(model).endswith("views=('power', 'power_recentered'))")


def test_epochs_of_moabb_say_whose_they_are(known):
    x, y, groups = known
    epochs = as_epochs(x)
    epochs.metadata = pd.DataFrame({"subject": groups})
    found = NeuroFMAutoClassifier(views=QUICK, contract=CONTRACT).fit(epochs, y)
    expected = NeuroFMAutoClassifier(info=INFO, views=QUICK, contract=CONTRACT).fit(x, y, groups)
    assert np.array_equal(found.predict_proba(epochs), expected.predict_proba(x, groups))
    assert set(pipelines()) == {"neurofm_auto"}
    assert band_of() == {"fmin": 0.1, "fmax": 96.0, "resample": 256.0}


def test_without_anything_all_views_that_fit(known):
    x, y, groups = known
    model = NeuroFMAutoClassifier(info=INFO).fit(x[:24], y[:24], groups[:24])
    assert model.decoder_.contract.sfreq == 256
    assert {"power", "evoked_50ms", "filter_bank_recentered"} <= set(model.decoder_.config.views)
    fewer = NeuroFMAutoClassifier(info=INFO, events=False, recentered=False)
    fewer.fit(x[:24], y[:24], groups[:24])
    assert set(fewer.decoder_.config.views) == {"power", "covariance", "filter_bank",
                                                "spatial_patterns"}


def test_numbers():
    x, y, groups = people(6, n_epochs=16, seed=3, number=True)
    numbers, own = y.astype(float), groups != "p5"
    model = NeuroFMAutoRegressor(info=INFO, views=QUICK, contract=CONTRACT)
    model.fit(x[own], numbers[own], groups[own])
    assert np.corrcoef(model.predict(x[~own]), numbers[~own])[0, 1] > 0.6


def test_scans():
    rng = np.random.default_rng(0)
    sensors = neurofm.Sensors(tuple("ABCDEFGH"), np.full(8, 4),
                             rng.uniform(-0.07, 0.07, (8, 3)), np.zeros((8, 3)))
    scans, labels = [], ["a", "b"] * 8
    for label in labels:
        signal = rng.standard_normal((8, 120)).astype(np.float32)
        signal[1] = 0.8 * (1 if label == "a" else -1) * signal[0] + 0.6 * signal[1]
        scans.append(Recording(signal, 0.5, sensors, Events.none()))
    model = NeuroFMAutoClassifier().fit(scans, labels)
    assert "correlation" in model.decoder_.config.views
    assert model.decoder_.modality == "fmri"


@pytest.mark.parametrize(("change", "said"), [
    ({"views": ("powr",)}, "views of signals are power"),
    ({"contract": "x"}, "contract: wanted a neurofm.InputContract"),
    ({"lacking": "no"}, "lacking: wanted accept or refuse"),
    ({"batch_windows": 0}, "batch_windows: wanted a whole number"),
])
def test_bad_settings_say_what_to_do(known, change, said):
    x, y, groups = known
    settings = {"info": INFO, "views": QUICK[:1], "contract": CONTRACT} | change
    with pytest.raises(ValueError, match=said):
        NeuroFMAutoClassifier(**settings).fit(x, y, groups)


def test_bad_input_says_what_to_do(known, fitted):
    x, y, groups = known
    model = NeuroFMAutoClassifier(info=INFO, views=QUICK[:1], contract=CONTRACT)
    with pytest.raises(ValueError, match="labels of at least two classes, got one class"):
        model.fit(x[y == "left"], y[y == "left"])
    with pytest.raises(ValueError, match="Input y contains NaN"):
        model.fit(x, [None, *y[1:]], groups)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(x, y, groups[1:])
    with pytest.raises(ValueError, match=r"wanted epochs of 2 s"):
        fitted.predict(x[:, :, :128])
    magnetometers = cap()
    info = mne.create_info(list(magnetometers.names), 128.0, "mag")
    with pytest.raises(ValueError, match="wanted sensors of kind eeg"):
        fitted.predict(mne.EpochsArray(1e-7 * x[:2], info, verbose="ERROR"))
