"""`neurofm.embed`: the same features from whatever a person has at hand."""

import mne
import numpy as np
import pytest
import torch

import neurofm
from neurofm import checkpoints
from neurofm.data.corpus import Corpus
from neurofm.data.recording import Recording
from neurofm.downstream.decoder import embedding
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


def epochs_of(raw, tmin: float, tmax: float, n: int = 4, every_s: float = 5.0) -> mne.Epochs:
    events = np.array([[round((1 + every_s * k) * SFREQ), 0, 1] for k in range(n)])
    return mne.Epochs(raw, events, tmin=tmin, tmax=tmax - 1 / SFREQ, baseline=None, proj=False,
                      preload=True, verbose="ERROR")


def test_epochs_one_row_each(raw, planted):
    """Of the epoch's own time span, and of nothing else."""
    model, epochs = neurofm.load(planted.backbone), epochs_of(raw, -0.5, 1.5)
    features = neurofm.embed(epochs, model)
    assert features.epoch.tolist() == [0, 1, 2, 3]
    assert features.times.tolist() == [[-0.5, 1.5]] * 4
    assert not len(features.dropped)
    for number in (0, 3):
        alone = mne.io.RawArray(epochs.get_data()[number], raw.info, verbose="ERROR")
        wanted = neurofm.embed(alone, model)
        assert wanted.shape == (1, *features.shape[1:])
        assert np.isclose(features[number], wanted[0], atol=1e-4).mean() > 0.97
    assert not np.isclose(features[1], features[2], atol=1e-2).all()


def test_long_epochs_are_several_rows(raw, planted):
    features = neurofm.embed(epochs_of(raw, 0.0, 4.5), planted.backbone)
    assert features.epoch.tolist() == np.repeat([0, 1, 2, 3], 3).tolist()
    assert features.times[:3].tolist() == [[0, 2], [2, 4], [2.5, 4.5]]
    assert features.per("epoch").times.tolist() == [[0, 4.5]] * 4


def test_short_epochs(raw, planted):
    """As short as what the model encodes together (128 samples), or refused."""
    model = neurofm.load(planted.backbone)
    features = neurofm.embed(epochs_of(raw, 0.0, 1.0), model)
    assert features.times.tolist() == [[0, 1]] * 4
    with pytest.raises(ValueError, match=r"epochs of at least 1 s, which this model encodes .*"
                                         r"they last 0\.5 s; cut longer ones"):
        neurofm.embed(epochs_of(raw, 0.0, 0.5), model)


def test_epochs_of_a_file_and_epochs_that_are_not_loaded(raw, planted, tmp_path):
    model, epochs = neurofm.load(planted.backbone), epochs_of(raw, -0.5, 1.5)
    features = neurofm.embed(epochs, model)
    epochs.save(tmp_path / "some-epo.fif", verbose="ERROR")
    found = neurofm.embed(tmp_path / "some-epo.fif", model)
    assert found.rows.drop(columns="recording").equals(features.rows.drop(columns="recording"))
    assert np.isclose(found, features, atol=1e-4).mean() > 0.97
    lazy = mne.Epochs(raw, epochs.events, tmin=-0.5, tmax=1.5 - 1 / SFREQ, baseline=None,
                      proj=False, preload=False, verbose="ERROR")
    assert same(neurofm.embed(lazy, model), features)
    assert not lazy.preload


def test_the_sample_at_tmax(raw, planted):
    """What `mne.Epochs` hold beyond whole seconds makes no window of zeros and no second row."""
    model = neurofm.load(planted.backbone)
    for tmax_s, n_frames in ((1.0, 16), (2.0, 48)):
        found = neurofm.embed(epochs_of(raw, 0.0, tmax_s + 1 / SFREQ), model)
        wanted = neurofm.embed(epochs_of(raw, 0.0, tmax_s), model)
        assert found.shape == wanted.shape == (4, 8, n_frames, 32)
        assert found.times.tolist() == [[0, tmax_s]] * 4
        alike = (found.values * wanted.values).sum(axis=-1)  # the ends of filters differ
        assert alike.mean() > 0.8


@pytest.mark.parametrize("n", [2, 5])
@pytest.mark.parametrize(("sfreq", "n_times"), [(125.0, 126), (125.0, 129), (100.0, 143)])
def test_no_epoch_is_lost_at_a_rate_that_does_not_divide(recording, planted, sfreq, n_times, n):
    """Epochs begin between samples of the model's rate; the last one is as long as the others."""
    info = mne.create_info(list(recording.sensors.names), sfreq, "eeg")
    places = dict(zip(recording.sensors.names, recording.sensors.position.astype(float),
                      strict=True))
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    data = 1e-5 * np.random.default_rng(0).standard_normal((n, 16, n_times))
    epochs = mne.EpochsArray(data, info, baseline=None, verbose="ERROR")
    features = neurofm.embed(epochs, planted.backbone)
    assert features.epoch.tolist() == [*range(n)]
    assert not len(features.dropped)


def test_epochs_that_mne_rejects_late(raw, planted):
    """Rows are those of `events`, as after any look at the data by MNE itself."""
    worse = raw.copy()
    worse._data[0, round(6.5 * SFREQ) : round(7 * SFREQ)] = 1e-2  # in the second of the epochs
    events = np.array([[round((1 + 5 * k) * SFREQ), 0, k] for k in range(4)])
    lazy = mne.Epochs(worse, events, tmin=0, tmax=2 - 1 / SFREQ, baseline=None, proj=False,
                      reject={"eeg": 5e-3}, preload=False, verbose="ERROR")
    features = neurofm.embed(lazy, planted.backbone)
    assert features.epoch.tolist() == [0, 1, 2]
    assert lazy.events[features.epoch, 2].tolist() == [0, 2, 3]
    assert same(features, neurofm.embed(lazy.copy().load_data(), planted.backbone))
    assert not lazy.preload


