"""What storing windows as float16 or int16 costs and saves, and what zstd would on top.

    python -m tests.benchmarks.bench_storage RECORDING.edf

Windows of 30 s of an EEG recording, each channel divided by its deviation; without a recording, of
pink noise, which compresses less. Medians in one process.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from neurofm.data import storage

WINDOW_S, REPEATS = 30, 7


def windows(path: str | None) -> list[np.ndarray]:
    """float32 [channel, time] each."""
    if path is None:
        noise = np.random.default_rng(0).standard_normal((21, 90 * 256))
        spectrum = np.fft.rfft(noise)
        signal = np.fft.irfft(spectrum / np.sqrt(np.arange(1, spectrum.shape[1] + 1)))
        n = WINDOW_S * 256
    else:
        import mne

        raw = mne.io.read_raw(path, preload=True, verbose="error")
        signal, n = raw.get_data("eeg"), int(WINDOW_S * raw.info["sfreq"])
    signal = ((signal - signal.mean(1, keepdims=True)) / signal.std(1, keepdims=True)).astype("f4")
    return [np.ascontiguousarray(signal[:, i : i + n])
            for i in range(0, signal.shape[1] - n + 1, n)]


def milliseconds(do: Callable[[], object], n: int) -> float:
    """Of one window."""
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        do()
        took.append((time.perf_counter() - began) / n * 1e3)
    return statistics.median(took)


def main() -> None:
    found, codec = windows(sys.argv[1] if len(sys.argv) > 1 else None), pa.Codec("zstd")
    print(f"{len(found)} windows of {found[0].shape}")
    print(f"{'':<10}{'share of float32':>18}{'error':>10}{'read, ms':>10}{'zstd leaves':>13}"
          f"{'zstd reads, ms':>16}")
    for kind in ("float32", "float16", "int16"):
        plain = kind == "float32"
        rows = [(each if plain else storage.encode(each, kind)).tobytes() for each in found]
        small = [codec.compress(row, asbytes=True) for row in rows]

        def read(rows: list[bytes] = rows, kind: str = kind, plain: bool = plain) -> None:
            for row in rows:
                kept = np.frombuffer(row, np.uint8)
                kept.view(np.float32).sum() if plain else storage.decode(kept, kind).sum()

        def unpack(rows: list[bytes] = rows, small: list[bytes] = small) -> None:
            for row, packed in zip(rows, small, strict=True):
                codec.decompress(packed, len(row))

        share = sum(map(len, rows)) / sum(each.nbytes for each in found)
        print(f"{kind:<10}{share:>18.3f}{0 if plain else storage.error(found, kind):>10.1g}"
              f"{milliseconds(read, len(rows)):>10.2f}"
              f"{sum(map(len, small)) / sum(map(len, rows)):>13.2f}"
              f"{milliseconds(unpack, len(rows)):>16.2f}")


if __name__ == "__main__":
    main()
