"""Windows made worse: what is asked for happens, nothing else, and the contract holds after."""

import numpy as np
import pytest

from neurofm.data import augment, worse
from neurofm.data.augment import Augmented
from neurofm.data.contract import InputContract
from neurofm.data.corpus import Corpus
from neurofm.data.sensors import KINDS, Sensors
from neurofm.preprocessing.steps.scale import scale
from tests.support import corpora

CONTRACT = InputContract(sfreq=128.0, lowpass_hz=45.0, window_s=4.0, notch_hz=())
N_TIMES = 512


def meg_and_eeg(n: int = 12) -> Sensors:
    """Electrodes, then half as many magnetometers."""
    eeg, half = corpora.layout(n), n // 2
    return Sensors((*eeg.names, *(f"M{k}" for k in range(half))),
                   np.r_[eeg.kind, np.full(half, KINDS.index("mag"))],
                   np.concatenate([eeg.position, 1.2 * eeg.position[:half]]),
                   np.concatenate([eeg.orientation, np.eye(3)[np.zeros(half, int)]]))


def standardized(sensors: Sensors, contract: InputContract = CONTRACT, seed: int = 0):
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((len(sensors), N_TIMES)).cumsum(axis=1).astype(np.float32)
    signal += 3 * rng.standard_normal((1, N_TIMES)).astype(np.float32)
    return worse.restored(signal, sensors, contract, signal)


def power(signal: np.ndarray, low_hz: float, high_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(signal.shape[1]))) ** 2
    frequency = np.fft.rfftfreq(signal.shape[1], 1 / CONTRACT.sfreq)
    return float(spectrum[:, (frequency >= low_hz) & (frequency < high_hz)].mean())


def test_a_lowpass_takes_what_is_above_and_shifts_nothing():
    signal = np.random.default_rng(0).standard_normal((6, N_TIMES)).astype(np.float32)
    low = worse.lowpassed(signal, CONTRACT.sfreq, 30.0)
    assert power(low, 40, 64) < 1e-4 * power(signal, 40, 64)
    assert power(low, 2, 28) == pytest.approx(power(signal, 2, 28), rel=0.02)
    time = np.arange(N_TIMES) / CONTRACT.sfreq
    tone = np.sin(2 * np.pi * 10 * time)[None].astype(np.float32)
    inside = slice(64, -64)
    assert np.allclose(worse.lowpassed(tone, CONTRACT.sfreq, 30.0)[:, inside], tone[:, inside],
                       atol=0.01)


def test_a_lowpass_does_as_the_filter_of_a_recording_does():
    """Below the edge a window of a filtered recording and a filtered window are alike."""
    mne = pytest.importorskip("mne")
    whole = np.random.default_rng(1).standard_normal((3, 3 * N_TIMES))
    recording = mne.filter.filter_data(whole, CONTRACT.sfreq, None, 30.0, verbose="ERROR")
    cut = slice(N_TIMES, 2 * N_TIMES)
    window = worse.lowpassed(whole[:, cut].astype(np.float32), CONTRACT.sfreq, 30.0)
    assert np.corrcoef(window.ravel(), recording[:, cut].ravel())[0, 1] > 0.98


@pytest.mark.parametrize("rule", ["kind_std", "channel_std", "none"])
def test_scale_is_that_of_the_contract(rule):
    contract, sensors = CONTRACT.with_(scale=rule), meg_and_eeg()
    signal = standardized(sensors, contract)
    for seed in range(12):
        found, left = augment.changed(signal, sensors, contract, augment.ALL,
                                      np.random.default_rng(seed))
        assert found.dtype == np.float32
        assert found.shape == (len(left), N_TIMES)
        assert np.allclose(found, scale(found, left.kind, contract), atol=1e-4)


def test_recording_std_keeps_what_is_loud():
    contract, sensors = CONTRACT.with_(scale="recording_std"), corpora.layout(8)
    signal = standardized(sensors) * np.arange(1, 9, dtype=np.float32)[:, None]
    low = worse.restored(worse.lowpassed(signal, 128.0, 20.0), sensors, contract, signal)
    assert np.allclose(low.std(axis=1), signal.std(axis=1), rtol=1e-3)


def test_four_channels_stay_and_each_kind():
    sensors, rng = meg_and_eeg(), np.random.default_rng(0)
    assert len(worse.fewer(sensors.kind, 1, rng)) == 4
    for _ in range(50):
        rows = worse.fewer(sensors.kind, 4, rng)
        assert len(rows) == len(set(rows.tolist())) == 4
        assert np.array_equal(np.unique(sensors.kind[rows]), np.unique(sensors.kind))
    counts = [len(augment.changed(standardized(sensors), sensors, CONTRACT, ["channels"],
                                  np.random.default_rng(seed))[1]) for seed in range(60)]
    assert min(counts) >= 4
    assert min(counts) < 6
    assert max(counts) == len(sensors)


