"""Files that somebody damaged on purpose: small ones of every format, changed at random places."""

import contextlib
import copy
import json
import os
import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st

from tests.support import shape_checks
from tests.support.torture import arrays, fif_files, recordings, scans, vendor_files
from tests.support.torture.signals import NAMES, SFREQ, brainvision, edf, eeglab, egi, microvolts

CASES = int(os.environ.get("NEUROFM_FUZZ", 1000))
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture,
         HealthCheck.differing_executors, HealthCheck.filter_too_much]
SECONDS = 5  # of the processor: a case that takes longer hangs
WAITING = 300  # seconds in which there is an answer on a machine busy with other work
LARGEST = 3 * 2**30  # bytes of address space that a case may add
SHORT = microvolts()[:, :200]
_EXTREMES = (b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\x00" * 8,
             b"\x80\x00\x00\x00", b"../../../etc/passwd\x00", b"1e308", b"-1", b"nan", b"99999999")


class Hangs(BaseException):
    """No `except Exception` keeps it."""


def _hang(*_) -> None:
    raise Hangs(f"no answer within {SECONDS} s")


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Time and memory of one case have an end."""
    before = {kind: signal.signal(kind, _hang) for kind in (signal.SIGALRM, signal.SIGPROF)}
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + LARGEST, limits[1]))
    signal.setitimer(signal.ITIMER_REAL, WAITING)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for kind, handler in before.items():
            signal.signal(kind, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def survives(do: Callable[[], object], name: str) -> str:
    """"" where there is a result, or one of our errors, which calls the file by its name. Else what
    came instead."""
    try:
        with bounded(), shape_checks.paused():
            do()
    except ValueError as error:
        return "" if name in str(error) else f"no file is named: {_last(error)}"
    except SystemExit as end:
        return "" if end.code == 2 else f"exit status {end.code}"
    except (Exception, Hangs) as error:
        return _last(error)
    return ""


def cases(share: float):
    """The decorator of a test that gets this share of all cases."""
    return settings(max_examples=max(5, int(CASES * share)), deadline=None, database=None,
                    derandomize=CASES <= 1000, suppress_health_check=QUIET,
                    phases=[Phase.generate, Phase.shrink])


def check(do, name: str) -> None:
    problem = survives(do, name)
    note(problem)
    assert not problem, problem


def _last(error: BaseException) -> str:
    lines = traceback.format_exception(error)
    return "".join(lines[-4:]).strip()


# Bytes

def edits() -> st.SearchStrategy:
    """What is done to the bytes of a file: (kind, place as a share of its length, value)."""
    return st.lists(st.tuples(
        st.sampled_from(["flip", "set", "zero", "cut", "drop", "twice", "extreme", "head", "swap"]),
        st.floats(0, 1, exclude_max=True), st.integers(0, 2**16 - 1)), min_size=1, max_size=4)


def edited(content: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    """The bytes after the changes. Those of kind "head" are in the first 400."""
    held = bytearray(content)
    for kind, share, value in changes:
        at = int(share * (min(len(held), 400) if kind == "head" else len(held)))
        if not held:
            break
        if kind == "flip":
            held[at] ^= 1 << value % 8
        elif kind in ("set", "head"):
            held[at] = value % 256
        elif kind == "zero":
            held[at:at + value % 64] = bytes(len(held[at:at + value % 64]))
        elif kind == "cut":
            del held[at:]
        elif kind == "drop":
            del held[at:at + 1 + value % 16]
        elif kind == "twice":
            held[at:at] = held[at:at + value % 256]
        elif kind == "extreme":
            part = _EXTREMES[value % len(_EXTREMES)]
            held[at:at + len(part)] = part
        else:
            other = value % len(held)
            held[at], held[other] = held[other], held[at]
    return bytes(held)


def _set_with_fdt(folder: Path) -> Path:
    (folder / "rec.fdt").write_bytes(np.asfortranarray(microvolts(), "<f4").tobytes("F"))
    return eeglab(folder / "rec.set", data="rec.fdt")


def _fif(folder: Path) -> Path:
    return fif_files.fif(folder / "rec_raw.fif", SHORT)


def _fif_gz(folder: Path) -> Path:
    return fif_files.fif(folder / "rec_raw.fif.gz", SHORT)


def _table(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        np.savetxt(folder / name, SHORT.T[:50], fmt="%.3f",
                   delimiter="," if name.endswith(".csv") else " ", header="", comments="")
        return folder / name
    return make


# Format → how a small file of it is made in a folder. Those that C reads are apart.
RECORDINGS: dict[str, Callable[[Path], Path]] = {
    "edf": lambda folder: edf(folder / "rec.edf", SHORT, annotations=[b"+0\x14\x14\0"]),
    "edf_d": lambda folder: edf(folder / "rec.edf", microvolts()[:2, :800], NAMES[:2],
                                reserved="EDF+D", annotations=[b"+%d\x14\x14\0" % (k + (k > 1))
                                                               for k in range(4)]),
    "bdf": lambda folder: edf(folder / "rec.bdf", SHORT, bdf=True),
    "vhdr": lambda folder: brainvision(folder / "rec.vhdr", SHORT,
                                       markers="Mk1=New Segment,,1,1,0\n"),
    "gdf": lambda folder: vendor_files.gdf(folder / "rec.gdf", SHORT),
    "gdf_1": lambda folder: vendor_files.gdf_1(folder / "rec.gdf", SHORT),
    "cnt": lambda folder: vendor_files.cnt(folder / "rec.cnt", SHORT),
    "kit": lambda folder: vendor_files.kit(folder / "rec.con"),
    "fif": _fif, "fif_gz": _fif_gz, "egi": lambda folder: egi(folder / "rec.raw"),
    "npy": lambda folder: arrays.saved(folder / "rec.npy", SHORT.T),
    "npz": lambda folder: arrays.npz_one_array(folder),
    "csv": _table("rec.csv"), "1d": _table("rec.1D"),
    "nii": lambda folder: scans.scan(folder / "sub-1_bold.nii"),
    "nii_gz": lambda folder: scans.scan(folder / scans.NAME),
}
NATIVE: dict[str, Callable[[Path], Path]] = {
    "mat": arrays.mat_version_5, "h5": arrays.h5_one_array,
    "h5_channels": arrays.h5_a_dataset_a_channel, "set": recordings.set_alone,
    "set_fdt": _set_with_fdt, "set_7_3": recordings.set_of_matlab_7_3,
    "snirf": lambda folder: vendor_files.snirf(folder / "rec.snirf"),
}
RATE = float(SFREQ)


# JSON and YAML

def values() -> st.SearchStrategy:
    """Anything that JSON can hold, and text that does harm elsewhere."""
    plain = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from(["../../etc/passwd", "<script>", "\x1b[2J", "=1+1", "nan", "", "1e999",
                         "somebody/kernel", 2**70, -1, 0, 1e308, [], {}, [[]], [{}], {"a": None}]))
    return st.recursive(plain, lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
        max_leaves=6)


def changes() -> st.SearchStrategy:
    """What is done to an object: (kind, a number that chooses the place, a value)."""
    return st.lists(st.tuples(st.sampled_from(["value", "value", "drop", "key", "nest", "whole"]),
                              st.integers(0, 10**6), values()), min_size=1, max_size=3)


def changed(content: Any, edits: list[tuple[str, int, Any]]) -> Any:
    """The object after the changes."""
    held = json.loads(json.dumps(content))
    for kind, number, value in edits:
        places, value = list(_places(held)), copy.deepcopy(value)  # else it may come to hold itself
        if kind == "whole" and number % 7 == 0:
            return value
        if not places:
            continue
        inside, key = places[number % len(places)]
        if kind == "drop":
            del inside[key]
        elif kind == "key" and isinstance(inside, dict):
            inside[str(value)[:12]] = inside.pop(key)
        elif kind == "nest":
            inside[key] = [inside[key]]
        else:
            inside[key] = value
    return held


def _places(held: Any) -> Iterator[tuple[Any, Any]]:
    keys = held.keys() if isinstance(held, dict) else range(len(held)) if isinstance(
        held, list) else ()
    for key in list(keys)[:200]:
        yield held, key
        yield from _places(held[key])
