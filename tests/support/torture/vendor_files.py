"""GDF, Neuroscan CNT, KIT and SNIRF, written byte by byte: MNE reads them and writes none.

GDF: Schlögl 2006, arXiv:cs/0608052 (2.20), and version 1.25 before it. CNT: paulbourke.net,
dataformats/eeg. KIT: as MNE reads it. SNIRF: fNIRS/snirf, version 1.1.
"""

import struct
from pathlib import Path

import numpy as np

from .signals import NAMES, SFREQ, microvolts

_STEP = 0.05  # microvolts of one digit
_FULL = 32767
_EVENTS = ((21, 769), (141, 770))  # sample (from 1), code


def _digits(signal: np.ndarray | None) -> np.ndarray:
    held = microvolts() if signal is None else signal
    return np.rint(held / _STEP).clip(-_FULL, _FULL).astype("<i2")


def _names(width: int) -> bytes:
    return b"".join(name.encode().ljust(width, b"\0") for name in NAMES)


def _each(code: str, *values) -> bytes:
    """The values for the first channel, for the second …"""
    return struct.pack(f"<{code}", *values) * len(NAMES)


def _records(digits: np.ndarray) -> tuple[int, bytes]:
    """(number, content) of records of a second, or of one that is shorter."""
    length = min(SFREQ, digits.shape[1])
    n = digits.shape[1] // length
    held = digits[:, :n * length].reshape(len(digits), n, length)
    return n, np.ascontiguousarray(held.swapaxes(0, 1)).tobytes()


def gdf(path: Path, signal: np.ndarray | None = None) -> Path:
    """Version 2.20, with a table of events."""
    digits, n_names = _digits(signal), len(NAMES)
    n, body = _records(digits)
    length = min(SFREQ, digits.shape[1])
    full = _FULL * _STEP
    head = b"GDF 2.20" + b"X X".ljust(66) + bytes(14) + b"a".ljust(64) + bytes(32)
    head += struct.pack("<H", 1 + n_names) + bytes(50)
    head += struct.pack("<qIIHH", n, length, SFREQ, n_names, 0)
    head += _names(16) + bytes(86 * n_names) + _each("H", 4275)
    head += b"".join(_each("d", value) for value in (-full, full, -_FULL, _FULL))
    head += bytes(68 * n_names) + _each("f", 60.0) + _each("f", 0.5) + _each("f", 50.0)
    head += _each("i", length) + _each("i", 3) + bytes(32 * n_names)
    table = b"\x01" + struct.pack("<I", len(_EVENTS))[:3] + struct.pack("<f", SFREQ)
    path.write_bytes(head + body + table + _codes())
    return path


def gdf_1(path: Path, signal: np.ndarray | None = None) -> Path:
    """Version 1.25, with a table of events."""
    digits, n_names = _digits(signal), len(NAMES)
    n, body = _records(digits)
    length = min(SFREQ, digits.shape[1])
    full = int(_FULL * _STEP)
    head = b"GDF 1.25" + b"X X".ljust(80) + b"a".ljust(80) + b"2020010110000000"
    head += struct.pack("<q", 256 * (1 + n_names)) + bytes(44)
    head += struct.pack("<qIII", n, length, SFREQ, n_names)
    head += _names(16) + bytes(80 * n_names) + b"uV      " * n_names
    head += _each("d", -full) + _each("d", full)
    head += _each("q", round(-full / _STEP)) + _each("q", round(full / _STEP))
    head += b"HP:0.5Hz LP:60Hz".ljust(80) * n_names
    head += _each("i", length) + _each("i", 3) + bytes(32 * n_names)
    table = b"\x01" + struct.pack("<I", SFREQ)[:3] + struct.pack("<I", len(_EVENTS))
    path.write_bytes(head + body + table + _codes())
    return path


def _codes() -> bytes:
    places, codes = zip(*_EVENTS, strict=True)
    return struct.pack(f"<{len(places)}I", *places) + struct.pack(f"<{len(codes)}H", *codes)


def cnt(path: Path, signal: np.ndarray | None = None) -> Path:
    """Of 16 bits, with two events."""
    digits = _digits(signal)
    begin = 900 + 75 * len(NAMES)
    end = begin + digits.nbytes
    head = bytearray(begin)
    head[:12] = b"Version 3.0\0"
    head[225:247] = b"01/01/20\0\x0010:00:00\0\0\0\0"
    struct.pack_into("<H", head, 370, len(NAMES))
    struct.pack_into("<H", head, 376, SFREQ)
    struct.pack_into("<i", head, 864, digits.shape[1])
    struct.pack_into("<ifi", head, 886, end, digits.shape[1] / SFREQ, 0)
    for index, name in enumerate(NAMES):
        at = 900 + 75 * index
        head[at:at + len(name)] = name.encode()
        angle = 2 * np.pi * index / len(NAMES)
        struct.pack_into("<ff", head, at + 19, 300 + 150 * np.cos(angle), 200 + 150 * np.sin(angle))
        struct.pack_into("<f", head, at + 59, 204.8 * _STEP)  # sensitivity
        struct.pack_into("<f", head, at + 71, 1.0)  # calibration
    events = b"".join(struct.pack("<HBci", code, 0, b"\0",
                                  begin + 2 * len(NAMES) * sample) for sample, code in _EVENTS)
    path.write_bytes(bytes(head) + np.ascontiguousarray(digits.T).tobytes()
                     + struct.pack("<Bii", 1, len(events), 0) + events)
    return path


