"""A recording of somebody with the planted effect, and `neurofm decode` as it is typed."""

import mne
import numpy as np

from neurofm import cli
from tests.support.planted import SFREQ, cap, windows_of


def save_raw(
    path, n_windows: int = 8, sfreq: float = SFREQ, kind: str = "eeg", seed: int = 0, labels=None
):
    """A FIF file of 16 electrodes with events, in volts. labels: of windows, else by turns."""
    rng = np.random.default_rng(seed)
    labels = labels or ["left", "right"] * (n_windows // 2)
    n_windows = len(labels)
    signal = np.concatenate(list(windows_of(rng, cap(), labels, 0.9)), axis=1)
    sensors = cap()
    info = mne.create_info(list(sensors.names), sfreq, kind)
    if kind == "eeg":
        places = dict(zip(sensors.names, sensors.position.astype(float), strict=True))
        info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    raw = mne.io.RawArray(1e-5 * signal, info, verbose="ERROR")
    onset_s = 2.0 * SFREQ / sfreq * np.arange(n_windows)
    raw.set_annotations(mne.Annotations(onset_s, 0.0, labels))
    raw.save(path, overwrite=True, verbose="ERROR")
    return path


def decode(path, model, out, *words) -> int:
    return cli.main(["decode", str(path), f"--model={model}", f"--out={out}", *words])
