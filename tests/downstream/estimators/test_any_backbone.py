"""The estimators take every backbone: one that reads signals, and one that reads scans."""

import mne
import numpy as np
import pytest
import torch

import neurofm
from neurofm.data.recording import Events
from neurofm.nn import example

NAMES = ("Fp1", "Fp2", "F3", "Fz", "F4", "C3", "Cz", "C4", "P3", "Pz", "P4", "O1", "Oz", "O2")
SFREQ = 200.0


@pytest.fixture(scope="module")
def labram():
    torch.manual_seed(0)
    model = neurofm.LaBraM(neurofm.LaBraMConfig(n_blocks=1))
    model.contract = neurofm.InputContract(sfreq=SFREQ, highpass_hz=1.0, lowpass_hz=60.0,
                                           scale="none", window_s=2.0)
    return model.eval()


@pytest.fixture(scope="module")
def brainmae():
    torch.manual_seed(0)
    model = neurofm.BrainMAE(neurofm.BrainMAEConfig(
        dim=16, n_heads=2, n_static=1, n_adaptive=1, n_blocks=1, n_factors=4, segment_s=16.0,
        t_r=2.0))
    model.contract = neurofm.FMRIContract()
    return model.eval()


def eeg(n: int, seed: int) -> tuple[mne.EpochsArray, np.ndarray]:
    """Epochs with a rhythm of 10 Hz ("closed"), or without ("open")."""
    rng = np.random.default_rng(seed)
    labels = np.array(["closed", "open"] * (n // 2))
    x = 5e-6 * rng.standard_normal((n, len(NAMES), int(2 * SFREQ)))
    wave = 40e-6 * np.sin(2 * np.pi * 10 * np.arange(x.shape[2]) / SFREQ)
    for epoch, label in zip(x, labels, strict=True):
        epoch[::2] += wave * (label == "closed")  # the mean over channels is taken away
    places = dict(zip(NAMES, example.layout("eeg", NAMES).position.astype(float), strict=True))
    info = mne.create_info(list(NAMES), SFREQ, "eeg")
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    return mne.EpochsArray(x, info, verbose="ERROR"), labels


def scans(n: int, seed: int) -> tuple[list[neurofm.Recording], np.ndarray]:
    """Scans of unlike lengths whose regions go together ("one"), or do not."""
    rng = np.random.default_rng(seed)
    labels = np.array(["one", "many"] * (n // 2))
    regions, made = example.layout("roi"), []
    for number, label in enumerate(labels):
        n_volumes = 60 + 4 * (number % 3)
        signal = rng.standard_normal((len(regions), n_volumes + 40))
        if label == "one":
            signal += 3 * rng.standard_normal(n_volumes + 40)
        smooth = np.apply_along_axis(np.convolve, 1, signal, np.ones(8) / 8, "same")
        made.append(neurofm.Recording(
            signal=smooth[:, 20:-20].astype(np.float32), sfreq=0.5, sensors=regions,
            events=Events.none(), source=f"scan {number}"))
    return made, labels


def test_a_backbone_that_reads_signals(labram):
    x, y = eeg(32, seed=0)
    strangers, wanted = eeg(16, seed=1)
    fitted = neurofm.NeuroFMClassifier(labram, validation_fraction=0, random_state=0).fit(x, y)
    assert (fitted.predict(strangers) == wanted).mean() > 0.8
    features = neurofm.NeuroFMEmbedding(labram).fit(x)
    assert features.transform(strangers).shape == (16, labram.config.dim)
    assert features.get_feature_names_out()[0] == "mean_0"
    with pytest.raises(ValueError, match=r"pool: wanted one of mean, got 'covariance'"):
        neurofm.NeuroFMEmbedding(labram, pool="covariance").fit(x)


def test_a_backbone_that_reads_signals_trains_along(labram):
    x, y = eeg(16, seed=0)
    fitted = neurofm.NeuroFMClassifier(labram, mode="full", validation_fraction=0, n_steps_full=2,
                                       batch_windows=8, random_state=0).fit(x, y)
    before, after = (model.encoder.state_dict() for model in (labram, fitted.decoder_.backbone))
    assert any(not torch.equal(value, after[name]) for name, value in before.items())


def test_a_backbone_that_reads_scans(brainmae):
    x, y = scans(24, seed=0)
    strangers, wanted = scans(12, seed=1)
    fitted = neurofm.NeuroFMClassifier(brainmae, validation_fraction=0, random_state=0).fit(x, y)
    assert (fitted.predict(strangers) == wanted).mean() > 0.8
    alone = fitted.predict_proba(strangers[:1])
    np.testing.assert_allclose(alone, fitted.predict_proba(strangers)[:1], atol=1e-4)


def test_bad_input_a_model_without_features():
    with pytest.raises(ValueError, match="wanted as model a pretrained one with features"):
        neurofm.NeuroFMClassifier(neurofm.MuLaw(neurofm.MuLawConfig())).fit(*eeg(4, seed=0))
