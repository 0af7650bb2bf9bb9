"""Tables in pickles (.pkl) → names and numbers, without running anything that stands in them.

A pickle is a program: it names functions, and loading calls them. Here each name on a short list
becomes a husk, an object of ours that only keeps what it was called with; any other name is
refused. Arrays of NumPy and tables of pandas are then read off the husks (their layout: NumPy's
`ndarray.__reduce__`, `pandas.core.internals`, Arrow's "Variable-size Binary Layout"), so neither
library unpickles anything either. Nothing becomes larger than the file: lengths that it states are
checked before they are believed, and so is what stands in it many times.
"""

import io
import pickle
import pickletools
import re
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..readers.errors import ReadError

_DO = "save it as …_timeseries.tsv (a line of region names, then a line a volume) or as .npy"
_NUMPY = r"numpy(\._?core(\.(multiarray|numeric))?)?"
_PANDAS = r"pandas(\.(arrays|_libs\.internals|core\.\w+|core\.\w+\.\w+))?"
_HUSKS = (
    (_NUMPY, ("_reconstruct", "_frombuffer", "scalar", "ndarray", "dtype")),
    (_PANDAS, ("DataFrame", "Series", "BlockManager", "SingleBlockManager", "_unpickle_block",
               "_new_Index", "Index", "RangeIndex", "ArrowStringArray", "StringDtype",
               "StringArray", "ObjectStringArrayMixin")),
    (r"pyarrow\.lib", ("_restore_array", "chunked_array", "type_for_alias", "py_buffer")),
)
_MOST_TIMES, _LEAST = 20, 10**5  # an index or a type may be shared by all columns
_NUMBER = re.compile(r"[fiub]\d+")


class _Husk:
    """args: what it was called with; state: what was to be put into it."""

    name = ""
    args: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *args: Any):
        self.args = args

    def __setstate__(self, state):
        self.state = state


class _Refused(ValueError):
    """A name that is not on the list."""


