"""`neurofm.embed`: the same features from whatever a person has at hand."""

import mne
import numpy as np
import pytest
import torch

import neurofm
from neurofm import checkpoints
from neurofm.data.corpus import Corpus
from neurofm.data.recording import Recording
from tests.support.planted import CONTRACT, SFREQ, cap, windows_of


def same(one, other) -> bool:
    return np.array_equal(one, other)


@pytest.fixture(scope="module")
def recording() -> Recording:
    """21 s of 16 electrodes in volts at 128 Hz."""
    rng = np.random.default_rng(0)
    signal = np.concatenate(list(windows_of(rng, cap(), ["left"] * 11, 0.5)), axis=1)
    return Recording(1e-5 * signal[:, : round(21 * SFREQ)], SFREQ, cap(), source="simulated")


@pytest.fixture(scope="module")
def raw(recording) -> mne.io.Raw:
    info = mne.create_info(list(recording.sensors.names), SFREQ, "eeg")
    places = dict(zip(recording.sensors.names, recording.sensors.position.astype(float),
                      strict=True))
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    return mne.io.RawArray(recording.signal.astype(float), info, verbose="ERROR")


def test_three_lines_for_every_kind_of_model(raw, decoder, planted):
    model = neurofm.load(planted.backbone)
    features = neurofm.embed(raw, model)
    assert features.shape == (11, 8, 3 * 16, 32)
    assert np.isfinite(features).all()
    assert np.allclose(np.linalg.norm(features, axis=-1), 1, atol=1e-5)
    model.tokenizer.contract = model.contract
    assert neurofm.embed(raw, model.tokenizer).shape == (11, 8, 48, 16)
    assert same(neurofm.embed(raw, neurofm.load(decoder)), features)
    assert same(neurofm.embed(raw, str(decoder)), features)


def test_raw_file_and_recording_agree(raw, recording, planted, tmp_path):
    model = neurofm.load(planted.backbone)
    path = tmp_path / "simulated_raw.fif"
    raw.save(path, verbose="ERROR")
    features = neurofm.embed(raw, model)
    assert same(neurofm.embed(recording, model), features)
    unloaded = mne.io.read_raw(path, verbose="ERROR")
    assert not unloaded.preload
    assert np.allclose(neurofm.embed(unloaded, model), features, atol=1e-4)
    assert not unloaded.preload
    assert same(neurofm.embed(path, model), neurofm.embed(unloaded, model))


def test_order_of_channels_changes_nothing(recording, planted):
    model = neurofm.load(planted.backbone)
    order = np.random.default_rng(0).permutation(recording.n_channels)
    features = neurofm.embed(recording, model)
    other = neurofm.embed(recording.pick(order), model)
    # A sum in another order may move a value over the border between two codes.
    close = np.isclose(features, other, atol=1e-4).mean()
    assert close > 0.97
    assert features.values.std() > 0.01


def test_corpus_and_batches_of_any_size(planted):
    model, corpus = neurofm.load(planted.backbone), Corpus.open(planted.corpus)
    features = neurofm.embed(corpus, model, batch_windows=50)
    assert len(features) == len(corpus)
    batch = corpus.batch(np.array([0, 100, 200]))
    with torch.no_grad():
        assert np.allclose(model.embed(batch), features[[0, 100, 200]], atol=1e-4)
    assert np.allclose(neurofm.embed(str(planted.corpus), model), features, atol=1e-4)


def test_training_mode_is_left_as_it_was(recording, planted):
    model = neurofm.load(planted.backbone).train()
    assert same(neurofm.embed(recording, model), neurofm.embed(recording, model))
    assert model.training
    assert not model.tokenizer.training


def test_bad_input(recording, planted):
    model = neurofm.load(planted.backbone)
    with pytest.raises(ValueError, match=r"wanted an mne\.io\.Raw or mne\.Epochs, a path"):
        neurofm.embed(recording.signal, model)
    short = recording.with_(signal=recording.signal[:, :100])
    with pytest.raises(ValueError, match="for one window"):
        neurofm.embed(short, model)
    model.contract = None
    with pytest.raises(ValueError, match=r"no preprocessor_config\.json \(InputContract\)"):
        neurofm.embed(recording, model)
    other = checkpoints.load(planted.backbone)
    other.contract = CONTRACT.with_(reference="none")
    with pytest.raises(ValueError, match="reference: none, average"):
        neurofm.embed(Corpus.open(planted.corpus), other)


def test_bad_input_a_tokenizer_of_samples_has_no_features(raw):
    from neurofm.tokenizers.mu_law import MuLaw, MuLawConfig

    tokenizer = MuLaw(MuLawConfig())
    tokenizer.contract = CONTRACT
    with pytest.raises(ValueError, match="has no features to embed a recording by"):
        neurofm.embed(raw, tokenizer)
