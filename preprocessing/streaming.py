"""A live signal → what the contract says, window by window, from the past alone.

Filters and the new rate run along (`causal`). Everything after them has no memory, so it is done
when a window closes, by the very steps that standardize a file: amplitudes of the window, spectra
of the last half minute, interpolation, reference, scale. What differs from a file is said by
`differences`, in words for people.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording
from neurofm.data.sensors import Sensors

from .causal import CausalFilter, CausalResampler, design_causal
from .steps import amplitude, bad_channels, interpolate, positions, reference, select
from .steps.refusal import ContractError
from .steps.scale import over_recording, scale

JUDGED_S = 30.0  # spectra of this much past decide which channels are bad
_LEAST_JUDGED_S = 10.0  # fewer 2 s segments make spectra too rough to compare
_START_S = 1.0  # the filters settle on this much signal before the first sample is filtered
_HELD_S = 0.5  # as `steps.samples`: no amplifier gives the same value for this long


@dataclass(frozen=True, eq=False)
class LiveWindow:
    """Live window.

    Parameters
    ----------
    start_s, stop_s
        From the first sample of the stream.
    last
        Index of the last sample of the input inside it.
    signal
        Scaled; None where it cannot be used, and `problem` says why.
    quality
        Bads (name → reason), interpolated, left_out.
    """

    start_s: float
    stop_s: float
    last: int
    signal: Float32[np.ndarray, "channel time"] | None
    sensors: Sensors
    quality: dict
    problem: str = ""


class CausalStandardizer:
    """Chunks [channel, time] in SI units go in, windows that meet the contract come out.

    template: a Recording that says what the stream is: sensors, sfreq, bads, band; its signal is
    not read. hop_s: from one window to the next; None = the contract's stride.
    Raises ContractError where no stream of these sensors at this rate can meet the contract.
    """

    def __init__(self, template: Recording, contract: InputContract, hop_s: float | None = None):
        if contract.parcels:
            raise ContractError(
                template.source, "sensors, window by window",
                "parcels need the covariance of a whole recording",
                "decode a file (neurofm decode), or take a model of sensors")
        self.contract, self.sfreq = contract, template.sfreq
        self._n_inputs = template.n_channels
        rows = np.arange(self._n_inputs, dtype=np.float32)[:, None]  # a row's value is its number
        quality: dict = {"bads": {name: "marked before the stream" for name in template.bads
                                  if name in template.sensors.names}}
        chosen = positions.apply(
            select.apply(template.with_(signal=rows), contract, quality), contract, quality)
        self.rows = chosen.signal[:, 0].astype(int)
        self.sensors, self.marked = chosen.sensors, quality["bads"]
        self.quality = {key: quality[key] for key in ("without_position", "band_missing_hz",
                                                      "line_left_hz")}
        self.response = design_causal(self.sfreq, contract)
        n = len(self.rows)
        self._filter = CausalFilter(self.response, n)
        self._resample = CausalResampler(self.sfreq, contract.sfreq, n)
        self.hop = contract.stride_samples if hop_s is None else round(hop_s * contract.sfreq)
        if self.hop < 1:
            raise ValueError(f"hop_s must be at least one sample ({1 / contract.sfreq:.4g} s), "
                             f"got {hop_s}")
        self._past = _Past(n, max(contract.window_samples, round(JUDGED_S * contract.sfreq)))
        self._next_stop = contract.window_samples
        self._waiting: list[np.ndarray] | None = []  # until the filters can settle
        self._n_in = 0
        self._value, self._changed = np.zeros(n), np.zeros(n, dtype=int)
        self._lost = np.full(n, -1)  # last sample at which a channel gave no measurement

    @property
    def lookahead_s(self) -> float:
        """How long the newest standardized sample has waited for later ones."""
        return self._resample.lookahead_s

    def push(self, chunk: Float[np.ndarray, "channel time"]) -> list[LiveWindow]:
        """Take what came in; returns the windows that have closed by it."""
        if chunk.ndim != 2 or chunk.shape[0] != self._n_inputs:
            raise ValueError(f"wanted chunks [channel, time] of {self._n_inputs} channels, "
                             f"got {chunk.shape}")
        chunk = self._measured(np.asarray(chunk[self.rows], dtype=np.float64))
        if self._waiting is not None:
            self._waiting.append(chunk)
            if self._n_in < _START_S * self.sfreq:
                return []
            chunk, self._waiting = np.concatenate(self._waiting, axis=1), None
            self._filter.start(chunk[:, :round(_START_S * self.sfreq)])
        self._past.add(self._resample(self._filter(chunk)).astype(np.float32), self._next_stop)
        closed = []
        while self._past.stop >= self._next_stop:
            closed.append(self._window(self._next_stop))
            self._next_stop += self.hop
        return closed

    def _measured(self, chunk: np.ndarray) -> np.ndarray:
        """The chunk with the last value in place of NaN and infinity, which no recursive filter
        ever forgets; notes where each channel gave no measurement."""
        n = chunk.shape[1]
        if n == 0:
            return chunk
        index = self._n_in + np.arange(n)
        before = np.concatenate([self._value[:, None], chunk], axis=1)
        finite = np.isfinite(before)
        if not finite.all():
            finite[:, 0] = True  # what is held is finite
            latest = np.maximum.accumulate(np.where(finite, np.arange(n + 1), 0), axis=1)
            before = np.take_along_axis(before, latest, axis=1)
            self._lost = np.maximum(self._lost, np.where(finite[:, 1:], -1, index).max(axis=1))
        changes = np.where(before[:, 1:] != before[:, :-1], index, -1)
        changed = np.maximum.accumulate(np.maximum(changes, self._changed[:, None]), axis=1)
        held = index - changed >= _HELD_S * self.sfreq
        self._lost = np.maximum(self._lost, np.where(held, index, -1).max(axis=1))
        self._changed, self._value = changed[:, -1], before[:, -1]
        self._n_in += n
        return before[:, 1:]

    def _window(self, stop: int) -> LiveWindow:
        contract, n = self.contract, self.contract.window_samples
        start = stop - n
        times = (start / contract.sfreq, stop / contract.sfreq)
        last = int(np.floor((stop - 1) * self.sfreq / contract.sfreq + 1e-6))
        settling_s = 0.5 / contract.highpass_hz if contract.highpass_hz else 0.0
        since = (times[0] - settling_s) * self.sfreq
        lost = {name: "no measurement: flat, missing or infinite" for name, at
                in zip(self.sensors.names, self._lost, strict=True) if at >= max(since, 0)}
        quality: dict = {"bads": {**self.marked, **lost}, "interpolated": [], "left_out": []}
        window = self._part(start, stop)
        try:
            window = self._judged(window, stop, quality)
        except ContractError as error:
            return LiveWindow(*times, last, None, self.sensors, quality, error.reason)
        statistics = None
        if contract.scale == "recording_std":  # of what has been seen of it lately
            past = self._part(max(0, stop - round(JUDGED_S * contract.sfreq)), stop)
            statistics = over_recording([past.signal[[past.sensors.names.index(name)
                                                      for name in window.sensors.names]]])
        return LiveWindow(*times, last,
                          scale(window.signal, window.sensors.kind, contract, statistics),
                          window.sensors, quality)

    def _judged(self, window: Recording, stop: int, quality: dict) -> Recording:
        """The steps of a file that follow its filter."""
        if len(quality["bads"]) == len(self.sensors):
            reason = next(iter(quality["bads"].values()))
            raise ContractError("", "channels with a signal",
                                f"all {len(self.sensors)} are unusable ({reason})",
                                "look at the amplifier")
        window = amplitude.apply(window, self.contract, quality)
        judged_s = min(stop / self.contract.sfreq, JUDGED_S)
        if judged_s >= _LEAST_JUDGED_S:
            past = self._part(stop - round(judged_s * self.contract.sfreq), stop)
            bad_channels.apply(past, self.contract, quality)
        for step in (interpolate, reference):
            window = step.apply(window, self.contract, quality)
        return window

    def _part(self, start: int, stop: int) -> Recording:
        return Recording(self._past.part(start, stop), self.contract.sfreq, self.sensors)

    def differences(self) -> list[str]:
        """What a stream gets that a file would not, each in a sentence."""
        said = []
        at = np.array([hz for hz in (1, 4, 10, 20, 40)
                       if (self.contract.highpass_hz or 0) < hz
                       < (self.contract.lowpass_hz or self.contract.sfreq / 2)], dtype=float)
        if len(at) and (len(self.response.sections) or len(self.response.taps) > 1):
            delays = ", ".join(f"{1e3 * delay:.0f} ms at {hz:g} Hz" for hz, delay
                               in zip(at, self.response.group_delay_s(at), strict=True))
            said.append(f"Filters know only the past: they keep the band, but what they let "
                        f"through comes later ({delays}), slow oscillations more than fast ones. "
                        f"A file is filtered without any delay.")
        if self.lookahead_s:
            said.append(f"The change from {self.sfreq:g} to {self.contract.sfreq:g} Hz waits for "
                        f"{1e3 * self.lookahead_s:.0f} ms of signal after each window.")
        if self.contract.scale == "recording_std":
            said.append(f"Channels are scaled by their last {JUDGED_S:g} s; in a file by the whole "
                        f"recording.")
        said.append(f"Bad channels are found in each window and the last {JUDGED_S:g} s before its "
                    f"end, and by their spectra only after the first {_LEAST_JUDGED_S:g} s; in a "
                    f"file the whole recording decides.")
        said.append("Joints and stretches marked bad in a file are not known to a stream; where "
                    "most channels give no measurement, no class is named.")
        return said


class _Past:
    """The last standardized samples [channel, time], in a buffer that is moved now and then."""

    def __init__(self, n_channels: int, keep: int):
        self._keep, self.stop, self._fill = keep, 0, 0
        self._buffer = np.zeros((n_channels, 3 * keep), dtype=np.float32)

    def add(self, more: np.ndarray, still_wanted: int) -> None:
        """Append; samples from `still_wanted` − keep on stay."""
        n, room = more.shape[1], self._buffer.shape[1]
        if self._fill + n > room:
            kept = min(self._fill, self._keep + max(0, self.stop - still_wanted))
            if kept + n > room:  # one very long chunk
                grown = np.zeros((len(self._buffer), kept + n + self._keep), dtype=np.float32)
                grown[:, :kept] = self._buffer[:, self._fill - kept:self._fill]
                self._buffer = grown
            else:
                self._buffer[:, :kept] = self._buffer[:, self._fill - kept:self._fill].copy()
            self._fill = kept
        self._buffer[:, self._fill:self._fill + n] = more
        self._fill, self.stop = self._fill + n, self.stop + n

    def part(self, start: int, stop: int) -> np.ndarray:
        """A copy of samples start … stop of the stream."""
        shift = self._fill - self.stop
        return self._buffer[:, start + shift:stop + shift].copy()
