"""Plain arrays (.npy, .npz, .mat, .h5, .csv, AFNI's .1D, XCP-D's *timeseries.tsv) → Recording, by a
small table of what they do not say."""

import gzip
from pathlib import Path

import numpy as np

from neurofm import extras
from neurofm.data.recording import Events, Recording
from neurofm.data.sensors import HEAD_CENTER_M, KINDS, Sensors

from .. import montage, text
from ..places import WrongPlaces, judge
from ..steps.refusal import some
from . import atlas, hdf5, sizes, trials
from .errors import ReadError, unreadable
from .sizes import Limit

KIND = "array"
EXTENSIONS = (".npy", ".npz", ".mat", ".csv", ".1d", *hdf5.EXTENSIONS)
_TEXT = (".csv", ".1d", ".1d.gz", "timeseries.tsv")  # with or without a line of names
_FACTOR = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9, "T": 1.0, "pT": 1e-12, "fT": 1e-15,
           "1": 1.0}
_TEMPLATE_RADIUS_M = 0.095


def claims(path: Path) -> bool:
    name = path.name.lower()
    known = path.suffix.lower() in EXTENSIONS or name.endswith(_TEXT)
    return known and not path.is_dir()


def read(path: Path, options) -> Recording:
    """Read an array of time and channel (and trial) as `options.arrays` describes it."""
    table = options.arrays
    if not table.given:
        raise ReadError(path, "a plain array does not say its sampling rate, unit and channels: "
                              "give them under `arrays:` (sfreq, unit, axes, names or channels)")
    axes = table.axes.split(",")
    array, named = _load(path, table.variable, axes, options.limit)
    if array.ndim != len(axes) or array.size == 0:
        more = ("" if "trial" in axes or array.ndim != 3 else
                " (of trials: arrays.axes: trial,channel,time)")
        raise ReadError(path, f"wanted an array with the {len(axes)} axes {table.axes}, got shape "
                              f"{array.shape}; save one recording a file{more}, and pass over "
                              f"others (exclude: [pattern])")
    if array.dtype.kind not in "fiu":
        raise ReadError(path, f"wanted real numbers, got an array of {array.dtype}; save "
                              f"numbers, or pass over such files (exclude: [pattern])")
    if "trial" in axes:
        turned = array.transpose([axes.index(name) for name in ("trial", "channel", "time")])
        labels = _labels(path, table, len(turned), options.limit)
        signal, events = trials.end_to_end(turned, table.sfreq, labels)
    else:
        signal, events = array.T if axes[0] == "time" else array, Events.none()
    # Trials may be short, and so are scans: whose regions are named is checked by their number.
    known = "trial" in axes or (table.kind == "roi" and (named or table.names or table.channels))
    if len(signal) > signal.shape[1] and not known:
        other = ",".join(reversed(axes))
        raise ReadError(path, f"as {table.axes}, shape {array.shape} would be {len(signal)} "
                              f"channels of {signal.shape[1]} samples; give arrays.axes: {other}")
    names, position = _channels(path, table, named, len(signal), options.montage)
    kind = np.full(len(signal), KINDS.index(table.kind))
    orientation = (montage.directions(names, options.montage) if table.kind == "eeg"
                   else np.zeros_like(position))
    sensors = Sensors(tuple(names), kind, position, orientation)
    scaled = np.ascontiguousarray(signal, dtype=np.float32) * np.float32(_FACTOR[table.unit])
    return Recording(scaled, table.sfreq, sensors, events, source=str(path),
                     n_epochs=array.shape[axes.index("trial")] if "trial" in axes else 0)


def _load(path: Path, variable: str, axes: list[str], limit: Limit
          ) -> tuple[np.ndarray, list[str]]:
    """(the one array of a file, or of those of a .npz, .mat or .h5 with these axes the one of that
    name; names of its channels where the file has them)."""
    held, n_axes = _arrays(path, limit), len(axes)
    if isinstance(held, np.ndarray):
        return held, _names_in(path)
    apart = path.suffix.lower() in hdf5.EXTENSIONS and not variable and n_axes == 2
    if apart and (found := hdf5.channels(held)) is not None:
        names, array = found
        return (array if axes[0] == "time" else array.T), names
    arrays = {name: value for name, value in held.items()
              if isinstance(value, np.ndarray) and value.ndim == n_axes
              and value.dtype.kind in "fiu"}
    if variable:
        if variable not in arrays:
            raise ReadError(path, f"has no array {variable!r} with {n_axes} axes; it has "
                                  f"{', '.join(arrays) or 'none'}")
        return arrays[variable], []
    if len(arrays) != 1:
        raise ReadError(path, f"wanted one array with {n_axes} axes, it has "
                              f"{', '.join(arrays) or 'none'}; name it: arrays.variable")
    return next(iter(arrays.values())), []


