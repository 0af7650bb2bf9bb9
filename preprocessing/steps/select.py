"""Keep the sensors of the kinds that the contract takes, and check that the band can be had."""

import numpy as np

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording

from .. import scratch
from .refusal import ContractError


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    """Refuses when no sensor is of a wanted kind, or half the sampling rate is below the band."""
    kinds = np.array(recording.sensors.kinds)
    keep = np.isin(kinds, contract.kinds)
    if not keep.any():
        found, counts = np.unique(kinds, return_counts=True)
        came = ", ".join(f"{n} {kind}" for n, kind in zip(counts, found, strict=True))
        raise ContractError(
            recording.source, f"sensors of kind {' or '.join(contract.kinds)}",
            f"the recording has {came or 'none'}",
            "use a checkpoint (or contract.kinds) for these sensors",
        )
    nyquist_hz = recording.sfreq / 2
    if contract.lowpass_hz is not None and nyquist_hz < contract.lowpass_hz:
        raise ContractError(
            recording.source, f"the band up to {contract.lowpass_hz:g} Hz",
            f"the sampling rate of {recording.sfreq:g} Hz ends at {nyquist_hz:g} Hz",
            f"give a recording sampled at {2 * contract.lowpass_hz:g} Hz or more, or ingest with "
            f"contract.lowpass_hz below {nyquist_hz:g}",
        )
    quality["sfreq_original"] = recording.sfreq
    quality["band_missing_hz"] = _missing(recording.band_hz, contract)
    line_hz = float(recording.attributes.get("line_hz", 0))
    in_band = line_hz and line_hz < (contract.lowpass_hz or nyquist_hz)
    quality["line_left_hz"] = line_hz if in_band and line_hz not in contract.notch_hz else None
    return recording if keep.all() else scratch.pick(recording, np.flatnonzero(keep))


def _missing(band_hz, contract: InputContract) -> list[list[float]]:
    """Parts of the contract's band that the recorder had filtered away: [[from, to], …] Hz."""
    low, high = band_hz
    missing = []
    if low is not None and contract.highpass_hz is not None and low > 1.01 * contract.highpass_hz:
        missing.append([contract.highpass_hz, round(low, 3)])
    if high is not None and contract.lowpass_hz is not None and high < 0.99 * contract.lowpass_hz:
        missing.append([round(high, 3), contract.lowpass_hz])
    return missing