class _Reader(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        # Made anew for each file: a pickle may set attributes of what it was given.
        self._plain = {
            ("builtins", "slice"): slice, ("__builtin__", "slice"): slice,
            ("builtins", "bytearray"): _as_bytes, ("__builtin__", "bytearray"): _as_bytes,
            ("collections", "OrderedDict"): OrderedDict,
            ("_codecs", "encode"): lambda text, *_: text.encode("latin1"),
        }

    def find_class(self, module: str, name: str):
        if (module, name) in self._plain:
            return self._plain[module, name]
        for modules, names in _HUSKS:
            if name in names and re.fullmatch(modules, module):
                return type(name, (_Husk,), {"name": name})
        raise _Refused(f"{module}.{name}")


def _size(held: Any, known: dict[int, int]) -> int:
    """Values in what was unpickled, those that stand there several times as often; known: of
    objects that were counted."""
    if isinstance(held, bytes | str):
        return len(held)
    if isinstance(held, dict):
        inside = [*held.keys(), *held.values()]
    elif isinstance(held, _Husk):
        inside = [*held.args, held.state]
    elif isinstance(held, list | tuple):
        inside = [*held]
    else:
        return 1
    if id(held) not in known:
        known[id(held)] = 0  # in a circle nothing is added
        known[id(held)] = 1 + sum(_size(each, known) for each in inside)
    return known[id(held)]


def _as_bytes(content: Any = b"", *_) -> bytes:
    """Of `bytearray`, which would be as long as a number says."""
    if not isinstance(content, bytes | bytearray | str):
        raise _Refused("a bytearray of a length")
    return content.encode("latin1") if isinstance(content, str) else bytes(content)


def _checked(content: bytes) -> io.BytesIO:
    """The pickle, once each length that it states fits into it."""
    for op, argument, _ in pickletools.genops(content):
        if "PUT" in op.name and argument is not None and argument > len(content):
            raise ValueError(f"{op.name} {argument} in a file of {len(content)} bytes")
    return io.BytesIO(content)


def load(path: Path) -> tuple[list[str], np.ndarray, list[str]]:
    """(names of regions, if it has them; float64 [volume, region]; what was assumed) of a table of
    pandas, a dict region → series, or an array, of which the longer axis is time."""
    try:
        content = path.read_bytes()
        held = _Reader(_checked(content)).load()
        if (n := _size(held, {})) > _MOST_TIMES * len(content) + _LEAST:
            raise ValueError(f"{n:.3g} values in a file of {len(content)} bytes")
    except _Refused as found:
        raise ReadError(path, f"wanted numbers in a pickle, but it names {found}, which would be "
                              f"run by loading it: pickles are never run here; {_DO}") from None
    except Exception as error:
        raise ReadError(path, f"cannot be read as a pickle of numbers ({error}); {_DO}") from error
    try:
        return _table(held)
    except Exception as error:  # any other layout than the ones known
        what = held.name if isinstance(held, _Husk) else type(held).__name__
        raise ReadError(path, f"wanted a table of pandas, a dict region → series, or an array of "
                              f"volumes and regions, got {what}: {error}; {_DO}") from error


def _table(held) -> tuple[list[str], np.ndarray, list[str]]:
    if isinstance(held, dict):
        columns = [_numbers(series) for series in held.values()]
        if {column.ndim for column in columns} != {1}:
            raise ValueError(f"its values have the shapes {[c.shape for c in columns][:4]}, "
                             f"wanted one series a region")
        return [str(_value(key)) for key in held], np.stack(columns, axis=1), []
    if isinstance(held, _Husk) and held.name == "DataFrame":
        values, axes = _managed(held)
        return _names(axes[0]), values.T, []
    array = _numbers(held)
    if array.ndim != 2:
        raise ValueError(f"an array of shape {array.shape}, wanted two axes")
    note = (f"the pickled array has shape {array.shape}: its longer axis was taken for time"
            if array.shape[0] != array.shape[1] else "")
    if not note:
        raise ValueError(f"an array of shape {array.shape}, which does not tell volumes from "
                         f"regions")
    return [], array if array.shape[0] > array.shape[1] else array.T, [note]


def _numbers(held) -> np.ndarray:
    """float64 of an array, a list or a pandas Series."""
    if isinstance(held, _Husk):
        held = _managed(held)[0] if held.name == "Series" else _value(held)
    elif isinstance(held, list | tuple):
        held = [_value(item) for item in held]
    return np.array(held, dtype=np.float64)


def _managed(frame: _Husk) -> tuple[np.ndarray, list]:
    """(values [column, row] or [row], axes) of a DataFrame or Series, kept as blocks of columns."""
    manager = frame.state["_mgr"]
    if manager.args:
        blocks, axes = manager.args[:2]
        parts = [(block.args[1], _numbers(block.args[0])) for block in blocks]
    else:  # a Series, and all before pandas 1.3
        inner = manager.state[3]["0.14.1"]
        axes = inner["axes"]
        parts = [(b["mgr_locs"], _numbers(b["values"])) for b in inner["blocks"]]
    if frame.name == "Series":
        return parts[0][1], axes
    values = np.full((sum(len(part) for _, part in parts), parts[0][1].shape[1]), np.nan)
    for place, part in parts:
        values[place if isinstance(place, slice) else _numbers(place).astype(int)] = part
    return values, axes


def _names(index: _Husk) -> list[str]:
    """Of the columns; none where they are only counted."""
    if index.args[0].name == "RangeIndex":
        return []
    data = _value(index.args[1]["data"])
    if isinstance(data, _Husk):  # strings of Arrow, since pandas 3
        state = data.state[-1] if isinstance(data.state, tuple) else data.state
        data = _arrow(state["_pa_array"])
    return [str(_value(name)) for name in data]


def _value(held):
    """A NumPy array or scalar read off its husk; anything else as it is."""
    if not isinstance(held, _Husk):
        return held
    if held.name == "_reconstruct":
        _, shape, dtype, fortran, raw = held.state
        return _array(raw, dtype, shape, "F" if fortran else "C")
    if held.name == "_frombuffer":
        raw, dtype, shape, order = held.args[:4]
        return _array(raw, dtype, shape, order)
    if held.name == "scalar":
        return _array(held.args[1], held.args[0], (), "C")[()]
    return held


def _array(raw, dtype: _Husk, shape: tuple, order: Literal["C", "F"]) -> np.ndarray:
    code = dtype.args[0]
    if isinstance(raw, list):  # of Python's objects: names, mostly
        return np.array([_value(item) for item in raw], dtype=object).reshape(shape, order=order)
    if not _NUMBER.fullmatch(code) and not re.fullmatch(r"U\d+", code):
        raise ValueError(f"an array of {code}, wanted numbers")
    endian = dtype.state[1] if dtype.state else "="
    kind = np.dtype(code).newbyteorder({"|": "="}.get(endian, endian))
    return np.frombuffer(raw, dtype=kind).reshape(shape, order=order)


def _arrow(array: _Husk) -> list[str]:
    """Strings of an Arrow array: where each begins in one long text."""
    if array.name == "chunked_array":
        return [text for chunk in array.args[0] for text in _arrow(chunk)]
    kind, length, _, first, (_, places, text) = array.args[0][:5]
    width = "<i8" if kind.args[0].startswith("large") else "<i4"
    at = np.frombuffer(places.args[0], dtype=width)[first : first + length + 1].tolist()
    return [bytes(text.args[0][a:b]).decode() for a, b in pairwise(at)]
