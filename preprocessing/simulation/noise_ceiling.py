"""Ceiling: how well a recording can be predicted by someone who knows the brain but not the noise.

Pearson correlation between noisy and noise-free signals after a contract's standardization: what a
reconstruction of hidden sensors cannot pass, because noise of one sensor is not in the others.
"""

import numpy as np
import scipy.fft
from jaxtyping import Float

from neurofm.data.contract import InputContract


def ceiling(
    noisy: Float[np.ndarray, "channel time"],
    clean: Float[np.ndarray, "channel time"],
    sfreq: float,
    window_s: float,
    contract: InputContract | None = None,
) -> float:
    """Mean Pearson over channels and windows of `window_s` seconds, sensors of one kind."""
    contract = contract or InputContract()
    length = round(window_s * sfreq)
    if noisy.shape != clean.shape or noisy.shape[1] < length:
        raise ValueError(
            f"ceiling wants two signals of one shape and at least {length} samples, "
            f"got {noisy.shape} and {clean.shape}"
        )
    pair = [_windows(_standard(each, sfreq, contract), length) for each in (noisy, clean)]
    return float(np.mean(_pearson(*pair)))


def _standard(signal: np.ndarray, sfreq: float, contract: InputContract) -> np.ndarray:
    """Band and notch of the contract as a sharp cut of the spectrum, then its reference."""
    hz = np.fft.rfftfreq(signal.shape[1], 1 / sfreq)
    low, high = contract.highpass_hz or 0.0, contract.lowpass_hz or np.inf
    keep = (hz >= low) & (hz <= high)
    for line in contract.notch_hz:
        harmonic = np.maximum(np.round(hz / line), 1) * line
        keep &= np.abs(hz - harmonic) > 1.0
    spectrum = scipy.fft.rfft(signal, axis=1) * keep.astype(np.float32)
    band = scipy.fft.irfft(spectrum, signal.shape[1], axis=1)
    return band - band.mean(0) if contract.reference == "average" else band


def _windows(signal: np.ndarray, length: int) -> np.ndarray:
    """[channel, time] → [channel, window, time], the tail left out."""
    n = signal.shape[1] // length
    return signal[:, : n * length].reshape(len(signal), n, length)


def _pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation along the last axis; z-scored first, since the square of a tesla underflows."""
    a, b = ((x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True) for x in (a, b))
    return (a * b).mean(-1)
