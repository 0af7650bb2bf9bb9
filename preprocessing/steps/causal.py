"""Filters and a resampler that know only the past, and keep their state between chunks.

What `filter` and `resample` do with a whole recording, for one that is still coming in.
A zero-phase response needs the future, so gains are kept and phases are not:

    high-pass   Butterworth (second order; fourth above 2 Hz), half the amplitude at the frequency
                where the zero-phase one has half. A 0.1 Hz FIR would be 33 s long.
    notches     a two-pole notch at each line frequency and harmonic, as wide at half amplitude
    low-pass    the zero-phase FIR itself, as its minimum-phase twin: same gain, least delay
                (Oppenheim & Schafer, Discrete-Time Signal Processing, ch. 5: homomorphic)
    new rate    every k-th sample where the ratio is whole: nothing waits. Else a Kaiser-windowed
                sinc through 16 samples to either side: no shift in time, but an output waits for
                16 samples of the input (`lookahead_s`).
"""

from dataclasses import dataclass

import numpy as np
import scipy  # scipy.signal is loaded when it is first used
from jaxtyping import Float

from neurofm.data.contract import InputContract

from .filter import design

_NOTCH_WIDTH_HZ = 0.75  # between half amplitudes, of the zero-phase notch
_HALF = 16  # samples of the input to either side of an interpolated one
_KAISER = 6.0


@dataclass(frozen=True, eq=False)
class CausalResponse:
    """A filter that knows only the past."""

    # second-order sections [section, 6] of high-pass and notches
    sections: Float[np.ndarray, "section 6"]
    taps: Float[np.ndarray, " tap"]  # of the low-pass
    sfreq: float  # rate of the input, Hz

    def at(self, frequency_hz) -> np.ndarray:
        """Complex gain at frequencies (Hz)."""
        at = np.asarray(frequency_hz, dtype=float)
        fir = scipy.signal.freqz(self.taps, worN=at, fs=self.sfreq)[1]
        if not len(self.sections):
            return fir
        return fir * scipy.signal.freqz_sos(self.sections, worN=at, fs=self.sfreq)[1]

    def group_delay_s(self, frequency_hz) -> np.ndarray:
        """By how much an oscillation's envelope comes out later, s: −dφ/dω."""
        at, step = np.asarray(frequency_hz, dtype=float), 1e-3
        turn = np.angle(self.at(at + step) / self.at(at - step))
        return -turn / (2 * np.pi * 2 * step)


def design_causal(sfreq: float, contract: InputContract) -> CausalResponse:
    """The contract's band-pass and notches for a stream sampled at `sfreq`."""
    sections = []
    if contract.highpass_hz:
        edge = contract.highpass_hz
        half_hz = edge - min(max(0.25 * edge, 2.0), edge) / 2  # MNE's transition, its middle
        order = 2 if edge <= 2 else 4
        sections.append(scipy.signal.butter(order, half_hz * 3 ** (0.5 / order), "highpass",
                                            fs=sfreq, output="sos"))
    nyquist = min(sfreq, contract.sfreq) / 2
    lines = {line * k for line in contract.notch_hz for k in range(1, int(nyquist / line) + 1)}
    for line in sorted(line for line in lines if line + 1 < nyquist):
        # |H| = ½ where the offset is 0.577 of half the width at −3 dB.
        width = _NOTCH_WIDTH_HZ / 0.577
        b, a = scipy.signal.iirnotch(line, line / width, fs=sfreq)
        sections.append(np.concatenate([b, a])[None])
    kernels = design(sfreq, contract.with_(highpass_hz=None, notch_hz=())).kernels
    taps = np.ones(1)
    for kernel in kernels:
        least = scipy.signal.minimum_phase(kernel, method="homomorphic", half=False)
        taps = np.convolve(taps, least * (kernel.sum() / least.sum()))
    return CausalResponse(np.concatenate(sections) if sections else np.zeros((0, 6)), taps, sfreq)


