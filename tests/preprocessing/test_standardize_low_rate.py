"""Recordings of slow or low-passed devices: upsampled, they are what the device recorded."""

import numpy as np
import pytest

from neurofm.data.contract import InputContract
from neurofm.preprocessing import quality, readers
from neurofm.preprocessing.standardize import ContractError, standardize
from neurofm.preprocessing.steps import band
from neurofm.preprocessing.streaming import CausalStandardizer

CONTRACT = InputContract(window_s=4.0)


def alike(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.fixture(scope="module")
def fast(make_raw):
    return make_raw(19, 24, 512.0)


@pytest.mark.parametrize("sfreq", [160.0, 128.0, 100.0])
def test_a_slow_device_gives_the_low_passed_signal(fast, sfreq):
    # Beyond its ends a signal is mirrored in its last sample, which is another one at each rate.
    contract, inner = CONTRACT.with_(highpass_hz=1.0), slice(1, -1)
    slow = fast.copy().resample(sfreq, npad=0, verbose="ERROR")  # else MNE shifts it a little
    made = standardize(slow, contract, lacking="accept")
    wide = slow.copy().resample(512, npad=0, verbose="ERROR")
    wanted = standardize(wide, contract, lacking="accept")
    assert made.windows.shape == (6, 19, 1024)
    assert alike(made.windows[inner], wanted.windows[inner]) > 0.999
    # As the fast recording below the slow one's end, nothing above it.
    whole = standardize(fast, contract)
    taper = np.hanning(1024)  # or the ends of a window leak
    power, full = (np.abs(np.fft.rfft(each.windows * taper, axis=2)) ** 2
                   for each in (made, whole))
    hz = np.fft.rfftfreq(1024, 1 / 256)
    assert power[..., hz > 0.51 * sfreq].sum() < 1e-3 * full[..., hz > 0.51 * sfreq].sum()
    edge = fast.copy().filter(None, 0.4 * sfreq, verbose="ERROR")
    same = slow.copy().filter(None, 0.4 * sfreq, verbose="ERROR")
    assert alike(*(standardize(each, contract, lacking="accept").windows[inner]
                   for each in (edge, same))) > 0.999
    assert made.quality["bads"] == {}


def test_refused_unless_accepted_and_said(fast):
    slow = fast.copy().resample(160, verbose="ERROR")
    filtered = fast.copy().filter(None, 45, verbose="ERROR")
    for raw, end, why in ((slow, 80, "sampled at 160 Hz"), (filtered, 45, "removed by filters")):
        with pytest.raises(ContractError, match=rf"ends at {end} Hz \({why}.*--lacking accept"):
            standardize(raw, CONTRACT)
        made = standardize(raw, CONTRACT, lacking="accept")
        assert band.end_hz(made.quality, CONTRACT) == end
        assert f"no signal at {end}–96 Hz: {why}" in "".join(quality.remarks(made.quality))


def test_the_lower_of_rate_and_filter_counts(fast):
    slow = fast.copy().resample(160, verbose="ERROR").filter(None, 30, verbose="ERROR")
    made = standardize(slow, CONTRACT, lacking="accept")
    assert made.quality["band_missing_hz"] == [[30.0, 96.0]]


def test_an_open_band_ends_with_the_rate(fast):
    slow = fast.copy().resample(160, verbose="ERROR")
    with pytest.raises(ContractError, match=r"up to 102\.4 Hz.*ends at 80 Hz"):
        standardize(slow, CONTRACT.with_(lowpass_hz=None))
    standardize(fast, CONTRACT.with_(lowpass_hz=None))


def test_a_stream_of_a_slow_device(fast):
    slow = readers.from_raw(fast.copy().resample(160, verbose="ERROR"))
    with pytest.raises(ContractError, match="ends at 80 Hz"):
        CausalStandardizer(slow, CONTRACT)
    live = CausalStandardizer(slow, CONTRACT, lacking="accept")
    windows = live.push(slow.signal)
    assert [window.signal.shape for window in windows] == [(19, 1024)] * len(windows)
    assert len(windows) >= 5
    assert any("80–96 Hz" in text for text in live.remarks)
    power = np.abs(np.fft.rfft(windows[2].signal, axis=1)) ** 2
    hz = np.fft.rfftfreq(1024, 1 / 256)
    assert power[:, hz > 90].mean() < 0.01 * power[:, (hz > 60) & (hz < 75)].mean()
    assert not windows[2].quality["bads"]


def test_a_corpus_of_two_devices(ingest, tmp_path, make_raw, save):
    save(make_raw(8, 12, 200.0, 1), tmp_path / "lab" / "fast_raw.fif")
    save(make_raw(8, 12, 100.0, 2), tmp_path / "lab" / "slow_raw.fif")
    words = ("--contract.sfreq=200", "--contract.lowpass_hz=80", "--contract.window_s=4")
    refused = ingest(tmp_path / "lab", *words, "--lacking=refuse")
    assert "ends at 50 Hz" in refused.failures["slow_raw.fif"]
    assert "--lacking accept" in refused.failures["slow_raw.fif"]
    # The option that was named, in the same folder: what was refused comes in.
    made = ingest(tmp_path / "lab", *words, "--lacking=accept")
    assert made.status == 0
    table = made.corpus.recordings.set_index("source")
    missing = {name: quality.from_text(text)["band_missing_hz"]
               for name, text in table["quality"].items()}
    assert missing == {"lab/fast_raw.fif": [], "lab/slow_raw.fif": [[50.0, 80.0]]}
    said = "no signal at 50–80 Hz: sampled at 100 Hz"
    assert f"lab/slow_raw.fif: {said}" in made.text
    assert said in (made.out / "quality.html").read_text()


def test_real_recordings(data):
    for path, end in (("eegmmidb/S001R02.edf", 80.0), ("eeglab_sample/eeglab_data.set", 64.0)):
        recording = readers.read(data / path)
        with pytest.raises(ContractError, match=f"ends at {end:g} Hz"):
            standardize(recording, CONTRACT)
        made = standardize(recording, CONTRACT, lacking="accept")
        assert band.end_hz(made.quality, CONTRACT) == end
        assert np.isfinite(made.windows[:2]).all()
        assert len(made.quality["bads"]) < 0.1 * recording.n_channels
