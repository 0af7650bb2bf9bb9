"""One Fourier pass does what MNE's notch, band-pass and resampling do one after the other."""

import mne
import numpy as np
import pytest

from neurofm.data.contract import InputContract
from neurofm.data.recording import Events, Recording
from neurofm.data.sensors import Sensors
from neurofm.preprocessing.readers import read
from neurofm.preprocessing.segments import CUT
from neurofm.preprocessing.steps import resample
from neurofm.preprocessing.steps.filter import design


def _recording(signal: np.ndarray, sfreq: float, events: Events | None = None) -> Recording:
    n = len(signal)
    sensors = Sensors(tuple(f"E{i}" for i in range(n)), np.zeros(n), np.zeros((n, 3)),
                      np.zeros((n, 3)))
    return Recording(np.asarray(signal, dtype=np.float32), sfreq, sensors,
                     events or Events.none())


def _apply(signal, sfreq, contract, events=None) -> np.ndarray:
    return resample.apply(_recording(signal, sfreq, events), contract, {}).signal


def _decibel(gain) -> float:
    return float(20 * np.log10(np.max(np.abs(gain)) + 1e-12))


@pytest.mark.parametrize("sfreq", [160.0, 250.0, 500.0, 1200.0])
def test_band(sfreq):
    contract = InputContract(lowpass_hz=60.0, notch_hz=(50.0,))
    response = design(sfreq, contract)
    n = 2 ** int(np.ceil(np.log2(4 * response.reach)))
    frequency = np.fft.rfftfreq(n, 1 / sfreq)
    gain = response.at(n)
    inside = (frequency > 0.2) & (frequency < 60) & (np.abs(frequency - 50) > 1.5)
    assert np.abs(gain[inside] - 1).max() < 0.01
    assert _decibel(gain[frequency >= 76]) < -40
    assert _decibel(gain[np.abs(frequency - 50) < 0.05]) < -40
    assert _decibel(gain[:1]) < -40


def test_the_band_ends_below_half_of_the_slower_rate():
    for sfreq, new in ((160.0, 256.0), (1000.0, 128.0)):
        contract = InputContract(sfreq=new, lowpass_hz=62.0 if new == 128 else 75.0)
        response = design(sfreq, contract)
        n = 2 ** int(np.ceil(np.log2(4 * response.reach)))
        frequency = np.fft.rfftfreq(n, 1 / sfreq)
        assert _decibel(response.at(n)[frequency >= min(sfreq, new) / 2]) < -40


def test_open_upper_side_still_has_no_aliases():
    time = np.arange(20_000) / 1000
    contract = InputContract(sfreq=200.0, lowpass_hz=None, highpass_hz=None, notch_hz=())
    made = _apply(np.sin(2 * np.pi * 170 * time)[None], 1000.0, contract)
    assert np.abs(made[:, 200:-200]).max() < 0.01


def test_notch_applies_to_harmonics_in_the_band_and_never_beyond_half_the_rate():
    assert len(design(500.0, InputContract(notch_hz=(50.0,))).kernels) == 3  # band, 50, 100
    assert len(design(90.0, InputContract(lowpass_hz=40.0)).kernels) == 1


@pytest.mark.parametrize(
    ("file", "lowpass_hz"),
    [("eegmmidb/S001R04.edf", 75.0), ("eegmat/sub-00/eeg/sub-00_task-rest_eeg.edf", 96.0),
     ("eeglab_sample/eeglab_data.set", 60.0)],
)
def test_same_as_mne_on_real_recordings(data, file, lowpass_hz):
    recording = read(data / file)
    contract = InputContract(lowpass_hz=lowpass_hz, notch_hz=(50.0,))
    made = resample.apply(recording, contract, {}).signal
    sfreq, signal = recording.sfreq, recording.signal.astype(float)
    transition = min(max(0.25 * lowpass_hz, 2), min(sfreq, 256) / 2 - lowpass_hz)
    wanted = mne.filter.filter_data(signal, sfreq, 0.1, lowpass_hz, h_trans_bandwidth=transition,
                                    verbose="ERROR")
    lines = [50.0, 100.0] if lowpass_hz > 90 else [50.0]
    wanted = mne.filter.notch_filter(wanted, sfreq, lines, verbose="ERROR")
    # MNE's default npad="auto" pads to a power of two, which makes its new rate inexact; padded by
    # 250, these recordings have a whole number of new samples.
    wanted = mne.filter.resample(wanted, up=256 / sfreq, npad=250, verbose="ERROR")
    assert made.shape == wanted.shape
    error = made - wanted
    assert error[:, 512:-512].std() < 1e-3 * wanted.std()
    assert error.std() < 1e-2 * wanted.std()  # edges: MNE reflects anew before each of its steps


