"""Reads *.toy: lines with the rate, the electrodes and the events (onset:label), then samples."""

import mne
import numpy as np

from neurofm.preprocessing.readers import ReadError, mne_raw

KIND = "recording"


def claims(path):
    return path.name.endswith(".toy")


def read(path, options):
    with open(path) as file:
        sfreq, names, events = file.readline(), file.readline().split(), file.readline().split()
        signal = np.loadtxt(file).T
    if not float(sfreq) > 0:
        raise ReadError(path, f"wanted a rate above 0 Hz, got {sfreq.strip()}")
    raw = mne.io.RawArray(signal, mne.create_info(names, float(sfreq), "eeg"), verbose="ERROR")
    onset_s, label = zip(*(event.split(":") for event in events), strict=True)
    raw.set_annotations(mne.Annotations([float(onset) for onset in onset_s], 0.0, label))
    return mne_raw.convert(raw, options, str(path))
