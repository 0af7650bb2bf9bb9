"""Packages that not every command needs, and the extra of neurofm that brings each."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

EXTRAS = {
    "SimpleITK": "anatomy", "flwr": "federated", "ray": "simulation", "h5py": "formats",
    "hmmlearn": "evaluate", "mne_lsl": "stream", "moabb": "moabb", "peft": "adapters",
    "pymatreader": "formats", "pyriemann": "evaluate", "tensorboard": "tensorboard",
    "xarray": "features", "zarr": "features",
}


class MissingError(ValueError):
    """A package of `EXTRAS` is not installed."""


def installed(package: str) -> bool:
    """Whether a package can be found; it is not imported."""
    return find_spec(package) is not None


def missing(package: str) -> str:
    """What to do where a package of `EXTRAS` is not installed, in words."""
    return (f"needs {package}, which is not installed: "
            f"pip install 'neurofm[{EXTRAS[package]}]'")


def need(package: str, purpose: str) -> ModuleType:
    """Import a package of `EXTRAS`.

    Parameters
    ----------
    package
        Name of a module of it, "hmmlearn.hmm".
    purpose
        What it is for; the error begins with it.

    Raises
    ------
    MissingError
        It is not installed; the message names the extra.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if (name := (error.name or "").partition(".")[0]) not in EXTRAS:
            raise
        raise MissingError(f"{purpose} {missing(name)}") from error


def hint(error: BaseException) -> str:
    """Where another library failed for want of a package of `EXTRAS`: what to do; else ""."""
    said = str(error).replace("matlab v7.3", "pymatreader")  # what MNE says of .set without it
    for package in EXTRAS:
        if package in said and not installed(package):
            return missing(package)
    return ""
