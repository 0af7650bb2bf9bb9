"""Where live samples come from: a recording replayed in real time, or a Lab Streaming Layer stream.

A feed has `template` (a Recording that says what the channels are), `chunks(stop)` and
`arrived(index)`: the time (`time.perf_counter`) at which sample `index` could first be had.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Literal

import numpy as np

from neurofm import extras
from neurofm.data.recording import Recording
from neurofm.preprocessing import readers
from neurofm.preprocessing.readers.units import VOLTS

_CHUNK_S = 0.05  # as amplifiers deliver
_SAMPLES_AT_ONCE = 4096
_KEPT = 4096  # chunks whose time of arrival is remembered


class Replay:
    """A recording as if it were being recorded now; speed 2 = twice as fast.

    Sample k can be had from (k + 1) / (sfreq · speed) s after the beginning on, and is handed on
    with the next chunk of 50 ms. Whoever is late finds all that has come in since in one chunk, as
    with an amplifier's buffer.
    """

    def __init__(self, recording: Recording, speed: float = 1.0):
        if not speed > 0:
            raise ValueError(f"speed must be > 0 (1 = real time), got {speed}")
        self.template, self.speed = recording, speed
        self.begin = 0.0
        self.ended = "stopped"

    def chunks(self, stop: threading.Event) -> Iterator[np.ndarray]:
        """[channel, time] each, in SI units, until the end or `stop`."""
        n, rate = self.template.n_times, self.template.sfreq * self.speed
        sent, tick = 0, 0
        self.begin = time.perf_counter()
        while sent < n:
            tick += 1
            if stop.wait(max(0.0, self.begin + tick * _CHUNK_S - time.perf_counter())):
                return
            due = min(n, int((time.perf_counter() - self.begin) * rate))
            if due > sent:
                yield self.template.signal[:, sent:due]
                sent = due
        self.ended = "the recording has ended"

    def arrived(self, index: int) -> float:
        return self.begin + (index + 1) / (self.template.sfreq * self.speed)


class Lsl:
    """A stream of Lab Streaming Layer, as an MNE-LSL inlet gives it.

    inlet: has `pull_chunk(timeout, max_samples) -> (samples [time, channel], times)` and
    `close_stream()`. template: of the channels in `rows` of the samples; factor [row]: to SI units.
    silence_s: after so long without a sample the stream counts as ended. Samples count from the
    first one pulled; a sample has arrived when it was pulled, so the network's delay is not in the
    latency.
    """

    def __init__(self, inlet, template: Recording, rows: np.ndarray, factor: np.ndarray,
                 silence_s: float = 10.0):
        self.inlet, self.template, self.rows = inlet, template, rows
        self.factor, self.silence_s = factor.astype(np.float64)[:, None], silence_s
        self.ended = "stopped"
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=_KEPT)  # (last index, when)

    def chunks(self, stop: threading.Event) -> Iterator[np.ndarray]:
        """[channel, time] each, in SI units, until silence or `stop`."""
        try:
            yield from self._chunks(stop)
        finally:
            self.inlet.close_stream()

    def _chunks(self, stop: threading.Event) -> Iterator[np.ndarray]:
        n, heard = 0, time.perf_counter()
        while not stop.is_set():
            samples, _ = self.inlet.pull_chunk(timeout=_CHUNK_S, max_samples=_SAMPLES_AT_ONCE)
            now = time.perf_counter()
            if len(samples) == 0:
                if now - heard > self.silence_s:
                    self.ended = f"nothing came for {self.silence_s:g} s"
                    return
                continue
            heard = now
            n += len(samples)
            self._arrivals.append((n - 1, now))
            yield np.asarray(samples).T[self.rows] * self.factor

    def arrived(self, index: int) -> float:
        return next((when for last, when in self._arrivals if last >= index),
                    time.perf_counter())


def open_lsl(name: str, silence_s: float, *, montage: str,
             unknown_head: Literal["refuse", "helmet"], rename: dict[str, str], unit: str = "",
             timeout_s: float = 10.0) -> Lsl:
    """Find the stream called `name` and open an inlet; ValueError says which streams there are."""
    lsl = extras.need("mne_lsl.lsl", "--lsl")
    resolve_streams, StreamInlet = lsl.resolve_streams, lsl.StreamInlet
    found = resolve_streams(timeout=timeout_s, name=name)
    if not found:
        others = sorted({stream.name for stream in resolve_streams(timeout=2.0)})
        raise ValueError(f"--lsl {name}: no such stream within {timeout_s:g} s; there are "
                         f"{', '.join(others) or 'none at all'}: start it, or check the network")
    if len(found) > 1:
        raise ValueError(f"--lsl {name}: {len(found)} streams have this name; give them different "
                         f"ones")
    inlet = StreamInlet(found[0])
    inlet.open_stream(timeout=timeout_s)
    about = inlet.get_sinfo()
    if not about.sfreq > 0:
        raise ValueError(f"--lsl {name}: wanted a stream with a sampling rate, this one is "
                         f"irregular (markers?); name the stream of the signal")
    template, rows = template_of(about.get_channel_info(), f"lsl:{name}", montage=montage,
                                 unknown_head=unknown_head, rename=rename)
    factor = np.array([10.0 ** about.get_channel_info()["chs"][row]["unit_mul"] for row in rows])
    if unit:
        factor[np.array(template.sensors.kinds) == "eeg"] = VOLTS[unit]
    return Lsl(inlet, template, rows, factor, silence_s)


def template_of(info, source: str, *, montage: str, unknown_head: Literal["refuse", "helmet"],
                rename: dict[str, str]) -> tuple[Recording, np.ndarray]:
    """(what a stream with this `mne.Info` is, its EEG and MEG channels' numbers in the stream)."""
    import mne

    # As a recording of one sample in which each channel gives its own number, so that the reader
    # of files says which channels are taken, under which names and at which places.
    numbers = np.arange(len(info["chs"]), dtype=float)[:, None]
    raw = mne.io.RawArray(numbers, info, verbose="ERROR")
    template = readers.from_raw(raw, montage=montage, unknown_head=unknown_head, rename=rename,
                                source=source)
    return template, template.signal[:, 0].astype(int)
