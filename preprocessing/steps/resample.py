"""Notch, band-pass and new sampling rate in one Fourier pass.

A recording is taken in overlapping blocks: rFFT, times the filter's gain, spectrum cut or padded to
the new rate, inverse rFFT, and of each block the part that the filter's reach leaves untouched.
Kernels are finite, so the result does not depend on the blocks (up to float32 rounding), nothing
is shifted in time, and memory is bounded. It costs two transforms where filter, notch and resample
one after the other cost a dozen in float64.

At the ends of a continuous stretch the signal is continued by odd reflection about its last sample,
as MNE does. A stretch shorter than the filter's reach is reflected as often as needed: that is its
end-to-end line (which a symmetric high-pass removes) plus a periodic signal, so it is high-passed
as far as it can be, and `quality["highpass_hz"]` says what it really meets.
"""

from fractions import Fraction
from math import floor

import numpy as np
from scipy.fft import irfft, rfft

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording

from .. import memory, segments
from .bad_channels import power_spectrum
from .causal import CausalFilter, CausalResampler, design_causal
from .filter import Response, design, fast_length
from .step import Causal, LiveStep, Step

_BLOCK = 2**17  # samples of a channel: transforms of 0.5 MB stay in the second-level cache
_BLOCK_BYTES = 2**27
_ROWS = 8  # channels transformed together
_START_S = 1.0  # filters of a stream settle on this much signal before its first sample


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    """Filter and resample every continuous stretch; times of events stay what they were.

    (A joint between two samples moves to the one after it: there the stretch begins.)
    """
    response = design(recording.sfreq, contract)
    n_out = round(recording.n_times * contract.sfreq / recording.sfreq)
    stretches = segments.continuous(recording)
    whole = stretches == [(0, recording.n_times)]
    if not whole and stretches and stretches[-1][1] == recording.n_times:
        # As many samples of the last stretch as of one of its length before it: it may begin late.
        start, ratio = stretches[-1][0], contract.sfreq / recording.sfreq
        n_out = max(n_out, segments.first_sample(start / recording.sfreq, contract.sfreq)
                    + floor((recording.n_times - start) * ratio + 1e-6))
    out = memory.empty((recording.n_channels, n_out))
    if not whole:
        out[:] = 0.0  # between stretches, where nothing was recorded
    for start, stop in stretches:
        first, last = (min(segments.first_sample(k / recording.sfreq, contract.sfreq), n_out)
                       for k in (start, stop))
        last = n_out if stop == recording.n_times else last
        offset_s = first / contract.sfreq - start / recording.sfreq
        _stretch(recording.signal[:, start:stop], recording.sfreq, contract.sfreq, response,
                 out[:, first:last], offset_s, keep_offset=contract.highpass_hz is None)
    shortest_s = min(stop - start for start, stop in stretches) / recording.sfreq
    # A stretch of T seconds holds no frequency below 1 / T.
    quality["highpass_hz"] = (None if contract.highpass_hz is None
                              else round(max(contract.highpass_hz, 1 / shortest_s), 4))
    quality["line_noise"] = _line_noise(recording, contract)
    low_hz, high_hz = recording.band_hz
    if recording.sfreq < contract.sfreq:  # what is above is no signal of the device
        high_hz = min(high_hz or recording.sfreq / 2, recording.sfreq / 2)
    return recording.with_(signal=out, sfreq=contract.sfreq, events=segments.on_samples(recording),
                           band_hz=(low_hz, high_hz))


