"""A stand-in for the archive of PhysioNet eegmat: its names of files and channels, its rate, its
two recordings a person; signals are simulated. Arithmetic takes half of the alpha rhythm away."""

from collections.abc import Iterable
from pathlib import Path

import mne
import numpy as np

CHANNELS = ("Fp1", "Fp2", "F3", "F4", "F7", "F8", "T3", "T4", "C3", "C4", "T5", "T6", "P3", "P4",
            "O1", "O2", "Fz", "Cz", "Pz")
SFREQ = 500.0


def make_archive(folder: Path, people: Iterable[int], seconds: float, seed: int = 0) -> Path:
    """SubjectNN_1.edf (rest) and SubjectNN_2.edf (arithmetic) of each."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [*(f"EEG {name}" for name in CHANNELS), "EEG A2-A1", "ECG ECG"]
    info = mne.create_info(names, SFREQ, [*["eeg"] * (len(names) - 1), "ecg"])
    behind = np.array([0.2 + 0.8 * (name[0] in "POT") for name in CHANNELS])
    for person in people:
        rng = np.random.default_rng((seed, person))
        alpha_hz = rng.uniform(9, 11)
        for number, strength in ((1, 1.0), (2, 0.5)):
            n = round(seconds * SFREQ)
            pink = np.fft.rfftfreq(n, 1 / SFREQ)
            shape = 1 / np.maximum(pink, 1.0)
            noise = np.fft.irfft(shape * np.fft.rfft(rng.standard_normal((len(names), n))), n)
            signal = 8e-6 * noise / noise.std()
            wave = np.sin(2 * np.pi * alpha_hz * np.arange(n) / SFREQ + rng.uniform(0, 6))
            signal[: len(CHANNELS)] += 8e-6 * strength * behind[:, None] * wave
            raw = mne.io.RawArray(signal, info, verbose="ERROR")
            raw.export(folder / f"Subject{person:02d}_{number}.edf", verbose="ERROR")
    return folder
