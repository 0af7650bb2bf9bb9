"""Known sines and events, through the files of many programs and the command, into the corpus."""

import mne
import numpy as np
import pytest

NAMES = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "Cz"]
HZ = np.array([3, 5, 7, 9, 11, 13, 17, 19, 23, 29, 31.0])[:, None]
VOLT = np.linspace(10e-6, 30e-6, 11)[:, None]
GO, STOP = (20.25, 41.125), (30.5,)
FORMATS = (".edf", ".bdf", ".vhdr", ".set", "_raw.fif", "_raw.fif.gz")
# The sine itself, microvolts and seconds: no reference, no scale, no channel called bad.
WORDS = ("--contract.scale", "none", "--contract.reference", "none", "--contract.window_s", "4",
         "--contract.lowpass_hz", "80", "--contract.notch_hz", "[]", "--contract.bad_channels",
         "none", "--label.source", "event", "--label.mapping",
         '{"go": "GO", "stop": "STOP", "Comment/go": "GO", "Comment/stop": "STOP"}')


def _sines(sfreq: float):
    time = np.arange(int(70 * sfreq)) / sfreq
    raw = mne.io.RawArray(VOLT * np.sin(2 * np.pi * HZ * time),
                          mne.create_info(NAMES, sfreq, "eeg"), verbose="ERROR")
    raw.set_meas_date(1_600_000_000)
    raw.set_annotations(mne.Annotations([*GO, *STOP], 0.0, ["go", "go", "stop"]))
    return raw


@pytest.mark.parametrize("sfreq", [200.0, 256.0, 1000.0])
def test_amplitude_frequency_time_and_label_survive_every_format(tmp_path, ingest, sfreq):
    lab = tmp_path / "lab"
    lab.mkdir()
    for extension in FORMATS:
        path = lab / f"{extension.strip('_').replace('.', '')}{extension}"
        if ".fif" in extension:
            _sines(sfreq).save(path, verbose="ERROR")
        else:
            mne.export.export_raw(path, _sines(sfreq), verbose="ERROR")
    _sines(sfreq).crop(2.0).save(lab / "cropped_raw.fif", verbose="ERROR")
    corpus = ingest(lab, *WORDS).corpus
    assert len(corpus.recordings) == len(FORMATS) + 1
    assert len(corpus) == 3 * len(corpus.recordings)
    source = corpus.recordings["source"].to_numpy()[corpus.windows["recording"]]
    for window in range(len(corpus)):
        begin_s = corpus.windows["start_s"][window] + 2.0 * ("cropped" in source[window])
        onset_s = min(GO + STOP, key=lambda onset: abs(onset - begin_s))
        assert begin_s == pytest.approx(onset_s, abs=1e-6), source[window]
        assert corpus.windows["label"][window] == ("GO" if onset_s in GO else "STOP")
        time = begin_s + np.arange(1024) / 256
        rows = [corpus.layout(window).names.index(name) for name in NAMES]
        error = corpus.signal(window)[rows] - VOLT * np.sin(2 * np.pi * HZ * time)
        assert np.abs(error).max() < 0.1e-6, source[window]  # of 10 to 30 µV