@pytest.mark.parametrize("sfreq", [160.0, 300.3074951171875, 678.1699829101562, 2000.0, 90.0])
def test_new_samples_lie_where_their_times_say(sfreq):
    """Sines at any old rate come out as the same sines at 256 Hz: no shift, no drift, no gain."""
    frequencies = np.array([3.0, 11.0, 29.0])
    old, new = np.arange(int(40 * sfreq)) / sfreq, np.arange(40 * 256) / 256
    contract = InputContract(lowpass_hz=35.0, highpass_hz=0.5, notch_hz=())
    made = _apply(np.sin(2 * np.pi * frequencies[:, None] * old + 0.3), sfreq, contract)
    wanted = np.sin(2 * np.pi * frequencies[:, None] * new + 0.3)
    n = min(made.shape[1], wanted.shape[1])
    assert abs(made.shape[1] - 40 * 256) <= 2
    inner = slice(5 * 256, n - 5 * 256)
    assert np.abs(made[:, inner] - wanted[:, inner]).max() < 5e-3
    shift_s = np.angle(np.vdot(wanted[1, inner], made[1, inner] + 0j)) / (2 * np.pi * 11)
    assert abs(shift_s) < 1e-4


def test_the_result_does_not_depend_on_blocks(monkeypatch):
    random = np.random.default_rng(0)
    signal = 1e-5 * random.standard_normal((5, 200_000))
    contract = InputContract(lowpass_hz=75.0)
    whole = _apply(signal, 160.0, contract)
    monkeypatch.setattr(resample, "_BLOCK", 1)
    blocks = _apply(signal, 160.0, contract)
    # Not rounding: at 80 Hz the spectrum ends where the stop-band has left 1/500 of it.
    assert np.abs(whole - blocks).max() < 2e-4 * whole.std()
    assert (whole - blocks).std() < 5e-5 * whole.std()


def test_edges_of_a_drifting_offset_do_not_ring():
    time = np.arange(30 * 256) / 256
    drift = (5e-3 + 1e-4 * time)[None]  # a DC amplifier: 5 mV, 0.1 mV a second
    made = _apply(drift, 256.0, InputContract())
    assert np.abs(made).max() < 2e-6


def test_a_recording_shorter_than_the_filter_is_high_passed_as_far_as_it_can_be():
    time = np.arange(512) / 256  # two seconds; the 0.1 Hz filter reaches 16 s to either side
    alpha = 1e-5 * np.sin(2 * np.pi * 10 * time)
    recording = _recording((alpha + 1e-3 + 1e-4 * time)[None], 256.0)
    quality: dict = {}
    made = resample.apply(recording, InputContract(), quality).signal
    assert np.isfinite(made).all()
    assert np.abs(made - alpha).max() < 3e-6
    assert quality["highpass_hz"] == 0.5


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_almost_no_samples_are_no_crash(n):
    assert np.isfinite(_apply(np.ones((2, n)), 256.0, InputContract())).all()


def test_nothing_runs_over_a_cut():
    """Two stretches with different offsets: filtered each by itself, times unchanged."""
    random = np.random.default_rng(1)
    first = 1e-5 * random.standard_normal((2, 3001))
    second = 1e-5 * random.standard_normal((2, 3000)) + 1e-2
    contract = InputContract(lowpass_hz=60.0)
    cut = Events(np.array([3001 / 160]), np.zeros(1), (CUT,))
    joined = _apply(np.concatenate([first, second], axis=1), 160.0, contract, cut)
    alone = _apply(first, 160.0, contract)
    n = alone.shape[1]
    assert np.abs(joined[:, :n - 1] - alone[:, :n - 1]).max() < 1e-9
    assert np.abs(joined).max() < 1e-4


def test_a_stretch_that_begins_between_two_new_samples_keeps_its_times():
    """A cut at sample 301 of 160 Hz is no sample of 256 Hz: the grid stays that of the whole."""
    time = np.arange(6000) / 160
    signal = np.sin(2 * np.pi * 10 * time)[None]
    contract = InputContract(lowpass_hz=60.0, highpass_hz=None, notch_hz=())
    cut = Events(np.array([301 / 160]), np.zeros(1), (CUT,))
    made = _apply(signal, 160.0, contract, cut)[0]
    wanted = np.sin(2 * np.pi * 10 * np.arange(len(made)) / 256)
    inner = slice(4 * 256, -2 * 256)
    assert np.abs(made[inner] - wanted[inner]).max() < 5e-3


def test_offset_stays_where_the_contract_leaves_the_lower_side_open():
    contract = InputContract(highpass_hz=None, notch_hz=())
    made = _apply(np.full((1, 4000), 3e-3), 256.0, contract)
    assert np.allclose(made, 3e-3, rtol=1e-4)


@pytest.mark.parametrize("n", [2, 5, 8])
def test_odd_reflection_is_that_of_numpy_wherever_a_piece_lies(n):
    signal = np.random.default_rng(n).standard_normal((2, n)).astype(np.float32)
    for start in range(-2 * n, n):
        for stop in range(max(start, 0) + 1, 3 * n + 1):
            around = ((0, 0), (max(0, -start), max(0, stop - n)))
            wanted = np.pad(signal, around, mode="reflect", reflect_type="odd")
            made = resample._reflected(signal, start, stop)
            begin = start + around[1][0]
            assert made.shape == (2, stop - start), (start, stop)
            assert np.allclose(made, wanted[:, begin:begin + stop - start], atol=1e-6)


def test_a_recording_as_long_as_the_reach_of_the_filter():
    """The reflection at its end then takes every sample but the last one."""
    contract = InputContract(sfreq=256.0)
    n = design(256.0, contract).reach + 2
    for length in range(n - 3, n + 3):
        assert _apply(1e-5 * np.ones((1, length)), 256.0, contract).shape == (1, length)