def test_artifacts_are_as_many_as_asked_for():
    signal = np.random.default_rng(0).standard_normal((8, N_TIMES)).astype(np.float32)
    rng, touched = np.random.default_rng(1), 0.0
    for _ in range(400):
        found = worse.with_artifacts(signal, 128.0, 0.01, rng)
        touched += (found != signal).any(axis=0).mean() / 400
        assert np.abs(found).max() <= 200
    assert touched == pytest.approx(0.01, rel=0.25)


def test_another_reference_is_of_each_kind():
    sensors = meg_and_eeg()
    signal = standardized(sensors)
    rows = np.array([0, 1, 12, 15])
    found = worse.rereferenced(signal, sensors, rows)
    assert np.allclose(found[:12], signal[:12] - signal[:2].mean(axis=0))
    assert np.allclose(found[12:], signal[12:] - signal[[12, 15]].mean(axis=0))
    alone = worse.rereferenced(signal, sensors, rows[:3])
    assert np.array_equal(alone[12:], signal[12:])  # it would become zero


@pytest.fixture
def corpus(corpus_folder) -> Corpus:
    return Corpus.open(corpus_folder)


def test_off_gives_the_same_bytes(corpus):
    windows, seeds = np.arange(20), np.arange(20)
    plain, off = corpus.batch(windows, seeds), Augmented(corpus, 0.0).batch(windows, seeds)
    assert all(np.array_equal(getattr(plain, name), getattr(off, name))
               for name in ("signal", "geometry", "kind", "valid", "seed"))
    unseeded = Augmented(corpus, 1.0).batch(windows)
    assert np.array_equal(plain.signal, unseeded.signal)


def test_a_change_is_a_function_of_the_seed(corpus):
    """Whatever windows stand beside it: what makes a run independent of the number of processes,
    and a resumed one the same."""
    source, seeds = Augmented(corpus, 0.7), np.arange(100, 124)
    whole = source.batch(np.arange(24), seeds)
    for part in (slice(0, 12), slice(12, 24), slice(7, 8)):
        found = source.batch(np.arange(24)[part], seeds[part])
        width = found.valid.shape[1]
        assert np.array_equal(found.signal, whole.signal[part][:, :width])
        assert np.array_equal(found.valid, whole.valid[part][:, :width])
    other = source.batch(np.arange(24), seeds + 1)
    assert other.signal.shape != whole.signal.shape or not np.array_equal(
        other.signal, whole.signal)


def test_valid_is_what_is_left(corpus):
    batch = Augmented(corpus, 1.0).batch(np.arange(40), np.arange(40))
    count = batch.valid.sum(dim=1).numpy()
    assert np.array_equal(count, [len(names) for names in batch.ch_names])
    assert count.min() >= 4
    assert (count < corpus.widths(np.arange(40))).any()
    assert not batch.signal[~batch.valid].any()
    assert not batch.geometry[~batch.valid].any()
    assert batch.signal.isfinite().all()
    assert (batch.signal[batch.valid].std(dim=1) > 0).all()


def test_bad_input(corpus):
    with pytest.raises(ValueError, match="augment_by must be some of lowpass"):
        augment.check(CONTRACT, ["pitch"])
    with pytest.raises(ValueError, match="bound to its channels"):
        augment.check(CONTRACT, list(augment.ALL), n_channels=19)
    assert augment.check(CONTRACT, ["noise"], n_channels=19) is CONTRACT
    with pytest.raises(ValueError, match=r"channels and reference.*--augment_by=\[noise\]"):
        augment.check(CONTRACT.with_(kinds=("roi",)), ["channels", "reference", "noise"])


def test_differences_of_electrodes_have_no_reference():
    """As in preprocessing: neither an average is taken off them, nor are they in it."""
    sensors = corpora.layout(12)
    orientation = np.zeros((12, 3), dtype=np.float32)
    orientation[8:, 0] = 1.0
    mixed = Sensors(sensors.names, sensors.kind, sensors.position, orientation)
    signal = standardized(sensors)
    made = worse.restored(signal, mixed, CONTRACT.with_(scale="none"), signal)
    assert np.array_equal(made[8:], signal[8:])
    assert np.allclose(made[:8], signal[:8] - signal[:8].mean(axis=0), atol=1e-6)
    moved = worse.rereferenced(signal, mixed, np.array([0, 1, 10]))
    assert np.array_equal(moved[8:], signal[8:])
    assert np.allclose(moved[:8], signal[:8] - signal[:2].mean(axis=0), atol=1e-6)
