"""Simulated recordings in the place of real ones, for a checkout without the folder of data: the
same files, formats, channels, events and people, so that the same tests run on either.

Signals are sources of 1/f spectra and an alpha rhythm at the back of a head; nothing in them was
taken from the real recordings.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

EEGMAT = "Fp1 Fp2 F3 F4 F7 F8 T7 T8 C3 C4 P7 P8 P3 P4 O1 O2 Fz Cz Pz"
OLD = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}  # as the amplifier names them
# Age and sex of each person of eegmat.
PEOPLE = "21F 18F 19F 17F 17F 16F 18M 18F 26M 16F 17F 18F 17F 24M 17F 17F 17F 17F 17F 22M"


def brain(names: Sequence[str], n_times: int, sfreq: float, band_hz: tuple[float, float],
          alpha: float, seed: int) -> np.ndarray:
    """Microvolts [channel, time]; alpha: amplitude of the rhythm beside everything else."""
    import mne

    rng = np.random.default_rng(seed)
    montage = mne.channels.make_standard_montage("colin27_1005").get_positions()["ch_pos"]
    place = np.array([montage[name] for name in names])
    place = place / np.linalg.norm(place, axis=1, keepdims=True)
    source = rng.standard_normal((16, 3)) * [1, 1, 0.6] + [0, 0, 0.4]
    source = np.concatenate([[[0, -0.9, 0.4]], source])
    source /= np.linalg.norm(source, axis=1, keepdims=True)
    mixing = np.exp(-np.square(place[:, None] - source).sum(axis=2) / 0.5)  # it spreads 4 cm
    frequency = np.fft.rfftfreq(n_times, 1 / sfreq)
    inside = (frequency >= band_hz[0]) & (frequency <= band_hz[1])
    amplitude = np.where(inside, 1 / np.maximum(frequency, 0.5), 0)
    rhythm = inside * np.exp(-np.square(frequency - 10))
    shape = np.stack([rhythm] + [amplitude] * 16)
    waves = np.fft.irfft(shape * np.fft.rfft(rng.standard_normal((17, n_times)), axis=1), n_times)
    waves /= waves.std(axis=1, keepdims=True)
    waves[0] *= alpha
    noise = np.fft.irfft(inside * np.fft.rfft(rng.standard_normal((len(names), n_times)), axis=1),
                         n_times)
    return 12 * (mixing @ waves) + 0.5 * noise / noise.std()


def write_edf(path: Path, signal: np.ndarray, sfreq: float, labels: list[str], prefilter: str,
              events: list[tuple[float, float, str]]) -> None:
    from edfio import Edf, EdfAnnotation, EdfSignal

    path.parent.mkdir(parents=True, exist_ok=True)
    signals = [EdfSignal(row, sfreq, label=label, physical_dimension="uV",
                         physical_range=(-500, 500), prefiltering=prefilter)
               for row, label in zip(signal.clip(-499, 499), labels, strict=True)]
    Edf(signals, data_record_duration=1,
        annotations=[EdfAnnotation(*event) for event in events]).write(path)


def eegmat(folder: Path) -> None:
    """Rest and mental arithmetic of twenty people, as a BIDS folder: 19 electrodes at 500 Hz, the
    difference of the ears and an ECG."""
    folder.mkdir(parents=True)
    names, people = EEGMAT.split(), PEOPLE.split()
    (folder / "dataset_description.json").write_text(
        json.dumps({"Name": "simulated eegmat", "BIDSVersion": "1.9.0", "DatasetType": "raw"}))
    rows = [f"sub-{k:02d}\t{who[:2]}\t{who[2]}\t{k % 2}" for k, who in enumerate(people)]
    (folder / "participants.tsv").write_text(
        "\n".join(["participant_id\tage\tsex\tgood_counter", *rows, ""]))
    labels = [f"EEG {OLD.get(name, name)}" for name in names] + ["EEG A2-A1", "ECG ECG"]
    for person in range(len(people)):
        for task, seconds, alpha in (("rest", 90, 2.0), ("arithmetic", 62, 0.7)):
            signal = brain(names, 500 * seconds, 500.0, (0.5, 45.0), alpha, 2 * person + seconds)
            signal = np.concatenate([signal, signal[:2] - signal[2:4]])
            if task == "arithmetic":
                signal[:, -975:] = 0  # what fills the last block of the file
            stem = folder / f"sub-{person:02d}" / "eeg" / f"sub-{person:02d}_task-{task}_eeg"
            write_edf(stem.with_suffix(".edf"), signal, 500, labels,
                      "HP:0.500000Hz LP:45.000000Hz RF:50Hz", [])
            stem.with_suffix(".json").write_text(json.dumps(
                {"TaskName": task, "SamplingFrequency": 500, "PowerLineFrequency": 50,
                 "EEGReference": "interconnected ear electrodes"}))


def eegmmidb(folder: Path) -> None:
    """Eyes open, eyes closed, and six runs of imagined movement of one person: 64 electrodes at
    160 Hz, events in the file."""
    from neurofm.preprocessing.simulation.devices import EEG_64

    labels = [name.capitalize().ljust(4, ".") for name in EEG_64]
    for run, seconds in ((1, 61), (2, 60), *((run, 125) for run in range(4, 15, 2))):
        signal = brain(EEG_64, 160 * seconds, 160.0, (0.1, 79.0), 4.0 if run == 2 else 0.3, run)
        first = 1 if run in (4, 8) else 2  # which of T1 and T2 comes first, and so eight times
        events = [(0.0, float(seconds), "T0")] if run < 3 else [
            event for k in range(15) for event in (
                (8.3 * k, 4.2, "T0"), (8.3 * k + 4.2, 4.1, f"T{1 + (first - 1 + k) % 2}"))]
        write_edf(folder / f"S001R{run:02d}.edf", signal, 160, labels, "HP:0Hz LP:0Hz N:0Hz",
                  events)


MADE: dict[str, Callable[[Path], None]] = {"eegmat": eegmat, "eegmmidb": eegmmidb}