class CausalFilter:
    """Applies a response chunk by chunk; how the signal is cut into chunks changes nothing."""

    def __init__(self, response: CausalResponse, n_channels: int):
        self.response = response
        self._sections = np.zeros((len(response.sections), n_channels, 2))
        self._taps = np.zeros((n_channels, len(response.taps) - 1))

    def start(self, first: Float[np.ndarray, "channel time"]) -> None:
        """Settle as if the signal had always been what its first stretch is: its mean for ever, and
        then the stretch backwards. Offsets of DC amplifiers would else ring for seconds."""
        mean = first.mean(axis=1)
        if len(self.response.sections):
            # [section, 2], of a step of one
            steady = scipy.signal.sosfilt_zi(self.response.sections)
            self._sections = steady[:, None, :] * mean[None, :, None]
        if len(self.response.taps) > 1:
            through = float(self.response.at([0.0])[0].real) / self.response.taps.sum()
            steady = scipy.signal.lfilter_zi(self.response.taps, [1.0])
            self._taps = steady * (mean * through)[:, None]
        self(first[:, ::-1])

    def __call__(self, chunk: Float[np.ndarray, "channel time"]) -> np.ndarray:
        """The filtered chunk, float64, as long as what came."""
        out = np.asarray(chunk, dtype=np.float64)
        if out.shape[1] == 0:
            return out
        if len(self.response.sections):
            out, self._sections = scipy.signal.sosfilt(self.response.sections, out, axis=1,
                                                       zi=self._sections)
        if len(self.response.taps) > 1:
            out, self._taps = scipy.signal.lfilter(self.response.taps, [1.0], out, axis=1,
                                                   zi=self._taps)
        return out


class CausalResampler:
    """New sampling rate, chunk by chunk; sample k of the output lies at k / new_sfreq exactly.

    The input must be free of what the new rate cannot hold: that is the low-pass's work.
    """

    def __init__(self, sfreq: float, new_sfreq: float, n_channels: int):
        self.step = sfreq / new_sfreq  # input samples from one output to the next
        self.half = 0 if self.step == round(self.step) else _HALF
        self.lookahead_s = self.half / sfreq
        self._kept = np.zeros((n_channels, 0))
        self._first = 0  # index of the first sample that is kept
        self._made = 0

    def __call__(self, chunk: Float[np.ndarray, "channel time"]) -> np.ndarray:
        """What can be made now, [channel, new time], perhaps nothing."""
        if self._first == 0 and self._kept.shape[1] == 0 and chunk.shape[1]:
            self._kept = np.repeat(chunk[:, :1], self.half, axis=1)  # before the first: held
            self._first = -self.half
        kept = np.concatenate([self._kept, chunk], axis=1)
        last = self._first + kept.shape[1] - 1
        n = max(0, int(np.floor((last - self.half) / self.step + 1e-9)) + 1 - self._made)
        place = np.arange(self._made, self._made + n) * self.step
        whole = np.floor(place + 1e-9).astype(int)
        if self.half:
            reach = np.arange(1 - self.half, self.half + 1)
            offset = reach[None] - (place - whole)[:, None]
            weights = np.sinc(offset) * _kaiser(offset / self.half)
            weights /= weights.sum(axis=1, keepdims=True)
            rows = whole[:, None] + reach[None] - self._first
            out = np.einsum("cnk,nk->cn", kept[:, rows], weights)
        else:
            out = kept[:, whole - self._first]
        self._made += n
        drop = int(np.floor(self._made * self.step + 1e-9)) - self.half - self._first
        drop = min(max(drop, 0), kept.shape[1])
        self._kept, self._first = kept[:, drop:], self._first + drop
        return out


def _kaiser(place: np.ndarray) -> np.ndarray:
    """Kaiser's window at places −1 … 1, 0 beyond."""
    inside = np.sqrt(np.clip(1 - place**2, 0, None))
    return np.where(np.abs(place) <= 1, np.i0(_KAISER * inside) / np.i0(_KAISER), 0.0)
