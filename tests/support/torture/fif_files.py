"""Kinds of FIF."""

from pathlib import Path

import numpy as np

from . import Kinds
from .signals import NAMES, cut, edf, epochs, microvolts, raw

KINDS = Kinds()
good, fails, passed = KINDS.good, KINDS.fails, KINDS.passed


def fif(path: Path, signal: np.ndarray | None = None, **words) -> Path:
    raw(signal, **words).save(path, verbose="ERROR")
    return path


@good()
def fif_plain(folder):
    return fif(folder / "rec_raw.fif")


@good()
def fif_gz(folder):
    return fif(folder / "rec_raw.fif.gz")


@good()
def fif_split(folder):
    _split(folder)
    return folder / "rec_raw.fif"


@good()
def fif_numbered(folder):
    fif(folder / "rest.fif", microvolts()[::-1].copy())
    return fif(folder / "rest-1.fif")


@good("epochs")
def fif_epochs(folder):
    epochs().save(folder / "rec-epo.fif", verbose="ERROR")
    return folder / "rec-epo.fif"


@good("seven")
def fif_a_nan_channel(folder):
    signal = microvolts().copy()
    signal[7] = np.nan
    return fif(folder / "rec_raw.fif", signal)


@fails("rec_raw-1.fif")
def fif_split_without_its_second(folder):
    _split(folder)
    (folder / "rec_raw-1.fif").unlink()
    return folder / "rec_raw.fif"


@fails("rec_raw-1.fif")
def fif_split_renamed(folder):
    _split(folder)
    for path in sorted(folder.iterdir()):
        path.rename(folder / path.name.replace("rec", "own"))
    return folder / "own_raw.fif"


@fails("truncated")
def fif_truncated(folder):
    return cut(fif(folder / "rec_raw.fif"))


@fails("truncated")
def fif_gz_truncated(folder):
    return cut(fif(folder / "rec_raw.fif.gz"))


@fails("flat")
def fif_flat(folder):
    return fif(folder / "rec_raw.fif", 0 * microvolts())


@fails("NaN")
def fif_nan(folder):
    return fif(folder / "rec_raw.fif", np.nan * microvolts())


@fails("infinite")
def fif_infinite(folder):
    return fif(folder / "rec_raw.fif", np.inf * microvolts())


@fails("1e6 times too large")
def fif_microvolts(folder):
    return fif(folder / "rec_raw.fif", 1e6 * microvolts())


@good("slow")
def fif_low_rate(folder):
    return fif(folder / "rec_raw.fif", sfreq=60.0)


@fails("no EEG or MEG channel")
def fif_triggers_alone(folder):
    return fif(folder / "rec_raw.fif", microvolts()[:1], names=("STI 014",), kinds="stim")


@fails("a position for every sensor")
def fif_unknown_names(folder):
    return fif(folder / "rec_raw.fif", names=[f"x{i}" for i in range(8)])


@fails("another format")
def fif_that_is_edf(folder):
    return edf(folder / "rec_raw.fif")


@fails("an average")
def fif_average(folder):
    return _average(folder / "rec-ave.fif")


@fails("average")
def fif_average_called_raw(folder):
    return _average(folder / "rec_raw.fif")


@fails("is an empty folder")
def fif_empty_folder(folder):
    (folder / "rec_raw.fif").mkdir()
    return folder / "rec_raw.fif"


@passed("-cov.fif")
def fif_covariance(folder):
    import mne

    mne.make_ad_hoc_cov(raw().info, verbose="ERROR").save(folder / "rec-cov.fif", verbose="ERROR")
    return folder / "rec-cov.fif"


@fails("holds a cov")
def fif_covariance_called_raw(folder):
    fif_covariance(folder).rename(folder / "rec_raw.fif")
    return folder / "rec_raw.fif"


@passed("-ica.fif")
def fif_ica(folder):
    (folder / "rec-ica.fif").write_bytes(fif(folder / "rec_raw.fif").read_bytes())
    (folder / "rec_raw.fif").unlink()
    return folder / "rec-ica.fif"


@passed("-fwd.fif")
def fif_forward(folder):
    (folder / "rec-fwd.fif").write_bytes(b"\0" * 99)
    return folder / "rec-fwd.fif"


def _split(folder: Path) -> None:
    """In parts of 2 MB, the least that MNE takes: most of it channels that are no EEG."""
    signal = np.concatenate([microvolts(), np.zeros((300, microvolts().shape[1]))])
    names = [*NAMES, *(f"M{i}" for i in range(300))]
    raw(signal, names, kinds=["eeg"] * 8 + ["misc"] * 300).save(
        folder / "rec_raw.fif", fmt="double", split_size="2MB", verbose="ERROR")


def _average(path: Path) -> Path:
    import mne

    made = mne.EvokedArray(1e-6 * microvolts(), raw().info, verbose="ERROR")
    mne.write_evokeds(path, made, on_mismatch="ignore", verbose="ERROR")
    return path
