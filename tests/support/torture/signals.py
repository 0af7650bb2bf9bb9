"""What the recordings of the archive hold, and their formats written byte by byte."""

import struct
from functools import cache
from pathlib import Path

import numpy as np

from tests.support.stand_ins import brain

NAMES = ("F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2")
SFREQ, SECONDS = 200, 12


@cache
def microvolts(seconds: float = SECONDS, sfreq: float = SFREQ) -> np.ndarray:
    """[channel, time]"""
    return brain(NAMES, round(seconds * sfreq), sfreq, (0.5, 60.0), 2.0, 0)


def raw(signal: np.ndarray | None = None, names=NAMES, sfreq: float = SFREQ, kinds="eeg"):
    """`mne.io.RawArray`, in volts."""
    import mne

    info = mne.create_info(list(names), sfreq, kinds)
    return mne.io.RawArray(1e-6 * (microvolts() if signal is None else signal), info,
                           verbose="ERROR")


def epochs():
    """The same in three pieces, as `mne.Epochs`."""
    import mne

    return mne.make_fixed_length_epochs(raw(), duration=4, preload=True, verbose="ERROR")


def slow():
    """The same samples at 60 Hz, as `mne.io.Raw`."""
    return raw(sfreq=60.0)


def joint():
    """The same with a cut in the middle, as `mne.io.Raw`."""
    import mne

    from neurofm.preprocessing.segments import CUT

    return raw().set_annotations(mne.Annotations([SECONDS / 2], [0], [CUT]))


def edf(
    path: Path, signal: np.ndarray | None = None, labels=NAMES, *, sfreq: int = SFREQ,
    n_records: str = "", record_s: str = "1", n_signals: str = "", digital=(-32768, 32767),
    physical=(-500, 500), reserved: str = "", annotations: list[bytes] | None = None,
    bdf: bool = False,
) -> Path:
    """EDF or BDF with any header. annotations: bytes of each record."""
    signal = microvolts() if signal is None else signal
    if bdf:
        digital = (-(2**23), 2**23 - 1)
    n = signal.shape[1] // sfreq
    step = (physical[1] - physical[0]) / max(digital[1] - digital[0], 1)
    values = np.rint((signal - physical[0]) / (step or 1)).astype(np.int64) + digital[0]
    values = values.clip(*digital)[:, :n * sfreq].reshape(len(signal), n, sfreq)
    columns = [*labels, *["BDF Annotations" if bdf else "EDF Annotations"] * bool(annotations)]
    lengths = [sfreq] * len(labels) + [40] * bool(annotations)
    fields = [
        (16, columns), (80, [""] * len(columns)), (8, ["uV"] * len(columns)),
        (8, [physical[0]] * len(columns)), (8, [physical[1]] * len(columns)),
        (8, [digital[0]] * len(columns)), (8, [digital[1]] * len(columns)),
        (80, ["HP:0.5Hz LP:60Hz"] * len(columns)), (8, lengths), (32, [""] * len(columns))]
    head = (b"\xffBIOSEMI" if bdf else b"0       ") + _text(
        (80, "X X X X"), (80, "Startdate 01-JAN-2020 X X X"), (8, "01.01.20"), (8, "10.00.00"),
        (8, 256 * (len(columns) + 1)), (44, reserved), (8, n_records or n), (8, record_s),
        (4, n_signals or len(columns)))
    head += b"".join(_text(*((width, value) for value in row)) for width, row in fields)
    width = 3 if bdf else 2
    body = b"".join(
        _integers(values[:, record], width)
        + (annotations[record].ljust(40 * width, b"\0") if annotations else b"")
        for record in range(n))
    path.write_bytes(head + body)
    return path


def _text(*fields: tuple[int, object]) -> bytes:
    return b"".join(str(value).ljust(width).encode("latin-1")[:width] for width, value in fields)


def _integers(values: np.ndarray, width: int) -> bytes:
    four = np.ascontiguousarray(values, dtype="<i4").view(np.uint8).reshape(-1, 4)
    return four[:, :width].tobytes()


