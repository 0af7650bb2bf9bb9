"""What a training asks of its machine: peak of arithmetic, memory, energy."""

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

_GB = 1e9
# Name of a GPU → dense bf16 TFLOP/s by its data sheet. The first name that fits counts.
PEAKS = {
    "B200": 2250.0, "GH200": 989.0, "H200": 989.0, "H100 PCIe": 756.0, "H100 NVL": 835.0,
    "H100": 989.0, "H800": 989.0, "A100": 312.0, "A800": 312.0, "L40S": 362.0, "A40": 149.7,
    "A30": 165.0, "A10G": 70.0, "A10": 125.0, "L40": 181.0, "L4": 121.0,
    "RTX 6000 Ada": 364.2, "RTX 4090": 165.2,
    "RTX 3090": 71.0, "MI300X": 1307.4, "MI250X": 383.0,
}
RAPL = Path("/sys/class/powercap")


def peak_flops(device: torch.device) -> float | None:
    """bf16 FLOP/s of one GPU; None where it is not known, as of CPUs."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((1e12 * peak for known, peak in PEAKS.items() if known in name), None)


def memory(device: torch.device) -> dict[str, float]:
    """GB: `memory_gb` at most allocated on the GPU since the last call, `reserved_gb` at most held
    by torch, `rss_gb` of the process in main memory."""
    found = {}
    if device.type == "cuda":
        found = {"memory_gb": torch.cuda.max_memory_allocated(device) / _GB,
                 "reserved_gb": torch.cuda.max_memory_reserved(device) / _GB}
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError, IndexError):  # Linux alone
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        found["rss_gb"] = pages * os.sysconf("SC_PAGE_SIZE") / _GB
    return found


class Energy:
    """Energy of this machine, from counters: NVML of the GPUs that are seen, RAPL of processors.

    what: names of the counters; "" where none can be read.
    """

    def __init__(self, rapl: Path = RAPL):
        self._counters: list[tuple[Callable[[], float], float]] = []  # (J, J where it wraps)
        names = []
        for read in _gpus():
            self._counters.append((read, float("inf")))
            names.append("GPUs (NVML)")
        for folder in sorted(rapl.glob("intel-rapl:*")) if rapl.is_dir() else []:
            if folder.name.count(":") != 1:
                continue  # a part of a package
            with contextlib.suppress(OSError, ValueError):
                wraps = int((folder / "max_energy_range_uj").read_text()) / 1e6
                self._counters.append((partial(_rapl_j, folder), wraps))
                names.append("processors (RAPL)")
        self._counters = [(read, wraps) for read, wraps in self._counters if _reads(read)]
        self.what = ", ".join(dict.fromkeys(names)) if self._counters else ""
        self._last = [read() for read, _ in self._counters]

    def since_wh(self) -> float | None:
        """Wh since the last call; None where nothing is measured."""
        if not self._counters:
            return None
        now = [read() for read, _ in self._counters]
        used = sum(b - a if b >= a else b + wraps - a
                   for (_, wraps), a, b in zip(self._counters, self._last, now, strict=True))
        self._last = now
        return used / 3600


def _reads(read: Callable[[], float]) -> bool:
    try:
        read()
    except Exception:  # NVML has errors of its own
        return False
    return True


def _rapl_j(folder: Path) -> float:
    return int((folder / "energy_uj").read_text()) / 1e6  # root alone, on most systems


def _gpus() -> list[Callable[[], float]]:
    """Counters of the GPUs, J, where nvidia-ml-py is installed."""
    if not torch.cuda.is_available():
        return []
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(k)
                   for k in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # not installed, no driver
        return []
    return [partial(_gpu_j, pynvml, handle) for handle in handles]


def _gpu_j(nvml: Any, handle: Any) -> float:
    return nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
