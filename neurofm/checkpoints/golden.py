"""Golden outputs: what a checkpoint answers to a made-up recording, so that whoever loads it can
see that it still answers the same.

    golden.safetensors    the outputs; inputs are made anew from the contract

The inputs are noise with the spectrum of a brain at electrodes, coils or regions that the contract
allows: nobody's recording.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..data.batch import Batch, collate
from ..data.contract import EEG_MEG
from ..data.pair_batch import PairBatch
from ..data.sensors import HEAD_CENTRE_M, KINDS, Sensors
from ..nn.labram_channels import PLACES_MM

FILE = "golden.safetensors"
TOLERANCE = 1e-4  # of the largest output
_CAP = ("FP1", "FP2", "F7", "F3", "FZ", "F4", "F8", "T7", "C3", "CZ", "C4", "T8", "P7", "P3", "PZ",
        "P4", "P8", "O1", "O2")  # fmt: skip
_WINDOWS, _VOLUMES, _T_R = 2, 40, 2.0


class GoldenMismatch(ValueError):
    """A checkpoint does not answer as it did when it was published."""


@torch.no_grad()
def answers(model) -> dict[str, Tensor]:
    """Outputs of a model in evaluation mode on its made-up input."""
    model.eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole_scans = getattr(model, "reads_scans", False) and not getattr(
            model, "reads_volumes", False)
        batch = _pairs(model) if whole_scans else example(model)
        if hasattr(model, "encode"):
            tokens = model.encode(batch)
            return {"ids": getattr(tokens, "ids", tokens).contiguous()}
        if hasattr(model, "predict"):
            return {"predicted": model.predict(batch).contiguous()}
        return {"pooled": model.pooled(batch, model.config.pools[0]).contiguous()}


def save(model, folder: Path) -> None:
    save_file(answers(model), folder / FILE)


def check(model, folder: Path) -> None:
    """Raise GoldenMismatch where the model does not answer as the file says."""
    expected, found = load_file(folder / FILE), answers(model)
    if expected.keys() != found.keys():
        raise GoldenMismatch(f"{folder / FILE}: wanted {', '.join(sorted(expected))}, the model "
                             f"gives {', '.join(sorted(found))}")
    for name, value in expected.items():
        if value.shape != found[name].shape:
            raise GoldenMismatch(f"{folder / FILE}: {name} was {list(value.shape)}, is "
                                 f"{list(found[name].shape)}")
        off = (value.double() - found[name].double()).abs().max().item()
        if not off <= TOLERANCE * max(1.0, value.double().abs().max().item()):
            raise GoldenMismatch(
                f"{folder / FILE}: {name} is off by {off:.3g}; the weights are not those that were "
                f"published, or this machine computes otherwise (torch {torch.__version__})")


def sensors(kind: str, names: tuple[str, ...] = ()) -> Sensors:
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
                   HEAD_CENTRE_M + radius * unit, 0 * unit if kind in ("eeg", "roi") else unit)


def example(model) -> Batch:
    """A made-up batch that the model takes."""
    contract, config = model.contract, model.config
    kind = contract.held_kinds[0]
    names = (getattr(config, "ch_names", ()) or getattr(config, "channels", ()) or
             _numbered(kind, getattr(config, "n_channels", 0)))
    if contract.modality != EEG_MEG:
        layout = sensors("roi")
        signals = _noise(len(layout), _VOLUMES)
        return collate(signals, [layout] * _WINDOWS, contract.geometry, t_r=[_T_R] * _WINDOWS)
    layout = sensors(kind, tuple(names))
    n_times = getattr(config, "n_times", 0) or round(contract.window_s * contract.sfreq)
    return collate(_noise(len(layout), n_times), [layout] * _WINDOWS, contract.geometry)


def _pairs(model) -> PairBatch:
    layout = sensors(model.contract.kinds[0])
    n_times = round(_VOLUMES * _T_R * model.config.sfreq)
    plain = collate(_noise(len(layout), n_times), [layout] * _WINDOWS, model.contract.geometry)
    volume_s = (torch.arange(_VOLUMES) * _T_R + _T_R / 2).expand(_WINDOWS, -1).clone()
    target = torch.full((_WINDOWS, _VOLUMES, len(model.config.rois)), torch.nan)
    return PairBatch(plain.signal, plain.geometry, plain.kind, plain.valid,
                     torch.full((_WINDOWS,), n_times), volume_s, target)


def _numbered(kind: str, n: int) -> list[str]:
    return [*PLACES_MM][:n] if kind == "eeg" else [f"S{i}" for i in range(n)]


def _noise(n_channels: int, n_times: int) -> list[np.ndarray]:
    """float32 [channel, time] each, deviation 1, falling as 1/f."""
    rng = np.random.default_rng(0)
    frequency = np.maximum(np.arange(n_times // 2 + 1), 1)
    shape = (_WINDOWS, n_channels, len(frequency), 2)
    signal = np.fft.irfft(rng.standard_normal(shape) @ [1, 1j] / frequency, n_times)
    signal /= signal.std(axis=(1, 2), keepdims=True)
    return [*signal.astype(np.float32)]
