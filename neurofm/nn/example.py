"""Made-up batches: noise with the spectrum of a brain, at electrodes, coils or regions that a
contract allows. Nobody's recording."""

from collections.abc import Sequence

import numpy as np

from ..data.batch import Batch, collate
from ..data.contract import Contract
from ..data.sensors import HEAD_CENTER_M, KINDS, Sensors
from .labram_channels import PLACES_MM

N_WINDOWS, N_VOLUMES, T_R = 2, 40, 2.0
_CAP = ("FP1", "FP2", "F7", "F3", "FZ", "F4", "F8", "T7", "C3", "CZ", "C4", "T8", "P7", "P3", "PZ",
        "P4", "P8", "O1", "O2")  # fmt: skip


def windows(
    contract: Contract, names: Sequence[str] = (), n_channels: int = 0, n_times: int = 0
) -> Batch:
    """Windows as the contract describes them; of fMRI, scans of `N_VOLUMES` volumes.

    names, n_channels, n_times: of the channels and samples that are wanted; none, 0 = whatever the
    contract allows.
    """
    kind = contract.held_kinds[0]
    sensors = layout(kind, tuple(names) or _numbered(kind, n_channels))
    n_times = n_times or contract.window_samples or N_VOLUMES
    return collate(noise(len(sensors), n_times), [sensors] * N_WINDOWS, contract.geometry,
                   t_r=contract.t_r([1 / T_R] * N_WINDOWS))


def layout(kind: str, names: tuple[str, ...] = ()) -> Sensors:
    """Electrodes (a cap of 19), coils around a head (24), or regions of a brain (24)."""
    if kind == "eeg":
        names = names or _CAP
        if all(name.upper() in PLACES_MM for name in names):
            place = np.array([PLACES_MM[name.upper()] for name in names], dtype=np.float32) / 1000
            return Sensors(names, np.zeros(len(names)), place, np.zeros((len(names), 3)))
    n = len(names) or 24
    k = np.arange(n)
    height, angle = 1 - (k + 0.5) / n, k * np.pi * (3 - np.sqrt(5))
    around = np.sqrt(1 - height**2)
    unit = np.stack([around * np.cos(angle), around * np.sin(angle), height], axis=1)
    radius = 0.06 if kind == "roi" else 0.11
    return Sensors(names or tuple(f"S{i}" for i in k), np.full(n, KINDS.index(kind)),
                   HEAD_CENTER_M + radius * unit, 0 * unit if kind in ("eeg", "roi") else unit)


def noise(n_channels: int, n_times: int) -> list[np.ndarray]:
    """float32 [channel, time] of each window, deviation 1, falling as 1/f."""
    rng = np.random.default_rng(0)
    frequency = np.maximum(np.arange(n_times // 2 + 1), 1)
    shape = (N_WINDOWS, n_channels, len(frequency), 2)
    signal = np.fft.irfft(rng.standard_normal(shape) @ [1, 1j] / frequency, n_times)
    signal /= signal.std(axis=(1, 2), keepdims=True)
    return [*signal.astype(np.float32)]


def _numbered(kind: str, n: int) -> tuple[str, ...]:
    return tuple(PLACES_MM)[:n] if kind == "eeg" else tuple(f"S{i}" for i in range(n))
