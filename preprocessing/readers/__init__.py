"""Readers: one file a kind of source, each giving a `Recording`.

A reader module has `claims(path) -> bool` and `read(path, options) -> Recording`. To add one: a
file here and a line in `_READERS`.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from neurofm.data.recording import Recording

from .errors import ReadError
from .options import ArrayTable, ImageTable, ReadOptions

__all__ = ["ArrayTable", "ImageTable", "ReadError", "ReadOptions", "claims", "from_raw", "read"]

_IMAGES = ("cifti", "gifti", "nifti")
_READERS = ("mne_raw", *_IMAGES, "timeseries")


def claims(path: str | Path, *, arrays: bool = True, images: bool = True) -> bool:
    """Whether some reader takes files of this name; plain arrays only if `arrays`, images of fMRI
    only if `images`."""
    reader = _reader(Path(path))
    if reader is None:
        return False
    wanted = {"timeseries": arrays, **dict.fromkeys(_IMAGES, images)}
    return wanted.get(reader.__name__.rpartition(".")[2], True)


def of_images(path: Path) -> ModuleType | None:
    """The reader of an image of fMRI; None where it is none."""
    found = _reader(path)
    return found if found and found.__name__.rpartition(".")[2] in _IMAGES else None


def is_array(suffix: str) -> bool:
    """Whether files of this extension are plain arrays, which do not say what they hold."""
    from . import timeseries

    return suffix.lower() in timeseries.EXTENSIONS


def read(
    path: str | Path,
    *,
    montage: str = "standard_1005",
    unknown_head: str = "refuse",
    rename: dict[str, str] | None = None,
    metadata: str = "",
    arrays: ArrayTable | None = None,
    images: ImageTable | None = None,
) -> Recording:
    """Read one file (or folder, where that is the format) → Recording in SI units.

    A recording of a BIDS folder is read with its sidecars and has its identity.
    The options are those of `ReadOptions`. Raises ReadError (a ValueError) that names the file
    and the cause.
    """
    path = Path(path)
    if not path.exists():
        raise ReadError(path, "a link to a file that is not there; fetch it first (datalad get)"
                        if path.is_symlink() else "there is no such file")
    reader = _reader(path)
    if reader is None:
        raise ReadError(path, f"files named *{''.join(path.suffixes[-2:])} are no recordings known "
                              f"here; MNE's formats (.fif, .edf, .bdf, .vhdr, .set, .con, .ds …) "
                              f"arrays (.npy, .npz, .mat, .csv) and images (…bold.nii.gz, "
                              f"…func.gii, …dtseries.nii) are")
    options = ReadOptions(montage, unknown_head, rename or {}, metadata,
                          arrays or ArrayTable(), images or ImageTable())
    if path.name.startswith("sub-"):
        from .. import bids

        # Links are not followed: in an archive of datalad only they bear the names of BIDS.
        root = bids.find_root(path.absolute())
        if root is not None:
            return bids.read(path.absolute(), root, options, of_images(path))
    return reader.read(path, options)


def from_raw(
    raw,
    *,
    montage: str = "standard_1005",
    unknown_head: str = "refuse",
    rename: dict[str, str] | None = None,
    metadata: str = "",
    source: str | None = None,
) -> Recording:
    """Recording of an `mne.io.Raw` (or `mne.Epochs`) in memory."""
    from . import mne_raw

    options = ReadOptions(montage, unknown_head, rename or {}, metadata)
    return mne_raw.convert(raw, options, source)


def _reader(path: Path) -> ModuleType | None:
    for name in _READERS:
        module = import_module(f".{name}", __package__)
        if module.claims(path):
            return module
    return None
