"""Formats whose libraries are written in C and crash on some damaged files: read in a process of
their own, so that a crash is an error of that file, and with a bound on its memory.

Workers of `ingest` are such processes already.
"""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

from neurofm import processes
from neurofm.data.recording import Recording

from .errors import ReadError
from .options import ReadOptions

_NATIVE = (".mat", ".set", ".h5", ".hdf5", ".snirf")  # scipy.io, HDF5
_PRELOAD = ("neurofm.preprocessing.readers.mne_raw", "mne.io.eeglab", "scipy.io")
_BESIDES = 2**31  # bytes of memory besides the signal


def is_wanted(path: Path) -> bool:
    """Whether a file is to be read in another process than this one."""
    return path.suffix.lower() in _NATIVE and multiprocessing.parent_process() is None


def read(
    path: Path, options: ReadOptions, opened: Callable[[Path, ReadOptions], Recording]
) -> Recording:
    """As `opened`, a function of a module. Raises ReadError where the other process dies."""
    _, found = next(processes.run(_read, [(path, options, opened)], 1, preload=_PRELOAD))
    if isinstance(found, Recording):
        return found
    raise found if isinstance(found, Exception) else ReadError(path, str(found))


def _read(
    job: tuple[Path, ReadOptions, Callable[[Path, ReadOptions], Recording]]
) -> Recording | Exception:
    path, options, opened = job
    _bound(3 * options.limit.n_bytes + _BESIDES)
    try:
        return opened(path, options)
    except Exception as error:
        return error


def _bound(n_bytes: int) -> None:
    """Let this process have so much more memory than it has now, where the system can."""
    try:
        import resource

        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + n_bytes, resource.RLIM_INFINITY))
    except (ImportError, OSError, ValueError):
        pass