def test_large_windows_of_a_corpus_are_few_at_a_time(planted, monkeypatch):
    corpus = Corpus.open(planted.corpus)
    rows = np.arange(10)
    sizes = [len(batch) for batch in embedding.of_corpus(corpus, rows, 4, "head")]
    assert sizes == [4, 4, 2]
    monkeypatch.setattr(embedding, "_LARGEST", 3 * corpus.signal(0).size)
    assert [len(batch) for batch in embedding.of_corpus(corpus, rows, 4, "head")] == [3, 3, 3, 1]
    monkeypatch.setattr(embedding, "_LARGEST", 1)
    assert [len(batch) for batch in embedding.of_corpus(corpus, rows, 4, "head")] == [1] * 10


def test_an_epoch_that_was_lost_is_named(raw, planted):
    epochs = epochs_of(raw, 0.0, 2.0)
    epochs._data[2, :, 40:200] = np.nan  # the link dropped out
    features = neurofm.embed(epochs, planted.backbone)
    assert features.epoch.tolist() == [0, 1, 3]
    (lost,) = features.dropped.itertuples()
    assert (lost.what, lost.name, lost.start_s, lost.stop_s) == ("epoch", "2", 0, 2)
    assert lost.reason == "not all of it was recorded"


def test_nothing_is_left_out_in_silence(raw, planted, caplog):
    eog = mne.io.RawArray(np.random.default_rng(0).standard_normal((1, len(raw.times))) * 1e-5,
                          mne.create_info(["EOG 061"], SFREQ, "eog"), verbose="ERROR")
    worse = raw.copy().add_channels([eog], force_update_info=True)
    worse.set_annotations(mne.Annotations([4.5, 11.0, 12.5], [0.2, 0, 0],
                                          ["BAD_cough", "EDGE boundary", "EDGE boundary"]))
    features = neurofm.embed(worse, planted.backbone)
    lost = features.dropped.fillna(-1)[["what", "name", "start_s", "stop_s", "reason"]]
    assert sorted(lost.values.tolist()) == [
        ["channel", "EOG 061", -1, -1, "of type eog in the file"],
        ["stretch", "", 11.0, 12.5, "a stretch shorter than a window"],
        ["window", "", 4.0, 6.0, "in a stretch marked bad"]]
    assert "1.5 s left out: in stretches shorter than a window" in caplog.text
    assert [4.0, 6.0] not in features.times.tolist()
    assert features.times[-1].tolist() == [19.0, 21.0]  # the tail, which overlaps


def test_lists(raw, recording, planted, tmp_path, caplog):
    model, epochs = neurofm.load(planted.backbone), epochs_of(raw, 0.0, 2.0)
    (tmp_path / "torn_raw.fif").write_bytes(b"nothing")
    found = neurofm.embed([raw, epochs, tmp_path / "torn_raw.fif", recording, raw], model)
    assert len(found) == 11 + 4 + 11 + 11
    assert found.epoch[11:15].tolist() == [0, 1, 2, 3]
    assert (found.epoch[:11] == -1).all()
    names = [*dict.fromkeys(found.recording)]
    assert names == ["recording in memory", "recording in memory [1]", "simulated",
                     "recording in memory [4]"]
    assert same(found[:11], found[26:])
    (lost,) = found.dropped.itertuples()
    assert lost.what == "recording"
    assert lost.recording.endswith("torn_raw.fif")
    assert "torn_raw.fif" in caplog.text
    with pytest.raises(ValueError, match="none of 2 recordings could be embedded; the first: "):
        neurofm.embed([tmp_path / "torn_raw.fif", tmp_path / "gone.fif"], model)
    with pytest.raises(ValueError, match="an empty list"):
        neurofm.embed([], model)


def test_sources_and_frames(raw, planted):
    features = neurofm.embed(raw, planted.backbone)
    assert features.sources == tuple(f"source_{k}" for k in range(8))
    frames = features.frames.reshape(3, 16)  # three windows of 1 s, which overlap by a quarter
    assert np.allclose(frames[0], (np.arange(16) + 0.5) / 16)
    assert np.allclose(np.diff(frames, axis=0), 0.75)


def test_a_layer_by_its_name(raw, planted, decoder):
    model = neurofm.load(planted.backbone)
    assert model.layer_names == ("blocks.0", "blocks.1")  # the last one only predicts tokens
    features, last = neurofm.embed(raw, model), neurofm.embed(raw, decoder, layer="blocks.1")
    length = np.linalg.norm(last, axis=-1, keepdims=True)
    assert np.allclose(last / length, features, atol=1e-5)
    first = neurofm.embed(raw, model, layer="blocks.0")
    assert first.shape == features.shape
    assert not np.allclose(first, last, atol=1e-2)
    with pytest.raises(ValueError, match=r"'blocks\.9': a BrainOmni has the layers blocks\.0"):
        neurofm.embed(raw, model, layer="blocks.9")
    with pytest.raises(ValueError, match="has the layers none: its features are of one layer"):
        neurofm.embed(raw, model.tokenizer, layer="blocks.0")


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