def _arrays(path: Path, limit: Limit) -> np.ndarray | dict:
    """What a file holds: an array, or (.npz, .mat, .h5) several things by name."""
    try:
        suffix = path.suffix.lower()
        if suffix == ".npy":
            sizes.check_npy(path, limit)
            return np.load(path, allow_pickle=False)
        if path.name.lower().endswith(_TEXT):
            sizes.check_text(path, limit)
            return np.genfromtxt(path, delimiter=_delimiter(path),
                                 comments=None,  # type: ignore[call-overload] # numpy takes None
                                 ndmin=2,
                                 skip_header=1 if _names_in(path) else 0,
                                 missing_values=["n/a"], dtype=np.float64)
        if suffix == ".npz":
            sizes.check_npz(path, limit)
            return dict(np.load(path, allow_pickle=False))
        sizes.check_mat(path, limit)
        if hdf5.is_hdf5(path):
            hdf5.check(path, limit)
        if suffix in hdf5.EXTENSIONS:
            return hdf5.arrays(path)
        return extras.need("pymatreader", "a MATLAB file").read_mat(str(path))
    except (ReadError, MemoryError):
        raise
    except Exception as error:
        if "pickle" in str(error):
            raise ReadError(path, "holds Python objects (a pickle), which are never loaded: they "
                                  "can run code; save an array of numbers") from error
        raise unreadable(path, error) from error


def _labels(path: Path, table, n_trials: int, limit: Limit) -> list[str | None]:
    """The label of each trial as text, by `labels` and `label_variable` of the table; None where
    nothing is said of it."""
    if not table.has_labels:
        return [None] * n_trials
    file = table.labels_file(path) if table.labels else path
    if file is None:
        raise ReadError(path, f"its labels cannot be found: arrays.labels names none of the parts "
                              f"of its name ({', '.join(table.labels)}); correct them, or pass "
                              f"over such files (exclude: [pattern])")
    if not claims(file) or not file.is_file():
        raise ReadError(path, f"wanted the labels of its {n_trials} trials in {file.name} beside "
                              f"it (.npy, .npz, .mat or .csv), but there is no such file; correct "
                              f"arrays.labels, or leave it out for trials without labels")
    held = _arrays(file, limit)
    if isinstance(held, dict):
        there = [name for name in held if not name.startswith("__")]
        name = table.label_variable or (there[0] if len(there) == 1 else "")
        if name not in there:
            raise ReadError(path, f"wanted the labels in a variable {name!r} of {file.name}, which "
                                  f"has {', '.join(there)}; give arrays.label_variable")
        held = held[name]
    values = np.asarray(held)
    if values.size != n_trials or max(values.shape, default=0) != n_trials:
        raise ReadError(path, f"wanted a label for each of {n_trials} trials ({table.axes}), got "
                              f"an array of shape {values.shape} in {file.name}; correct "
                              f"arrays.axes, or the labels")
    return trials.as_text(values.ravel().tolist())


def _delimiter(path: Path) -> str | None:
    """Of a text file's columns; None = any white space."""
    name = path.name.lower()
    return "," if name.endswith(".csv") else "\t" if name.endswith(".tsv") else None


def _names_in(path: Path) -> list[str]:
    """The names that the first line of a text file holds; none where it holds numbers."""
    if not path.name.lower().endswith(_TEXT):
        return []
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig") as file:
        first = [part.strip().strip('"') for part in file.readline().split(_delimiter(path))]
    try:
        [float(part) for part in first]
    except ValueError:
        return [part.removeprefix("#") for part in first if part not in ("", "#")]
    return []


