"""Features on disk, as `neurofm embed` writes them and `neurofm.Features.load` reads them.

    OUT/windows.parquet              a row a window: recording, folder, epoch, start_s, stop_s
    OUT/dropped.tsv                  what was left out: recording, what, name, times, reason
    OUT/NAME/features.safetensors    "features": float32 [window, source, frame, dim]; the header's
                                     entry "axes" is JSON with sources and frames_s
    OUT/NAME/features.parquet        or: a row a window, source and frame, with dim_0, dim_1, …
    OUT/NAME/features.zarr           or: an array for `xarray.open_zarr`
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from neurofm import artifacts, extras, json_file, tsv
from neurofm.data import tables

if TYPE_CHECKING:
    from .feature_array import Features

# Columns of what was left out.
DROPPED = ("recording", "what", "name", "start_s", "stop_s", "reason")
Format = Literal["safetensors", "parquet", "zarr"]
WINDOWS, LEFT_OUT = "windows.parquet", "dropped.tsv"
_ROWS = 2**22  # numbers of a row group of Parquet


def check(wanted: Format) -> None:
    """Raise ValueError where what a format needs is not installed."""
    if wanted == "zarr":
        for package in ("xarray", "zarr"):
            extras.need(package, "format zarr")


def write(features: "Features", folder: Path, wanted: Format) -> list[str]:
    """Write the features of one recording.

    Returns names of the files, relative to `folder`.
    """
    path = folder / f"features.{wanted}"
    if wanted == "parquet":
        _to_parquet(features, path)
    elif wanted == "zarr":
        features.to_xarray().to_zarr(path, mode="w", zarr_format=2, consolidated=True)
        return [str(file.relative_to(folder)) for file in sorted(path.rglob("*"))
                if file.is_file()]
    else:
        from safetensors.numpy import save_file

        # One entry: of several, safetensors writes one or another first, and files differ.
        axes = json.dumps({"sources": features.sources, "frames_s": [*features.frames]})
        save_file({"features": features.values}, path, metadata={"axes": axes})
        artifacts.share(path)
    return [path.name]


def write_tables(folder: Path, windows: list[pd.DataFrame], dropped: list[pd.DataFrame]
                 ) -> list[str]:
    """Write the tables of all recordings. Returns names of the files."""
    pd.concat(windows, ignore_index=True).to_parquet(folder / WINDOWS, index=False)
    lost = [table for table in dropped if len(table)]
    table = pd.concat(lost, ignore_index=True) if lost else pd.DataFrame(columns=[*DROPPED])
    tsv.write(table, folder / LEFT_OUT)
    return [WINDOWS, LEFT_OUT]


def read(folder: Path) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """(the fields of `Features` of each recording, what was left out): see `Features.load`."""
    found = artifacts.open_sealed(folder, "results")
    wanted = found.config.get("format", "safetensors")
    if WINDOWS not in found.files or wanted not in get_args(Format):
        raise ValueError(f"{folder}: holds results, but no features; wanted a folder that "
                         f"`neurofm embed` wrote")
    check(wanted)
    windows, parts = tables.read(folder / WINDOWS), []
    with json_file.shaped(folder / WINDOWS, "a row a window, as `neurofm embed` writes it"):
        for name, rows in windows.groupby("folder", sort=False):
            path = f"{name}/features.{wanted}"
            if not any(file == path or file.startswith(f"{path}/") for file in found.files):
                raise ValueError(f"{path} is no file of these results")
            values, sources, frames = _features(folder / path, wanted)
            parts.append({
                "values": values, "times": rows[["start_s", "stop_s"]].to_numpy(float),
                "epoch": rows["epoch"].to_numpy(np.int64),
                "recording": rows["recording"].to_numpy(object),
                "sources": sources, "frames": frames})
    return parts, tsv.read(folder / LEFT_OUT, DROPPED, dtype={"name": str},
                           na_values={"start_s": "", "stop_s": ""})


def _features(path: Path, wanted: Format) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """(values, sources, frames) of a recording. Raises ValueError where the file holds others."""
    from safetensors import SafetensorError

    with json_file.shaped(path, "features as `neurofm embed` writes them"):
        try:
            values, sources, frames = _READ[wanted](path)
        except (SafetensorError, OSError, NotImplementedError, RecursionError) as problem:
            raise ValueError(str(problem)) from problem
        if values.ndim != 4 or values.dtype != np.float32 or frames.dtype != np.float64:
            raise ValueError(f"got {values.dtype} of shape {values.shape}")
        if not all(isinstance(name, str) for name in sources):
            raise ValueError("a source has no name")
    return values, sources, frames


def _to_parquet(features: "Features", path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    n, n_sources, n_frames, dim = features.shape
    each, writer = n_sources * n_frames, None
    step = max(1, _ROWS // (each * dim))
    for start in range(0, n, step):
        values = features.values[start : start + step].reshape(-1, dim)
        rows = np.repeat(np.arange(start, min(start + step, n)), each)
        k = len(values) // each
        table = pa.table({
            "window": rows, "epoch": features.epoch[rows], "start_s": features.times[rows, 0],
            "stop_s": features.times[rows, 1],
            "source": pa.array(np.tile(np.repeat(features.sources, n_frames), k)
                               ).dictionary_encode(),
            "frame_s": np.tile(features.frames, k * n_sources),
            **{f"dim_{d}": values[:, d] for d in range(dim)}})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def _of_parquet(path: Path) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    sources = tuple(dict.fromkeys(table["source"].to_pylist()))
    n = table["window"][-1].as_py() + 1
    frames = table["frame_s"].to_numpy()[: len(table) // (n * len(sources))]
    columns = [name for name in table.column_names if name.startswith("dim_")]
    values = np.empty((len(table), len(columns)), dtype=np.float32)
    for k, name in enumerate(columns):
        values[:, k] = table[name].to_numpy()
    return values.reshape(n, len(sources), len(frames), -1), sources, frames


def _of_safetensors(path: Path) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        known = json.loads(file.metadata()["axes"])
        return (file.get_tensor("features"), tuple(known["sources"]),
                np.array(known["frames_s"], dtype=float))


def _of_zarr(path: Path) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    import xarray

    found = xarray.open_zarr(path, chunks=None)["features"]
    return (found.to_numpy(), tuple(found["source"].to_numpy().tolist()),
            found["frame"].to_numpy())


_READ = {"safetensors": _of_safetensors, "parquet": _of_parquet, "zarr": _of_zarr}
