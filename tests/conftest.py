"""Shared fixtures: where the real recordings and the reference outputs lie."""

import os
from pathlib import Path

import pytest
import torch

# More threads than cores (several test processes, each with two) make everything ten times slower.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or min(2, os.cpu_count() or 1)))

ROOT = Path(__file__).resolve().parent.parent


def _folder(path: Path, what: str, variable: str) -> Path:
    if path.is_dir():
        return path
    reason = f"no {what} at {path}: set {variable} to the folder that holds it"
    if os.environ.get("NEUROFM_REQUIRE_SHARED") == "1":
        pytest.fail(f"{reason} (NEUROFM_REQUIRE_SHARED=1)")
    pytest.skip(reason)


def _shared() -> Path:
    return Path(os.environ.get("NEUROFM_SHARED") or ROOT.parent / "shared")


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real recordings (eegmat, eegmmidb, meg_readers, …)."""
    return _folder(_shared() / "data", "real recordings", "NEUROFM_SHARED")


@pytest.fixture(scope="session")
def golden():
    """golden(system) → folder of weights, inputs and outputs of that reference implementation.

    NEUROFM_GOLDEN may name such a folder itself, or the folder of those of several systems.
    """
    path = os.environ.get("NEUROFM_GOLDEN")

    def of(system: str) -> Path:
        folder = _folder(Path(path) if path else _shared() / "golden", "golden outputs",
                         "NEUROFM_GOLDEN")
        return folder / system if (folder / system).is_dir() else folder

    return of


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository, for `configs/`."""
    return ROOT
