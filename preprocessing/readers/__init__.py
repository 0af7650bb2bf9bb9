"""Readers: one file a kind of source, each giving a `Recording`.

A reader module has

    KIND                  "recording", "array" (a plain array, which does not say what it holds),
                          "image" (of fMRI) or "volume" (a T1)
    claims(path) -> bool  whether files of this name are its own
    read(path, options) -> Recording

To add one: a file here and its name in `OWN`; or another package's module as an entry point in
the group `neurofm.readers`, which is asked for files that no reader here claims.
"""

import logging
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Literal

from neurofm import plugins, pointers
from neurofm.data.recording import Recording

from .. import bids, links, sealed_archive
from . import apart, hdf5, sizes
from .errors import ReadError, quiet, unreadable
from .options import ArrayTable, ImageTable, ReadOptions, VolumeTable

__all__ = ["ArrayTable", "ImageTable", "ReadError", "ReadOptions", "VolumeTable", "claims",
           "from_raw", "names", "read"]

GROUP = "neurofm.readers"
OWN = ("mne_raw", "cifti", "gifti", "t1", "nifti", "timeseries")
log = logging.getLogger(__name__)
_KINDS = ("recording", "array", "image", "volume")
_OPENED_GB = 1e6  # of a recording that a person has opened: it is as long as they meant


def names() -> list[str]:
    """Names of all readers, those of other packages too."""
    return [*OWN, *plugins.points(GROUP)]


def claims(
    path: str | Path, *, arrays: bool = True, images: bool = True, volumes: bool | None = None
) -> bool:
    """Whether some reader takes files of this name; plain arrays only if `arrays`, images of fMRI
    only if `images`. volumes: True = nothing but T1-weighted images, False = none of them."""
    if volumes:
        return _module("t1").takes(Path(path))
    reader = _reader(Path(path))
    if reader is None or (volumes is False and reader.KIND == "volume"):
        return False
    return {"array": arrays, "image": images}.get(reader.KIND, True)


def of_images(path: Path) -> ModuleType | None:
    """The reader of an image of fMRI; None where it is none."""
    found = _reader(path)
    return found if found and found.KIND == "image" else None


def is_array(suffix: str) -> bool:
    """Whether files of this extension are plain arrays, which do not say what they hold."""
    from . import timeseries

    return suffix.lower() in timeseries.EXTENSIONS


def read(
    path: str | Path,
    *,
    montage: str = "standard_1005",
    unknown_head: Literal["refuse", "helmet"] = "refuse",
    rename: dict[str, str] | None = None,
    metadata: str = "",
    arrays: ArrayTable | None = None,
    images: ImageTable | None = None,
    unit: Literal["", "V", "mV", "uV", "nV"] = "",
    encoding: str = "",
    max_recording_gb: float = 16.0,
    volumes: VolumeTable | None = None,
) -> Recording:
    """Read one recording from a file (or folder, if that is the format).

    Parameters
    ----------
    path
        File, or folder.
    montage
        MNE montage for electrodes without a position in the file.
    unknown_head
        MEG without a head position: "refuse", or "helmet" (assume a centered head).
    rename
        Channel name in the file → electrode name.
    metadata
        Column of MNE Epochs metadata that names the event of an epoch.
    arrays
        How to read plain arrays.
    images
        How to read fMRI images.
    unit
        Unit of the EEG values in the file, whatever its header says.
    encoding
        Encoding of annotations and sidecars that are not UTF-8; "" = latin-1.
    max_recording_gb
        Largest recording that is read, GB of 32-bit numbers.
    volumes
        How to read T1-weighted images. If given, any 3-D image is one; else those named so.

    Returns
    -------
    Recording
        In SI units; with its BIDS identity and sidecars where it lies in a BIDS folder.

    Raises
    ------
    ReadError
        A ValueError that names the file and the cause.
    """
    path = Path(path)
    sealed_archive.check(path)
    options = ReadOptions(montage, unknown_head, rename or {}, metadata,
                          arrays or ArrayTable(), images or ImageTable(), unit=unit,
                          encoding=encoding, max_recording_gb=max_recording_gb, volumes=volumes)
    return (apart.read(path, options, opened) if apart.is_wanted(path)
            else opened(path, options))


