"""Devices that record simulated brains: sensors, sampling rate, noise. One entry a device.

EEG caps are 10-20 and 10-10 selections of MNE's template positions. Helmets are coils on an
ellipsoid around the head, with coil definitions that MNE knows (point by point in `coil_def.dat`).
Positions in the files are those a laboratory would know: the template for a cap (nobody digitized
it), the measured place of the head in the helmet for MEG.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

EEG_19 = (
    "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz",
    "P4", "P8", "O1", "O2",
)  # fmt: skip
EEG_32 = (
    "Fp1", "Fp2", "AF3", "AF4", "F7", "F3", "Fz", "F4", "F8", "FC5", "FC1", "FC2", "FC6", "T7",
    "C3", "Cz", "C4", "T8", "CP5", "CP1", "CP2", "CP6", "P7", "P3", "Pz", "P4", "P8", "PO3", "PO4",
    "O1", "Oz", "O2",
)  # fmt: skip
EEG_64 = (
    "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "C5", "C3", "C1", "Cz", "C2", "C4", "C6",
    "CP5", "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "Fp1", "Fpz", "Fp2", "AF7", "AF3", "AFz",
    "AF4", "AF8", "F7", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "F8", "FT7", "FT8", "T7", "T8",
    "T9", "T10", "TP7", "TP8", "P7", "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "P8", "PO7", "PO3",
    "POz", "PO4", "PO8", "O1", "Oz", "O2", "Iz",
)  # fmt: skip


@dataclass(frozen=True)
class Device:
    """What a device is."""

    # sampling rate, Hz; 250 at least, so that the usual band of 0.1–96 Hz is in the files
    sfreq: float
    # () → mne.Info with positions (EEG: head frame; MEG: device frame, without the place of the
    # head, which `record` adds)
    make_info: Callable[[], object]
    # white noise of a sensor in its unit / √Hz, electrode and muscle included; noise_corner_hz:
    # frequency below which 1/f noise exceeds it
    noise_density: float
    noise_corner_hz: float
    line: float  # amplitude of 50 Hz at a typical sensor, in its unit
    datatype: str  # folder and suffix in the archive, "eeg" or "meg"


def cap(names: tuple[str, ...], sfreq: float):
    """mne.Info of an EEG cap with 10-05 names at the template's positions (head frame)."""
    import mne

    known = mne.channels.get_builtin_montages()
    montage = "colin27_1005" if "colin27_1005" in known else "standard_1005"
    return mne.create_info(list(names), sfreq, "eeg").set_montage(montage)


def helmet(places: int, sfreq: float, coil: int, kind: str, per_place: int = 1):
    """mne.Info of coils at `places` points of a helmet, in device coordinates.

    coil: FIFF coil type. kind: MNE channel type "mag" or "grad". per_place 2 puts a pair of planar
    gradiometers at each point, the second turned by 90 degrees.
    """
    import mne

    center, outwards = _helmet_points(places)
    names, locations = [], []
    for i, (place, normal) in enumerate(zip(center, outwards, strict=True)):
        across = np.cross([0.0, 1.0, 0.0], normal)
        across /= np.linalg.norm(across)
        along = np.cross(normal, across)
        for turn in range(per_place):
            x, y = ((across, along), (along, -across))[turn]
            names.append(f"MEG {i + 1:03d}{turn + 1}")
            locations.append(np.concatenate([place, x, y, normal]))
    info = mne.create_info(names, sfreq, kind)
    for ch, location in zip(info["chs"], locations, strict=True):
        ch["loc"], ch["coil_type"] = location, coil
    with info._unlock():  # nasion and ears of the template, for whoever aligns a head model
        info["dig"] = cap(("Cz",), sfreq)["dig"][:3]
    return info


def _helmet_points(n: int) -> tuple[np.ndarray, np.ndarray]:
    """n points (meters) and outward normals, a spiral on an ellipsoid open below."""
    axes = np.array([0.117, 0.122, 0.118])
    height = 1 - (np.arange(n) + 0.5) / n * 1.45  # down to 0.45 below the equator
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    ring = np.sqrt(1 - height**2)
    sphere = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1)
    normal = sphere / axes
    return sphere * axes, normal / np.linalg.norm(normal, axis=1, keepdims=True)


VV_MAG_T3, VV_PLANAR_T1, CTF_GRAD = 3024, 3012, 5001  # FIFF coil types

DEVICES: dict[str, Device] = {
    "eeg19": Device(500.0, lambda: cap(EEG_19, 500.0), 0.3e-6, 2.0, 1.5e-6, "eeg"),
    "eeg32": Device(400.0, lambda: cap(EEG_32, 400.0), 0.3e-6, 2.0, 1.5e-6, "eeg"),
    "eeg64": Device(250.0, lambda: cap(EEG_64, 250.0), 0.3e-6, 2.0, 1.5e-6, "eeg"),
    "mag102": Device(
        300.0, lambda: helmet(102, 300.0, VV_MAG_T3, "mag"), 12e-15, 2.0, 50e-15, "meg"
    ),
    "axial100": Device(
        300.0, lambda: helmet(100, 300.0, CTF_GRAD, "mag"), 10e-15, 2.0, 50e-15, "meg"
    ),
    "planar102": Device(
        300.0, lambda: helmet(51, 300.0, VV_PLANAR_T1, "grad", 2), 2.5e-13, 2.0, 1e-12, "meg"
    ),
}
