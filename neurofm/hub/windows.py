"""Corpora and token sets as they are published, so that `datasets` and neurofm both read them.

    windows/SPLIT-00000.arrow    signal [channel, time], label, identity, start, rate, sensors
    ids/SPLIT-00000.arrow        ids [source, frame, level], label, identity, start

A row is a window with all that belongs to it; a shard holds recordings of one split. `datasets`
reads the arrays with their dtype and shape, `Corpus` and `TokenSet` as memory maps without a copy.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from .. import artifacts
from ..data.corpus import Corpus
from ..data.shards import ROWS_A_BATCH
from ..data.tokens import TokenSet

SHARD_BYTES = 500_000_000  # of signals, at most, unless one recording has more
_TEXTS = ("label", "dataset", "subject", "session", "task", "run", "recording")


def load_windows(path_or_repo: str | Path, revision: str | None = None) -> Corpus | TokenSet:
    """Open a published corpus or token set; it is downloaded once.

    Parameters
    ----------
    path_or_repo
        Repository of a data set on the Hub ("org/name" or "org/name@revision"), or a folder.
    revision
        Tag, branch or commit of the repository.

    Returns
    -------
    Corpus or TokenSet
        Opened over memory maps.

    Raises
    ------
    ValueError
        The Hub does not give it, or it is damaged.
    """
    from ..repository import not_given, parted

    folder = Path(path_or_repo)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        place, pinned = parted(path_or_repo)
        try:
            folder = Path(snapshot_download(place, repo_type="dataset",
                                            revision=revision or pinned))
        except (OSError, ValueError) as problem:
            raise not_given(path_or_repo, problem) from problem
    kind = artifacts.read_manifest(folder, "a published corpus or token set").kind
    return (TokenSet if kind == "tokens" else Corpus).open(folder)


def write(data: Corpus | TokenSet, folder: Path, table: pd.DataFrame) -> list[str]:
    """Write shards and tables into `folder`; returns the names of the files.

    table: the recordings as they are published, a row a row of `data.recordings`.
    """
    room = "windows" if isinstance(data, Corpus) else "ids"
    (folder / room).mkdir(parents=True, exist_ok=True)
    features = _features(data)
    schema = features.arrow_schema
    of = _windows_of(data, len(table))
    row = np.zeros(len(data), dtype=np.int64)
    shard = [""] * len(table)
    files = []
    splits = table["split"].fillna("train")  # "all" is no name that `datasets` takes
    for split in dict.fromkeys(splits):
        numbers = np.flatnonzero((splits == split).to_numpy())
        for k, some in enumerate(_shards(data, numbers.tolist(), of)):
            name = f"{split}-{k:05d}"
            windows = np.concatenate([of[number] for number in some])
            row[windows] = np.arange(len(windows))
            with pa.OSFile(str(folder / room / f"{name}.arrow"), "wb") as sink, \
                    pa.ipc.new_stream(sink, schema) as writer:
                for start in range(0, len(windows), ROWS_A_BATCH):
                    writer.write_batch(
                        _batch(data, table, windows[start:start + ROWS_A_BATCH], schema))
            for number in some:
                shard[number] = name
            files.append(f"{room}/{name}.arrow")
    table.assign(shard=shard).to_parquet(folder / "recordings.parquet", index=False)
    data.windows.assign(row=row).to_parquet(folder / "windows.parquet", index=False)
    return [*files, "recordings.parquet", "windows.parquet"]


def card_config(files: list[str]) -> list[dict]:
    """Where the splits are, for the front matter of the card."""
    shards = [name for name in files if name.endswith(".arrow")]
    splits = dict.fromkeys(name.rpartition("/")[2].rpartition("-")[0] for name in shards)
    room = shards[0].partition("/")[0]
    return [{"config_name": "default", "data_files": [
        {"split": split, "path": f"{room}/{split}-*.arrow"} for split in splits]}]


def _windows_of(data: Corpus | TokenSet, n: int) -> list[np.ndarray]:
    """Indices of the windows of each of n recordings."""
    recording = data.windows["recording"].to_numpy()
    order = np.argsort(recording, kind="stable")
    return np.split(order, np.searchsorted(recording[order], np.arange(1, n)))


def _shards(
    data: Corpus | TokenSet, numbers: list[int], of: list[np.ndarray]
) -> Iterator[list[int]]:
    """Recordings that go into one file, for each file."""
    some, size = list[int](), 0
    for number in numbers:
        if len(of[number]) == 0:
            continue
        own = len(of[number]) * _array(data, int(of[number][0])).nbytes
        if some and size + own > SHARD_BYTES:
            yield some
            some, size = [], 0
        some.append(number)
        size += own
    if some:
        yield some


def _array(data: Corpus | TokenSet, window: int) -> np.ndarray:
    """A window as it is stored."""
    if isinstance(data, TokenSet):
        return data.ids(window)
    return data._read(window).reshape(len(data.layout(window)), -1)


def _features(data: Corpus | TokenSet):
    from datasets import Array2D, Array3D, Features, List, Value

    texts = {name: Value("string") for name in _TEXTS}
    if isinstance(data, TokenSet):
        return Features({"ids": Array3D(data.shape, "int16"), **texts, "start_s": Value("float64")})
    first = data.windows.drop_duplicates("recording").index.tolist()
    shapes = {_array(data, window).shape for window in first}
    widths, lengths = {shape[0] for shape in shapes}, {shape[1] for shape in shapes}
    signal = (Array2D((widths.pop() if len(widths) == 1 else None, lengths.pop()), "float32")
              if len(lengths) == 1 else List(List(Value("float32"))))
    return Features({
        "signal": signal, **texts, "start_s": Value("float64"), "sfreq": Value("float64"),
        "ch_names": List(Value("string")), "ch_types": List(Value("string")),
        "ch_positions": Array2D((None, 3), "float32")})


def _batch(
    data: Corpus | TokenSet, table: pd.DataFrame, windows: np.ndarray, schema: pa.Schema
) -> pa.RecordBatch:
    """Rows of a shard."""
    numbers = data.windows["recording"].to_numpy()[windows]
    columns: dict[str, list | pa.Array] = {
        name: [_text(value) for value in table[name].to_numpy()[numbers]]
        for name in _TEXTS if name != "label"}
    columns["label"] = [_text(value) for value in data.labels(windows)]
    columns["start_s"] = data.windows["start_s"].to_numpy(float)[windows].tolist()
    arrays = [_array(data, window) for window in windows.tolist()]
    columns["ids" if isinstance(data, TokenSet) else "signal"] = _lists(arrays)
    if isinstance(data, Corpus):
        layouts = [data.layout(window) for window in windows.tolist()]
        columns["ch_names"] = [list(each.names) for each in layouts]
        columns["ch_types"] = [list(each.kinds) for each in layouts]
        columns["ch_positions"] = _lists([each.position for each in layouts])
        rate = data.contract.sfreq
        columns["sfreq"] = [rate] * len(windows) if rate is not None else (
            table["sfreq_original"].to_numpy(float)[numbers].tolist())
    return pa.record_batch([_typed(columns[field.name], field.type) for field in schema],
                           schema=schema)


def _lists(arrays: list[np.ndarray]) -> pa.Array:
    """Arrays of one number of axes as lists of lists, their numbers in one buffer."""
    flat = pa.array(np.concatenate([each.ravel() for each in arrays]))
    found: pa.Array = flat
    for axis in range(arrays[0].ndim - 1, -1, -1):
        sizes = np.concatenate([
            np.full(int(np.prod(each.shape[:axis])), each.shape[axis]) for each in arrays])
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        found = pa.ListArray.from_arrays(pa.array(offsets), found)
    return found


def _typed(values, kind: pa.DataType) -> pa.Array:
    if isinstance(kind, pa.ExtensionType):
        return pa.ExtensionArray.from_storage(kind, values.cast(kind.storage_type))
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)


def _text(value) -> str | None:
    return None if value is None or value != value else str(value)


