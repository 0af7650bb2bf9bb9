"""Every step of ORDER in a stream: the window that a file gives, or a refusal that names the step.

Each step is followed alone through the settings of a contract that it reads.
"""

from dataclasses import replace

import numpy as np
import pytest

from neurofm.data.contract import InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.parcel_rule import ParcelRule
from neurofm.data.recording import Recording
from neurofm.data.sensors import Sensors
from neurofm.preprocessing import steps
from neurofm.preprocessing.standardize import standardize
from neurofm.preprocessing.steps import PerWindow, Step
from neurofm.preprocessing.steps.refusal import ContractError
from neurofm.preprocessing.streaming import CausalStandardizer

SFREQ = 250.0
# No high-pass and no notch: what is left of the filter has a linear phase and little delay, so that
# a window by stream is the window by file, moved by a known number of samples.
PLAIN = InputContract(window_s=4.0, highpass_hz=None, notch_hz=(), lowpass_hz=40.0, sfreq=125.0)
SETTINGS = {
    "select": [{"kinds": ("eeg",)}, {"kinds": ("eeg", "mag")}],
    "samples": [{}],
    "positions": [{"positions": "required"}, {"positions": "optional"}],
    "resample": [{"sfreq": 125.0}, {"sfreq": 250.0}, {"sfreq": 100.0},
                 {"lowpass_hz": None, "sfreq": 250.0}, {"highpass_hz": 0.5}, {"notch_hz": (50.0,)},
                 {"highpass_hz": 0.1, "notch_hz": (50.0, 60.0)}],
    "amplitude": [{"amplitude_uv": (0.1, 1000.0)}, {"amplitude_uv": (1.0, 200.0)}],
    "bad_channels": [{"bad_channels": "log_psd"}, {"bad_channels": "none"},
                     {"bad_channels_iqr": 3.0}],
    "interpolate": [{"max_bad": 0.3}],
    "reference": [{"reference": "average"}, {"reference": "none"}],
    "parcels": [{"parcels": None}],
    "scale": [{"scale": name} for name in ("kind_std", "channel_std", "recording_std", "none")],
}
CASES = [(name, setting) for name, settings in SETTINGS.items() for setting in settings]


def _recording(fault: str = "") -> Recording:
    """40 s of oscillations of 3 to 12 Hz from six sources at 24 electrodes, and four magnetometers.

    fault: what is wrong with channel E3 (or with the place of E23).
    """
    rng = np.random.default_rng(3)
    time = np.arange(round(40 * SFREQ)) / SFREQ
    sources = np.stack([np.sin(2 * np.pi * hz * time + phase) * (1 + 0.3 * np.sin(0.7 * time + hz))
                        for hz, phase in zip(np.linspace(3, 12, 6), rng.uniform(0, 6, 6),
                                             strict=True)])
    k = np.arange(28)
    height, angle = (k + 0.5) / 28, k * 2.4
    around = np.sqrt(1 - height**2)
    place = 0.09 * np.stack([around * np.cos(angle), around * np.sin(angle), height], axis=1)
    place += np.array([0, 0, 0.04])
    # Smooth over the head, as fields are: what is interpolated then resembles its neighbors.
    centers = 0.09 * rng.standard_normal((6, 3))
    mix = np.exp(-np.square(place[:, None] - centers[None]).sum(-1) / 0.15**2)
    signal = mix @ sources
    signal += 0.02 * signal.std() * rng.standard_normal(signal.shape)
    signal *= 20e-6 / signal.std()
    is_mag = k >= 24
    signal[is_mag] *= 1e-7
    if fault == "flat":
        signal[3] = 0.0
    elif fault == "loud":
        signal[3] *= 1e3
    elif fault == "noise":
        signal[3] = 40e-6 * rng.standard_normal(len(time))
    elif fault == "nowhere":
        place[23] = np.nan
    names = tuple(f"{'M' if mag else 'E'}{i}" for i, mag in enumerate(is_mag))
    sensors = Sensors(names, is_mag.astype(int), place,
                      np.where(is_mag[:, None], [0.0, 0, 1], 0.0))
    return Recording(signal.astype(np.float32), SFREQ, sensors)


def _streamed(live: Recording, contract: InputContract):
    stream = CausalStandardizer(live, contract)
    return [window for at in range(0, live.n_times, 37)
            for window in stream.push(live.signal[:, at : at + 37])]


def _alike(live: Recording, contract: InputContract, least: float, median: float = 0.0) -> None:
    """The last windows by stream are those by file, some samples later (as filters do).

    least, median: correlation of every window, of their median.
    """
    r = []
    done, got = standardize(live, contract), _streamed(live, contract)
    spectrum = np.fft.rfft(done.signal)
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(done.signal.shape[1]))
    later = [replace(done, signal=np.fft.irfft(spectrum * turn**delay, done.signal.shape[1])
                     .astype(np.float32)) for delay in np.arange(0, 8, 0.25)]  # samples
    for window in got[5:]:
        assert window.signal is not None, window.problem
        assert window.sensors.fingerprint == done.sensors.fingerprint
        start = round(window.start_s * contract.sfreq)
        file = [each._window(start) for each in later]
        found = [np.corrcoef(part.ravel(), window.signal.ravel())[0, 1] for part in file]
        assert max(found) > least, (max(found), window.quality)
        assert window.signal.std() == pytest.approx(file[int(np.argmax(found))].std(), rel=0.1)
        r.append(max(found))
    assert np.median(r) > median, r