def onsets(gap_s: float = 0.0, text: bytes = b"") -> list[bytes]:
    """Annotations of the records of a recording: from the seventh on, `gap_s` later."""
    return [b"+%d\x14\x14\0" % (k + (gap_s if k >= 6 else 0))
            + (b"+2\x14" + text + b"\x14\0" if text and not k else b"")
            for k in range(SECONDS)]


def brainvision(
    path: Path, signal: np.ndarray | None = None, *, sfreq: float = SFREQ, binary: str = "",
    markers: str = "Mk1=New Segment,,1,1,0\nMk2=Stimulus,S  1,401,1,0\n", orientation="MULTIPLEXED",
    n_channels: int | None = None, data_format: str = "BINARY", **said: str,
) -> Path:
    """Header, markers and signal beside each other; said: lines of the header to change."""
    signal = microvolts() if signal is None else signal
    interval_us = said.get("SamplingInterval", f"{1e6 / sfreq:g}")
    channels = "".join(f"Ch{i}={name},,1,µV\n" for i, name in enumerate(NAMES, start=1))
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={binary or path.stem + '.eeg'}\nMarkerFile={path.stem}.vmrk\n"
        f"DataFormat={data_format}\nDataOrientation={orientation}\n"
        f"NumberOfChannels={len(NAMES) if n_channels is None else n_channels}\n"
        f"SamplingInterval={interval_us}\n\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n\n"
        f"[Channel Infos]\n{channels}", encoding="utf-8")
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.stem}.eeg\n\n[Marker Infos]\n{markers}", encoding="utf-8")
    stored = signal.T if orientation == "MULTIPLEXED" else signal
    path.with_suffix(".eeg").write_bytes(np.ascontiguousarray(stored, dtype="<f4").tobytes())
    return path


def eeglab(path: Path, *, data: object = None, trials: int = 1, **said: object) -> Path:
    """A .set as EEGLAB writes it; data: the signal (µV) or the name of its .fdt."""
    from scipy.io import savemat

    savemat(path, {"EEG": eeglab_fields(data, trials) | said}, appendmat=False, oned_as="row")
    return path


def eeglab_fields(data: object, trials: int = 1) -> dict:
    signal = microvolts() if data is None else data
    n_times = microvolts().shape[1] // trials
    if trials > 1:
        signal = microvolts().reshape(len(NAMES), trials, n_times).transpose(0, 2, 1)
    places = [(name, np.nan, np.nan, np.nan) for name in NAMES]
    events: np.ndarray = np.array([])
    epochs: np.ndarray = np.array([])
    if trials > 1:
        events = np.array([("go", 1 + i * n_times, 0.0, i + 1) for i in range(trials)],
                          dtype=[(key, "O") for key in ("type", "latency", "duration", "epoch")])
        epochs = np.array([(i + 1, "go", 0.0) for i in range(trials)],
                          dtype=[(key, "O") for key in ("event", "eventtype", "eventlatency")])
    return {
        "setname": "x", "nbchan": len(NAMES), "trials": trials, "pnts": n_times,
        "srate": float(SFREQ), "xmin": 0.0, "xmax": (n_times - 1) / SFREQ,
        "times": np.arange(n_times) * 1000 / SFREQ, "data": signal,
        "chanlocs": np.array(places, dtype=[(key, "O") for key in ("labels", "X", "Y", "Z")]),
        "event": events, "epoch": epochs, "icawinv": np.array([]), "icaweights": np.array([]),
        "icasphere": np.array([]), "ref": "common", "chaninfo": {"nosedir": "+X"}, "history": "",
        "etc": {}}


def egi(path: Path) -> Path:
    """EGI's simple binary, version 4 (floats), of channels E1 to E8."""
    signal = microvolts()
    head = struct.pack(">ihhhhhhihhhhihh", 4, 2020, 1, 1, 10, 0, 0, 0, SFREQ, len(signal), 1, 0,
                       0, 0, 0)
    path.write_bytes(head + np.ascontiguousarray(signal.T, dtype=">f4").tobytes())
    return path


def cut(path: Path, share: float = 0.5, less: int = 0) -> Path:
    """The file without its end."""
    whole = path.read_bytes()
    path.write_bytes(whole[:int(share * len(whole)) - less])
    return path
