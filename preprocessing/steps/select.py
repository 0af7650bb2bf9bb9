"""Keep the sensors of the kinds that the contract takes, and check that the band can be had."""

import numpy as np

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording

from .. import memory
from .refusal import ContractError
from .step import AtStart, Step


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
    quality["line_left_hz"] = _line_left(recording, contract)
    return recording if keep.all() else memory.pick(recording, np.flatnonzero(keep))


def _line_left(recording: Recording, contract: InputContract) -> float | None:
    """The frequency of the mains (Hz) where the file says it and no notch removes it."""
    said = recording.attributes.get("line_hz")
    if not said:
        return None
    in_band = float(said) < (contract.lowpass_hz or recording.sfreq / 2)
    return float(said) if in_band and float(said) not in contract.notch_hz else None


def _missing(band_hz, contract: InputContract) -> list[list[float]]:
    """Parts of the contract's band that the recorder had filtered away: [[from, to], …] Hz."""
    low, high = band_hz
    missing = []
    if low is not None and contract.highpass_hz is not None and low > 1.01 * contract.highpass_hz:
        missing.append([contract.highpass_hz, round(low, 3)])
    if high is not None and contract.lowpass_hz is not None and high < 0.99 * contract.lowpass_hz:
        missing.append([round(high, 3), contract.lowpass_hz])
    return missing


def remarks(quality: dict) -> list[str]:
    found = [f"no signal at {low:g}–{high:g} Hz, removed by filters before the file was written; "
             f"expect lower accuracy from models that use this band"
             for low, high in quality["band_missing_hz"]]
    if quality["line_left_hz"]:
        found.append(f"power line at {quality['line_left_hz']:g} Hz is not filtered; add it to "
                     f"contract.notch_hz")
    return found


STEP = Step("select", apply, live=AtStart(), remarks=remarks)