def opened(path: Path, options: ReadOptions) -> Recording:
    """`read` in this process."""
    try:
        with quiet(), apart.in_time(path):
            return _read(path, options)
    except ReadError as error:
        raise error.of(path) from error
    except MemoryError as error:
        raise ReadError(path, "memory ran out while it was read: it is larger than it looks, or "
                              "damaged; read it on a larger machine, or split it") from error
    except (ImportError, AssertionError):
        raise
    except Exception as error:  # libraries fail in many ways on what is damaged
        log.debug("%s", path, exc_info=True)
        raise unreadable(path, error) from error


def _read(path: Path, options: ReadOptions) -> Recording:
    if not path.exists():
        raise ReadError(path, "a link to a file that is not there; fetch it first (datalad get)"
                        if path.is_symlink() else "there is no such file")
    if why := links.special_part(path):
        raise ReadError(path, why)
    if path.is_file() and path.stat().st_size == 0:
        raise ReadError(path, "the file is empty (0 bytes); copy it again from the source")
    if waiting := pointers.not_fetched(path):
        raise ReadError(path, waiting)
    reader = _reader(path, options.volumes is not None)
    if reader is None:
        raise ReadError(path, f"files named *{''.join(path.suffixes[-2:])} are no recordings known "
                              f"here; MNE's formats (.fif, .edf, .bdf, .vhdr, .set, .con, .ds …) "
                              f"arrays (.npy, .npz, .mat, .csv) and images (…bold.nii.gz, "
                              f"…func.gii, …dtseries.nii, …T1w.nii.gz) are{_others()}")
    if why := links.strange(path):
        raise ReadError(path, why)
    if path.is_file():
        _check_size(path, options)
    if path.name.startswith("sub-"):
        # Links are not followed: in an archive of datalad only they bear the names of BIDS.
        root = bids.find_root(path.absolute())
        if root is not None:
            from . import in_bids  # mne-bids only where it is used

            shown = reader if reader.KIND in ("image", "volume") else None
            return in_bids.read(path.absolute(), root, options, shown)
    return reader.read(path, options)


def _check_size(path: Path, options: ReadOptions) -> None:
    """Raise ReadError for a file that would take more memory than is allowed, or leads to others.
    Formats of which nothing is told here are checked by their readers, once their header is read.
    """
    limit, suffix = options.limit, path.suffix.lower()
    if suffix == ".gz":
        sizes.check_packed(path, limit)
    elif suffix in (".mat", ".set"):
        sizes.check_mat(path, limit)
    if hdf5.is_hdf5(path):
        hdf5.check(path, limit)


def from_raw(
    raw,
    *,
    montage: str = "standard_1005",
    unknown_head: Literal["refuse", "helmet"] = "refuse",
    rename: dict[str, str] | None = None,
    metadata: str = "",
    source: str | None = None,
) -> Recording:
    """Recording of an `mne.io.Raw` (or `mne.Epochs`) in memory."""
    from . import mne_raw

    options = ReadOptions(montage, unknown_head, rename or {}, metadata,
                          max_recording_gb=_OPENED_GB)
    return mne_raw.convert(raw, options, source)


def _others() -> str:
    there = ", ".join(plugins.points(GROUP))
    return f", and what these readers claim: {there}" if there else ""


def _reader(path: Path, volumes: bool = False) -> ModuleType | None:
    """The reader of a file; volumes: where T1s are wanted, an image that may be one is one."""
    if volumes and path.name.endswith((".nii", ".nii.gz")):
        return _module("t1")
    return next((reader for name in names() if (reader := _module(name)).claims(path)), None)


@cache
def _module(name: str) -> ModuleType:
    if name in OWN:
        return import_module(f".{name}", __package__)
    reader = plugins.load(GROUP, name)
    lacking = [part for part in ("KIND", "claims", "read") if not hasattr(reader, part)]
    if lacking or reader.KIND not in _KINDS:
        raise ValueError(f"the reader {name!r} of {GROUP} wants KIND (one of {', '.join(_KINDS)}), "
                         f"claims and read; "
                         + (f"it lacks {', '.join(lacking)}" if lacking
                            else f"its KIND is {reader.KIND!r}"))
    return reader
