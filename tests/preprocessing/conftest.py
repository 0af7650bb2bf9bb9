"""Signals simulated for these tests, and an ingest run as a person would run it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

CAP = ["Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz",
       "P4", "P8", "O1", "O2", "Oz", "FC1", "FC2", "CP1", "CP2", "FC5", "FC6", "CP5", "CP6", "AF3",
       "AF4", "PO3", "PO4"]


def brain(n_channels: int, n_times: int, sfreq: float, seed: int = 0) -> np.ndarray:
    """Volts [channel, time]: sources with 1/f spectra, mixed, and a little noise of each sensor."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal((8, n_times)), axis=1)
    spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(n_times, 1 / sfreq), 1.0))
    sources = np.fft.irfft(spectrum, n_times, axis=1)
    mixed = random.standard_normal((n_channels, 8)) @ (sources / sources.std())
    mixed += 0.5 * random.standard_normal((n_channels, n_times))
    return 20e-6 * mixed / mixed.std()


def _make_raw(n_channels: int = 19, seconds: float = 30.0, sfreq: float = 200.0, seed: int = 0):
    """EEG as an `mne.io.RawArray` without positions, with names of the 10-10 system."""
    import mne

    signal = brain(n_channels, round(seconds * sfreq), sfreq, seed)
    info = mne.create_info(CAP[:n_channels], sfreq, "eeg")
    return mne.io.RawArray(signal, info, verbose="ERROR")


def _save(raw, path: Path) -> Path:
    """Save in the format of the extension."""
    import mne

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".fif":
        raw.save(path, overwrite=True, verbose="ERROR")
    else:
        mne.export.export_raw(path, raw, overwrite=True, verbose="ERROR")
    return path


@pytest.fixture(scope="session")
def make_raw():
    """make_raw(n_channels, seconds, sfreq, seed) → EEG as `mne.io.RawArray`."""
    return _make_raw


@pytest.fixture(scope="session")
def save():
    """save(raw, path) → path, in the format of the extension."""
    return _save


@pytest.fixture(scope="session")
def quick() -> tuple[str, ...]:
    """Words for `ingest`: a contract that simulated recordings of some seconds at 200 Hz meet."""
    return ("--contract.sfreq", "100", "--contract.lowpass_hz", "40", "--contract.window_s", "4")


@dataclass
class Outcome:
    """What a run of ingest left behind."""

    status: int
    text: str
    out: Path

    @property
    def corpus(self):
        from neurofm.data.corpus import Corpus

        return Corpus.open(self.out)

    @property
    def failures(self) -> dict[str, str]:
        """Name of file → reason, from failures.tsv."""
        import pandas as pd

        table = pd.read_csv(self.out / "failures.tsv", sep="\t")
        return {Path(source).name: reason
                for source, reason in zip(table["source"], table["reason"], strict=True)}


@pytest.fixture
def ingest(tmp_path, capsys):
    """ingest(*words) runs `neurofm ingest` with them; --out is tmp_path/corpus unless given."""
    from neurofm.preprocessing.ingest import main

    def run(*words) -> Outcome:
        words = [str(word) for word in words]
        if "--out" not in words:
            words += ["--out", str(tmp_path / "corpus")]
        if "--workers" not in words:
            words += ["--workers", "2"]
        capsys.readouterr()
        status = main(words)
        return Outcome(status, capsys.readouterr().out, Path(words[words.index("--out") + 1]))

    return run


@pytest.fixture
def lab(tmp_path, make_raw, save):
    """A plain folder of six recordings, one a subject."""
    for i in range(6):
        save(make_raw(seed=i, seconds=12 + 2 * i), tmp_path / "lab" / f"p{i}_raw.fif")
    return tmp_path / "lab"
