"""Band-pass and notch as one zero-phase response, designed as MNE designs its own filters.

Kernels are MNE's windowed-sinc FIR filters with their automatic transition widths (Widmann et al.
2015, J Neurosci Methods 250:34), so the band of a corpus is the one `raw.filter` and
`raw.notch_filter` would give. Only their product is applied, in the one Fourier pass of `resample`.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.fft import next_fast_len, rfft

from neurofm.data.contract import InputContract

_NOTCH_TRANSITION_HZ = 1.0  # MNE's default
_MIN_TRANSITION_HZ = 0.25  # a narrower low-pass would need a kernel of more than 13 s


@dataclass(frozen=True, eq=False)
class Response:
    """Symmetric FIR kernels [tap] at the rate of the input, applied one after the other."""

    kernels: tuple[np.ndarray, ...]

    @property
    def reach(self) -> int:
        """How many samples to either side a sample of the output depends on."""
        return sum(len(kernel) // 2 for kernel in self.kernels)

    def at(self, n: int) -> np.ndarray:
        """Real gain at the n // 2 + 1 frequencies of an rFFT of n samples (n > 2 · reach)."""
        gain = np.ones(n // 2 + 1)
        for kernel in self.kernels:
            centered = np.zeros(n)
            half = len(kernel) // 2
            centered[: half + 1] = kernel[half:]
            if half:
                centered[-half:] = kernel[:half]
            gain *= rfft(centered).real
        return gain


def design(sfreq: float, contract: InputContract) -> Response:
    """The contract's band-pass and notches for a signal sampled at `sfreq` (> 0, Hz).

    The low-pass is also what keeps the new rate free of aliases: its stop-band begins at or below
    half of the slower rate. Where the contract leaves the upper side open and the rate goes down,
    a low-pass at 80 % of the new Nyquist frequency takes its place. Notch frequencies and their
    harmonics apply up to the end of the low-pass's transition.
    """
    nyquist = min(sfreq, contract.sfreq) / 2
    lowpass = contract.lowpass_hz
    if lowpass is None and contract.sfreq < sfreq:
        lowpass = 0.8 * nyquist
    return _design(sfreq, nyquist, contract.highpass_hz or 0.0, lowpass, contract.notch_hz)


@lru_cache(maxsize=32)
def _design(
    sfreq: float, nyquist: float, highpass: float, lowpass: float | None, notch: tuple[float, ...]
) -> Response:
    from mne.filter import create_filter

    transition = None
    stop = nyquist
    if lowpass is not None:
        # MNE's automatic width, but ending at the Nyquist frequency of the slower rate.
        transition = min(max(0.25 * lowpass, 2.0), nyquist - lowpass)
        stop = lowpass + transition
        if transition < _MIN_TRANSITION_HZ:
            lowpass, transition = None, None  # the recorder's own filter ends the band here
    kernels = []
    if highpass or lowpass:
        kernels.append(create_filter(
            None, sfreq, highpass or None, lowpass, fir_design="firwin", phase="zero",
            h_trans_bandwidth="auto" if transition is None else transition, verbose="ERROR",
        ))
    for line_hz in _lines(notch, stop):
        half = line_hz / 400 + _NOTCH_TRANSITION_HZ / 2  # MNE's width is a 200th of the frequency
        if line_hz + half < sfreq / 2:
            kernels.append(create_filter(
                None, sfreq, line_hz + half, line_hz - half, fir_design="firwin", phase="zero",
                l_trans_bandwidth=_NOTCH_TRANSITION_HZ / 2,
                h_trans_bandwidth=_NOTCH_TRANSITION_HZ / 2, verbose="ERROR",
            ))
    return Response(tuple(kernels))


def _lines(notch: tuple[float, ...], stop: float) -> list[float]:
    """Line frequencies and harmonics below `stop`, each once."""
    return sorted({line * k for line in notch for k in range(1, int(stop / line) + 1)
                   if line * k < stop})


def fast_length(n: int, multiple: int) -> int:
    """The smallest multiple of `multiple` ≥ n that has small prime factors besides it."""
    return multiple * next_fast_len(-(-n // multiple), real=True)
