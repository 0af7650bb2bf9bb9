"""Formats whose libraries are written in C and crash or never end on some damaged files: read in a
process of their own, so that this is an error of that file, with a bound on its memory and time.

Workers of `ingest` are such processes already.
"""

import contextlib
import math
import multiprocessing
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from neurofm import processes
from neurofm.data.recording import Recording

from .errors import ReadError
from .options import ReadOptions

_NATIVE = (".mat", ".set", ".h5", ".hdf5", ".snirf")  # scipy.io, HDF5
_PRELOAD = ("neurofm.preprocessing.readers.mne_raw", "mne.io.eeglab", "scipy.io")
_BESIDES = 2**31  # bytes of memory besides the signal
_SECONDS, _BYTES_A_SECOND = 30, 10**6  # of the processor: HDF5 goes in circles in some files


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


@contextlib.contextmanager
def in_time(path: Path) -> Iterator[None]:
    """In another process than the first, which ends (SIGXCPU) where a file takes much longer than
    files of its size; elsewhere nothing."""
    native = path.suffix.lower() in _NATIVE and multiprocessing.parent_process() is not None
    if not native or find_spec("resource") is None:  # Windows
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_CPU)
    used = resource.getrusage(resource.RUSAGE_SELF)
    n_bytes = path.stat().st_size if path.is_file() else 0
    end = math.ceil(used.ru_utime + used.ru_stime + _SECONDS + n_bytes / _BYTES_A_SECOND)
    if before[0] != resource.RLIM_INFINITY:
        end = min(end, before[0])
    resource.setrlimit(resource.RLIMIT_CPU, (end, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, before)


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
