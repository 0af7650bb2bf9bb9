"""Arrays of windows on disk: Arrow stream files, memory-mapped, read without a copy.

The files are plain Hugging Face `datasets` shards (`datasets.Dataset.from_file`). An array is one
row of a `large_binary` column, read as a view of the memory map by the column's offsets: several
times as many windows a second as one file a window or as rows decoded through `datasets`, and twice
as many as through pyarrow's scalars, which copy.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from .. import artifacts, integrity, repository
from .storage import Storage, decode, encode

ROWS_A_BATCH = 64  # rows of an Arrow record batch: bounds what a writer holds twice
# Memory maps kept by a reader, which hold no open files; Linux gives a process 65,530.
_OPEN_FILES = 2**14


def write(
    path: str | Path, column: str, arrays: Iterable[np.ndarray], storage: Storage | None = None
) -> str:
    """Write arrays as rows of a column (row-major bytes).

    The file appears under its name only when it is complete.

    Parameters
    ----------
    path
        Path of the file.
    column
        Name of the column.
    arrays
        One array per row.
    storage
        How float32 `[channel, time]` is kept (see `storage`); None = arrays as they are.

    Returns
    -------
    str
        sha256 of the file.
    """
    if storage is not None and storage != "float32":
        arrays = (encode(array, storage) for array in arrays)
        return write_raw(path, arrays, schema(column, storage))
    return write_raw(path, arrays, schema(column))


def schema(column: str, storage: str = "") -> pa.Schema:
    """What a file of shards says of itself.

    Parameters
    ----------
    column
        Name of the column.
    storage
        How numbers are kept; "" = as they are.

    Returns
    -------
    Schema
        Of Arrow.
    """
    return pa.schema([(column, pa.large_binary())],
                     metadata={"storage": storage} if storage else None)


def write_raw(path: str | Path, arrays: Iterable[np.ndarray], schema: pa.Schema) -> str:
    """Write rows as they are.

    Parameters
    ----------
    path
        Path of the file.
    arrays
        One array per row.
    schema
        Of the file.

    Returns
    -------
    str
        sha256 of the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        rows: list[bytes] = []
        for array in arrays:
            rows.append(np.ascontiguousarray(array).tobytes())
            if len(rows) == ROWS_A_BATCH:
                writer.write_batch(_batch(rows, schema))
                rows = []
        if rows:
            writer.write_batch(_batch(rows, schema))
    digest = artifacts.sha256(temporary)
    artifacts.flush(temporary)  # a power cut must not leave a file under its name, but empty
    temporary.replace(path)
    return digest


def described(path: Path) -> pa.Schema:
    """What a file of shards says of itself.

    Parameters
    ----------
    path
        Path of the file.

    Returns
    -------
    Schema
        Of Arrow.
    """
    with pa.OSFile(str(path), "rb") as file:
        return pa.ipc.open_stream(file).schema


def raw(path: Path, first: int, n_rows: int) -> Iterator[np.ndarray]:
    """Rows of a file as bytes, one after the other.

    Parameters
    ----------
    path
        Path of the file.
    first
        First row.
    n_rows
        How many.

    Yields
    ------
    ndarray
        uint8, a view of the memory map.
    """
    batches = _opened(path)[0]
    for row in range(first, first + n_rows):
        offsets, data = batches[row // ROWS_A_BATCH]
        start, stop = offsets[row % ROWS_A_BATCH : row % ROWS_A_BATCH + 2].tolist()
        yield np.frombuffer(data, dtype=np.uint8, count=stop - start, offset=start)


def _opened(path: Path) -> tuple[list[tuple[np.ndarray, pa.Buffer]], str]:
    """Record batches of a file, and how its rows are stored."""
    with pa.memory_map(str(path)) as source:  # the map stays as long as views of it are there
        table = pa.ipc.open_stream(source).read_all()
    storage = (table.schema.metadata or {}).get(b"storage", b"").decode()
    return [_offsets_and_bytes(chunk) for chunk in table.column(0).chunks], storage


def _batch(rows: list[bytes], schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([pa.array(rows, pa.large_binary())], schema=schema)


class ShardReader:
    """Random access to rows of many shards in one folder.

    Safe to send to data-loader processes: only paths travel, each process maps files itself.

    Parameters
    ----------
    folder
        Folder of the shards.
    dtype
        Of the arrays.
    files
        Of the artifact that the folder is in: a shard is compared with its hash when it is first
        read. None = not compared.
    """

    def __init__(self, folder: str | Path, dtype: str, files: integrity.Files | None = None):
        self.folder, self.dtype, self.files = Path(folder), np.dtype(dtype), files
        self._sound: set[str] = set()
        self._open: OrderedDict[str, tuple[list[tuple[np.ndarray, pa.Buffer]], str]]
        self._open = OrderedDict()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_open": OrderedDict()}

    def read(self, shard: str, row: int) -> np.ndarray:
        """Row `row` of `shard` as a flat read-only array over the memory map. Raises ArtifactError
        where the shard is not what its artifact lists, ValueError where it holds no such row."""
        try:
            return self._read(shard, row)
        except (LookupError, ValueError, OSError, TypeError, AttributeError) as problem:
            if isinstance(problem, artifacts.ArtifactError):
                raise
            raise ValueError(f"{self.folder / shard}: wanted row {row} of windows of {self.dtype}, "
                             f"but it holds none such ({problem}); make it again") from problem

    def _read(self, shard: str, row: int) -> np.ndarray:
        opened = self._open.get(shard)
        if opened is None:
            repository.fetch(self.folder.parent, f"{self.folder.name}/{shard}")
            if self.files is not None and shard not in self._sound:
                integrity.need(self.files.problem(f"{self.folder.name}/{shard}"))
                self._sound.add(shard)
            opened = self._open[shard] = _opened(self.folder / shard)
            if len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)
        else:
            self._open.move_to_end(shard)
        batches, storage = opened
        offsets, data = batches[row // ROWS_A_BATCH]
        start, stop = offsets[row % ROWS_A_BATCH : row % ROWS_A_BATCH + 2].tolist()
        if storage:
            return decode(np.frombuffer(data, np.uint8, stop - start, start), storage)
        n = (stop - start) // self.dtype.itemsize
        return np.frombuffer(data, dtype=self.dtype, count=n, offset=start)


def _offsets_and_bytes(chunk: pa.Array) -> tuple[np.ndarray, pa.Buffer]:
    """Where each row of a record batch begins and ends (int64 [row + 1]), and all their bytes.

    Published shards hold lists of lists of numbers, which `datasets` reads as arrays."""
    if isinstance(chunk, pa.ExtensionArray):
        chunk = chunk.storage
    if not pa.types.is_list(chunk.type):
        _, offsets, data = chunk.buffers()
        return np.frombuffer(offsets, dtype=np.int64)[chunk.offset:], data
    rows: np.ndarray = np.arange(len(chunk) + 1)
    while pa.types.is_list(chunk.type):
        offsets = np.frombuffer(chunk.buffers()[1], dtype=np.int32)[chunk.offset:]
        rows, chunk = offsets[rows].astype(np.int64), chunk.values
    width = chunk.type.bit_width // 8
    return (rows + chunk.offset) * width, chunk.buffers()[1]