def kit(path: Path, n_times: int = 200) -> Path:
    """Eight axial gradiometers and eight trigger channels; the head's place was measured."""
    rng = np.random.default_rng(0)
    n_meg, n_trigger, channel_bytes, n_dirs = 8, 8, 256, 30
    n_channels = n_meg + n_trigger
    parts: dict[int, tuple[bytes, int, int]] = {}  # index → content, size of one, count
    parts[1] = (struct.pack("<3i", 2, 4, 34) + b"KIT".ljust(128, b"\0") + b"MEG".ljust(128, b"\0")
                + struct.pack("<i", n_channels) + bytes(256) + struct.pack("<2i", 1577872800, 0)
                + bytes(12) + struct.pack("<i", 0) + bytes(12) + struct.pack("<i", 100) + bytes(12)
                + struct.pack("<i", 0) + bytes(12) + struct.pack("<i", 0) + bytes(116)
                + struct.pack("<d3i", 10.0, 0, 16, 16), 1, 1)
    channels, seen = b"", 0
    for index in range(n_channels):
        if index < n_meg:
            theta, phi = np.radians(30 + 5 * index), 2 * np.pi * index / n_meg
            normal = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi),
                               np.cos(theta)])
            one = struct.pack("<i5d", 2, *(0.11 * normal), np.degrees(theta), np.degrees(phi))
        else:
            seen += 1
            one = struct.pack("<3i", -1, seen, 0)
        channels += one.ljust(channel_bytes, b"\0")
    parts[4] = channels, channel_bytes, n_channels
    parts[5] = struct.pack("<2d", 0.0, 1e-9) * n_channels, 16, n_channels
    parts[7] = struct.pack("<i", 0x00030000), 4, 1
    parts[8] = struct.pack("<id2i", 1, SFREQ, n_times, n_times), 20, 1
    signal = rng.normal(0, 300, (n_times, n_channels)).astype("<i2")
    signal[:, n_meg:] = 0
    signal[n_times // 2:n_times // 2 + 10, n_meg] = 20000
    parts[9] = signal.tobytes(), 2 * n_channels, n_times
    places = {"fidnz": (0.1, 0, 0), "fidt9": (0, 0.08, 0), "fidt10": (0, -0.08, 0),
              "HPI_1": (0.09, 0, 0.05), "HPI_2": (0.04, 0.06, 0.06), "HPI_3": (0.04, -0.06, 0.06),
              "HPI_4": (0.08, 0.03, 0.06), "HPI_5": (0.08, -0.03, 0.06)}
    parts[26] = (b"".join(name.encode().ljust(8, b"\0") + struct.pack("<3d", *place)
                          for name, place in places.items()), 32, len(places))
    coils = [place for name, place in places.items() if name.startswith("HPI")]
    parts[12] = (struct.pack("<i", 1) + bytes(256) + struct.pack("<i", len(coils)) + b"".join(
        struct.pack("<4i6d", 1, 1, 1, 1, 0, 0, 0, x - 0.01, y, z - 0.04) for x, y, z in coils)
        + bytes(256), 1, 1)
    listed, body, at = b"", b"", 16 * n_dirs
    for index in range(n_dirs):
        content, size, count = parts.get(index, (b"", 0, 0))
        where, count = (0, n_dirs) if index == 0 else (at + len(body), count)
        listed += struct.pack("<I3i", where, size, count, count)
        body += content
    path.write_bytes(listed + body)
    return path


def snirf(path: Path) -> Path:
    """Light through two channels: no EEG, so it is refused by name."""
    import h5py

    signal = 1 + 0.01 * np.random.default_rng(0).normal(size=(100, 4))
    with h5py.File(path, "w") as file:
        file["formatVersion"] = "1.1"
        nirs = file.create_group("nirs")
        nirs["data1/dataTimeSeries"], nirs["data1/time"] = signal, np.arange(100) / 10
        for index in range(4):
            one = nirs.create_group(f"data1/measurementList{index + 1}")
            for key, value in {"sourceIndex": 1, "detectorIndex": 1 + index // 2,
                               "wavelengthIndex": 1 + index % 2, "dataType": 1,
                               "dataTypeIndex": 1}.items():
                one[key] = np.int32(value)
        nirs["probe/wavelengths"] = [760.0, 850.0]
        nirs["probe/sourcePos3D"] = [[0.0, 0.0, 0.0]]
        nirs["probe/detectorPos3D"] = [[0.03, 0.0, 0.0], [0.0, 0.03, 0.0]]
        for key, value in {"SubjectID": "1", "MeasurementDate": "2020-01-01",
                           "MeasurementTime": "10:00:00Z", "LengthUnit": "m", "TimeUnit": "s",
                           "FrequencyUnit": "Hz"}.items():
            nirs[f"metaDataTags/{key}"] = value
    return path