def test_settings_are_tried_of_every_step():
    assert list(SETTINGS) == [step.name for step in steps.ORDER]
    assert all(step.live is not None for step in steps.ORDER)


@pytest.mark.parametrize(("name", "setting"), CASES,
                         ids=[f"{name}-{setting}" for name, setting in CASES])
def test_same_window_by_file_and_by_stream(name, setting):
    contract = PLAIN.with_(kinds=("eeg",)).with_(**setting)
    if contract.highpass_hz or contract.notch_hz:
        # They turn phases: what the band holds is moved unequally (as in test_streaming).
        _alike(_recording(), contract, 0.5, median=0.85)
    elif contract.scale == "recording_std":  # by the last 30 s, not the recording
        _alike(_recording(), contract, 0.95)
    else:
        _alike(_recording(), contract, 0.99)


@pytest.mark.parametrize(("fault", "setting"), [
    ("flat", {}), ("loud", {}), ("noise", {"bad_channels_iqr": 3.0}), ("nowhere", {}),
    ("nowhere", {"positions": "optional"}),
])
def test_a_fault_is_met_alike_by_file_and_by_stream(fault, setting):
    live, contract = _recording(fault), PLAIN.with_(kinds=("eeg",)).with_(**setting)
    done, got = standardize(live, contract), _streamed(live, contract)
    assert set(got[-1].quality["bads"]) == set(done.quality["bads"])
    assert got[-1].quality["interpolated"] == done.quality["interpolated"]
    _alike(live, contract, 0.99)


def test_marked_channels_stay_bad():
    live = _recording().with_(bads=("E5",))
    contract = PLAIN.with_(kinds=("eeg",))
    assert list(_streamed(live, contract)[-1].quality["bads"]) == ["E5"]
    _alike(live, contract, 0.99)


def test_parcels_are_refused_by_name():
    contract = PLAIN.with_(kinds=("eeg",), parcels=ParcelRule(n_parcels=4))
    with pytest.raises(ContractError, match="the step parcels cannot: parcels need the covariance"):
        CausalStandardizer(_recording(), contract)


def _upside_down(recording, contract, quality):
    return recording.with_(signal=-recording.signal)


@pytest.mark.parametrize(("at", "step", "reason"), [
    (8, Step("turn", _upside_down), r"the step turn cannot: it does not say how it lives"),
    (2, Step("turn", _upside_down, live=PerWindow()),
     "the step turn cannot: it is done window by window, but resample"),
    (8, Step("turn", _upside_down, live=steps.Refuses("it looks ahead")),
     "the step turn cannot: it looks ahead"),
])
def test_a_tenth_step_that_cannot_follow_is_refused_by_name(monkeypatch, at, step, reason):
    monkeypatch.setattr(steps, "ORDER", (*steps.ORDER[:at], step, *steps.ORDER[at:]))
    contract = PLAIN.with_(kinds=("eeg",))
    assert standardize(_recording(), contract).windows.size  # a file can
    with pytest.raises(ContractError, match=reason):
        CausalStandardizer(_recording(), contract)


def test_a_tenth_step_that_can_follow_is_done_in_both(monkeypatch):
    live, contract = _recording(), PLAIN.with_(kinds=("eeg",))
    before = standardize(live, contract).windows
    step = Step("turn", _upside_down, live=PerWindow())
    monkeypatch.setattr(steps, "ORDER", (*steps.ORDER[:8], step, *steps.ORDER[8:]))
    assert np.allclose(standardize(live, contract).windows, -before, atol=1e-5)
    _alike(live, contract, 0.99)


def test_bad_input_a_step_that_is_not_installed():
    contract = PLAIN.with_(kinds=("eeg",), steps={"cilp": {}})
    for refused in (standardize, CausalStandardizer):
        with pytest.raises(ValueError, match="the step 'cilp', which no installed package has"):
            refused(_recording(), contract)


@pytest.mark.parametrize(("setting", "named"), [
    ({}, "detrend, band-pass, scale (roi_std), windows of whole scans"),
    ({"detrend": False}, "whole recording: band-pass, scale"),
    ({"highpass_hz": None, "lowpass_hz": None}, "whole recording: detrend, scale"),
    ({"confounds": ("motion",)}, "band-pass, confounds, scale"),
    ({"scale": "none", "window_s": 60.0}, "whole recording: detrend, band-pass; decode a file"),
    ({"scale": "none", "window_s": 60.0, "detrend": False, "highpass_hz": None,
      "lowpass_hz": None}, "this one is of fmri; decode a file (neurofm decode)"),
])
def test_scans_of_fmri_are_refused_with_their_steps(setting, named):
    recording, contract = _recording(), FMRIContract(**setting)
    with pytest.raises(ContractError, match="wanted a contract of EEG or MEG") as refused:
        CausalStandardizer(recording, contract)
    assert named in str(refused.value)
