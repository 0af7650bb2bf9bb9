"""One recording as people hand it over is one recording; windows at events are those of MNE."""

import mne
import numpy as np
import pytest

from neurofm.data.contract import InputContract
from neurofm.preprocessing import labels, readers
from neurofm.preprocessing.labels import LabelRule
from neurofm.preprocessing.standardize import standardize

NAMES = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "T3", "T4"]
ON_S = np.array([5.0, 11.296875, 20.125, 23.328125])  # on samples of both rates
FIXED = InputContract(sfreq=256.0, highpass_hz=1.0, lowpass_hz=40.0, notch_hz=(), window_s=1.0,
                      reference="none", bad_channels="none", scale="none")


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    random, t = np.random.default_rng(0), np.arange(512 * 30) / 512
    drift = np.cumsum(random.standard_normal((12, len(t))), axis=1) / 20
    found = 2e-5 * drift + 1e-5 * np.sin(2 * np.pi * 10 * t)
    for onset_s in ON_S:
        found[:, np.abs(t - onset_s - 0.5) < 0.02] += 8e-5
    return found


def _raw(signal, first: int = 0):
    info = mne.create_info(NAMES, 512.0, "eeg")
    raw = mne.io.RawArray(signal.copy(), info, first_samp=first, verbose="ERROR")
    raw.set_meas_date(1577872800.25)
    return raw.set_annotations(mne.Annotations(ON_S + raw.first_time, 0.2, ["go"] * len(ON_S),
                                               orig_time=raw.info["meas_date"]))


@pytest.mark.parametrize("name", ["first_raw.fif", "crop_raw.fif", "nodate_raw.fif", "a.edf",
                                  "crop.edf", "a.bdf", "a.vhdr", "a.set"])
def test_cases_windows_at_events_are_those_of_mne(tmp_path, save, signal, name):
    raw = _raw(signal, 0 if name.startswith("a.") or name.endswith("edf") else 778)
    if name.startswith("nodate"):
        raw.set_meas_date(None)
    if name.startswith(("crop", "nodate")):
        raw.crop(3.0, 28.0, include_tmax=False)
    recording = readers.read(save(raw, tmp_path / name))
    found = labels.cuts(recording, LabelRule("event", mapping={"go": "go"}))
    done = standardize(recording, FIXED, onsets_s=found.onsets_s)

    theirs = raw.filter(1.0, 40.0, verbose="ERROR").resample(256, verbose="ERROR")
    events, _ = mne.events_from_annotations(theirs, verbose="ERROR")
    epochs = mne.Epochs(theirs, events, tmin=0, tmax=1 - 1 / 256, baseline=None, preload=True,
                        verbose="ERROR").get_data(verbose="ERROR")
    assert len(done) == len(epochs) == 4
    for ours, other in zip(done, epochs, strict=True):
        assert np.corrcoef(ours.ravel(), other.ravel())[0, 1] > 0.998


def _disguised(signal, kind: str, save, folder):
    raw = _raw(signal, 5000 if kind == "first" else 0)
    renamed = {"capitals": lambda name: f"{name.upper()}-REF", "dots": lambda name: f"{name}..",
               "prefix": lambda name: f"EEG {name}",
               "new": lambda name: {"T3": "T7", "T4": "T8"}.get(name, name)}
    if kind in renamed:
        raw.rename_channels({name: renamed[kind](name) for name in NAMES})
    if kind == "order":
        raw.pick([NAMES[row] for row in np.random.default_rng(1).permutation(12)])
    if kind == "ecg":
        extra = mne.io.RawArray(1e-3 * np.ones((1, raw.n_times)), mne.create_info(["ECG"], 512.0,
                                "eeg"), verbose="ERROR")
        raw.add_channels([extra], force_update_info=True)
    ending = kind if kind.startswith(".") else "_raw.fif"
    return readers.read(save(raw, folder / f"a{ending}"))


@pytest.mark.parametrize("kind", ["order", "capitals", "dots", "prefix", "new", "ecg", "first",
                                  ".edf", ".bdf", ".vhdr", ".set"])
def test_cases_every_disguise_of_a_recording_gives_its_windows(tmp_path, save, signal, kind):
    contract = InputContract(window_s=5.0)
    plain = standardize(readers.from_raw(_raw(signal)), contract)
    other = standardize(_disguised(signal, kind, save, tmp_path), contract)
    rows = other.sensors.rows(plain.sensors.names)
    assert len(other.sensors) == 12
    assert np.allclose(other.sensors.position[rows], plain.sensors.position, atol=1e-4)
    assert np.allclose(other.windows[:, rows], plain.windows, atol=0.02 if "." in kind else 1e-4)