def _stretch(
    signal: np.ndarray, sfreq: float, new_sfreq: float, response: Response, out: np.ndarray,
    offset_s: float, *, keep_offset: bool,
) -> None:
    """Fill `out` [channel, new time], whose first sample lies `offset_s` after the signal's."""
    n = signal.shape[1]
    ratio = _ratio(new_sfreq / sfreq, n)
    pad = -(-(response.reach + 1) // ratio.denominator) * ratio.denominator
    block = min(max(_BLOCK, 6 * pad), max(6 * pad, _BLOCK_BYTES // (4 * len(signal))))
    n_in = fast_length(min(n + 2 * pad, block), ratio.denominator)
    n_out = n_in // ratio.denominator * ratio.numerator
    bins = min(n_in, n_out) // 2 + 1
    gain = response.at(n_in)[:bins] * (n_out / n_in)
    if offset_s:
        frequency = np.arange(bins) * sfreq / n_in
        gain = gain * np.exp(2j * np.pi * frequency * offset_s)
    # Above the Nyquist frequency of the slower rate there is nothing; at it, half of a pair.
    if n_in != n_out and min(n_in, n_out) % 2 == 0:
        gain[-1] = 0.0
    gain = gain.astype(np.complex64 if offset_s else np.float32)
    # Offsets of DC amplifiers are a thousand times the signal: out before float32 transforms.
    offset = signal.mean(1, dtype=np.float64, keepdims=True).astype(np.float32)
    step = n_in - 2 * pad
    for begin in range(0, n, step):
        first = begin // ratio.denominator * ratio.numerator
        if first >= out.shape[1]:
            break
        count = min(step // ratio.denominator * ratio.numerator, out.shape[1] - first)
        skip = pad // ratio.denominator * ratio.numerator
        for row in range(0, len(signal), _ROWS):
            rows = slice(row, row + _ROWS)
            piece = _reflected(signal[rows], begin - pad, begin - pad + n_in) - offset[rows]
            spectrum = rfft(piece, axis=1, overwrite_x=True)[:, :bins] * gain
            made = irfft(spectrum, n_out, axis=1, overwrite_x=True)
            out[rows, first:first + count] = made[:, skip:skip + count]
    if keep_offset:
        out += offset


def _ratio(exact: float, n: int) -> Fraction:
    """new rate / old rate as a fraction that drifts by less than 1/100 sample over n samples."""
    for limit in (10, 100, 1_000, 10_000, 100_000):
        ratio = Fraction(exact).limit_denominator(limit)
        if ratio and abs(float(ratio) - exact) * n < 0.01:
            return ratio
    return ratio


def _reflected(signal: np.ndarray, start: int, stop: int) -> np.ndarray:
    """signal[:, start:stop], continued beyond its ends by odd reflection; always a copy."""
    n = signal.shape[1]
    left, right = max(0, -start), max(0, stop - n)
    middle = signal[:, max(0, start):min(stop, n)]
    if not left and not right:
        return np.array(middle, dtype=np.float32)
    if max(left, right) >= n:
        if n == 1:
            return np.repeat(signal, stop - start, axis=1)
        padded = np.pad(signal, ((0, 0), (left, right)), mode="reflect", reflect_type="odd")
        return padded[:, max(0, start):][:, : stop - start]
    before = 2 * signal[:, :1] - signal[:, left:0:-1]
    after = 2 * signal[:, -1:] - signal[:, n - 1 - right:n - 1][:, ::-1]
    return np.concatenate([before[:, :left], middle, after], axis=1)


def _line_noise(recording: Recording, contract: InputContract) -> dict[str, float]:
    """Power at each line frequency over that beside it, median over channels, before the notch."""
    found: dict[str, float] = {}
    if recording.duration_s < 2:
        return found  # too coarse a spectrum to tell a line from its neighbors
    frequency, power, _ = power_spectrum(recording, max_segments=30)
    for line in contract.notch_hz:
        if line + 5 < recording.sfreq / 2:
            away = np.abs(frequency - line)
            near, apart = away <= 1, (away > 2) & (away < 5)
            if not (near.any() and apart.any()):
                continue  # of stretches too short to tell them
            beside = np.median(power[:, apart], axis=1)
            ratio = power[:, near].max(1) / np.maximum(beside, 1e-30)
            found[f"{line:g}"] = round(float(np.median(ratio)), 1)
    return found


class LiveResample(LiveStep):
    """Filters and the new rate, from the past alone (`causal`)."""

    def __init__(self, recording: Recording, contract: InputContract):
        self.sfreq, self._sfreq_in, self._contract = contract.sfreq, recording.sfreq, contract
        self.response = design_causal(recording.sfreq, contract)
        self._filter = CausalFilter(self.response, recording.n_channels)
        self._resample = CausalResampler(recording.sfreq, contract.sfreq, recording.n_channels)
        self.lookahead_s = self._resample.lookahead_s
        self._waiting: list[np.ndarray] | None = []  # until the filters can settle

    def push(self, chunk: np.ndarray) -> np.ndarray:
        if self._waiting is not None:
            self._waiting.append(chunk)
            if sum(part.shape[1] for part in self._waiting) < _START_S * self._sfreq_in:
                return np.zeros((len(chunk), 0))
            chunk, self._waiting = np.concatenate(self._waiting, axis=1), None
            self._filter.start(chunk[:, :round(_START_S * self._sfreq_in)])
        return self._resample(self._filter(chunk))

    def group_delay_s(self, frequency_hz) -> np.ndarray:
        return self.response.group_delay_s(frequency_hz)

    def differences(self) -> list[str]:
        said, contract = [], self._contract
        at = np.array([hz for hz in (1, 4, 10, 20, 40) if (contract.highpass_hz or 0) < hz
                       < (contract.lowpass_hz or contract.sfreq / 2)], dtype=float)
        if len(at) and (len(self.response.sections) or len(self.response.taps) > 1):
            delays = ", ".join(f"{1e3 * delay:.0f} ms at {hz:g} Hz" for hz, delay
                               in zip(at, self.group_delay_s(at), strict=True))
            said.append(f"Filters know only the past: they keep the band, but what they let "
                        f"through comes later ({delays}), slow oscillations more than fast ones. "
                        f"A file is filtered without any delay.")
        if self.lookahead_s:
            said.append(f"The change from {self._sfreq_in:g} to {contract.sfreq:g} Hz waits for "
                        f"{1e3 * self.lookahead_s:.0f} ms of signal after each window.")
        return said


def remarks(quality: dict) -> list[str]:
    return [f"line noise at {line} Hz is {ratio:.0f} times the power beside it; check the ground "
            f"and the reference electrode"
            for line, ratio in quality["line_noise"].items() if ratio > 100]


STEP = Step("resample", apply, live=Causal(LiveResample), remarks=remarks)