def _channels(
    path: Path, table, named: list[str], n: int, montage_name: str
) -> tuple[list[str], np.ndarray]:
    """Names and positions [n, 3] (meters, head frame; NaN unknown). named: in the file itself."""
    position = np.full((n, 3), np.nan, dtype=np.float32)
    given = _given_names(path, table, named)
    names = given or [f"{table.kind}{i + 1:03d}" for i in range(n)]
    if table.channels:
        listed, places = _listed(table)
        if given and len(set(listed)) == len(listed):
            if missing := [name for name in given if name not in listed]:
                raise ReadError(path, f"wanted all of its {len(given)} channels in "
                                      f"{table.channels}, which lacks {', '.join(missing[:8])}"
                                      f"{', …' if len(missing) > 8 else ''}; it has "
                                      f"{', '.join(listed[:8])}, …")
            places = places[[listed.index(name) for name in given]]
            listed = given
        names, position = list(listed), places
    if len(names) != n:
        raise ReadError(path, f"wanted {len(names)} channels as named in arrays, got {n} along the "
                              f"channel axis of {table.axes}; correct arrays.names or arrays.axes")
    if table.kind == "eeg":
        names, by_name = montage.look_up(names, montage_name)
        try:
            position, _ = judge(position, by_name, names)
        except WrongPlaces as error:
            raise ReadError(path, str(error)) from error
    return names, position


def _given_names(path: Path, table, named: list[str]) -> list[str]:
    """Names of channels in the file's order: `arrays.names` go by order, unless the file has the
    same names in another one."""
    if not table.names or sorted(table.names) == sorted(named):
        return named
    if named and path.suffix.lower() in hdf5.EXTENSIONS:
        raise ReadError(path, f"has the channels {some(named)}, arrays.names {some(table.names)}; "
                              f"named datasets have no order: leave arrays.names out, or name "
                              f"the datasets so")
    return list(table.names)


def _listed(table) -> tuple[list[str], np.ndarray]:
    """Names and places (meters) in the table or image of channels."""
    if not atlas.claims(table.channels):
        return read_channel_table(Path(table.channels), table.channels_unit)
    if not Path(table.channels).is_file():
        raise ReadError(table.channels, "arrays.channels: there is no such file")
    names, places = atlas.centers(table.channels)
    return list(names), places.astype(np.float32)


def read_channel_table(path: Path, unit: str = "m") -> tuple[list[str], np.ndarray]:
    """Names and positions of an EEGLAB .ced or a .tsv/.csv with columns name, x, y, z.

    EEGLAB's axes are nose and left ear on a sphere of any radius: turned and put on a head. Other
    tables are in `unit` in the head frame. A column `Number` gives the order.
    """
    if not path.is_file():
        raise ReadError(path, "arrays.channels: there is no such file")
    rows = [{key.casefold(): value for key, value in row.items() if key and value}
            for row in text.read_table(path)[1]]
    if rows and "number" in rows[0]:
        rows.sort(key=lambda row: int(row["number"]))
    column = next((name for name in ("labels", "name", "label", "roi")
                   if rows and name in rows[0]), None)
    if column is None:
        raise ReadError(path, f"arrays.channels: wanted a column name or labels, got "
                              f"{list(rows[0]) if rows else 'no rows'}")
    position = np.array([[_meters(row.get(axis, "n/a"), path) for axis in "xyz"] for row in rows])
    if path.suffix.lower() == ".ced":
        position = position[:, [1, 0, 2]] * (-1, 1, 1)
        radius = np.nanmedian(np.linalg.norm(position, axis=1))
        position = position / radius * _TEMPLATE_RADIUS_M + HEAD_CENTER_M
    elif unit == "mm":
        position = position / 1000
    largest = np.nanmax(np.abs(position), initial=0.0)
    if largest > 1:
        raise ReadError(path, f"arrays.channels: wanted positions in meters, but {largest:g} is "
                              f"none of a head; they are probably in mm: arrays.channels_unit: mm")
    return [row[column] for row in rows], position.astype(np.float32)


def _meters(text: str, path: Path) -> float:
    if text.casefold() in ("", "n/a", "nan"):
        return float("nan")
    try:
        return float(text)
    except ValueError:
        raise ReadError(path, f"arrays.channels: wanted a number in x, y, z, got {text!r}; "
                              f"write n/a where it is unknown") from None
