"""Keep the sensors of the kinds that the contract takes, and note what its band misses (`band`)."""

import numpy as np

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording

from .. import memory
from . import band
from .refusal import ContractError
from .step import AtStart, Step


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    """Refuses when no sensor is of a wanted kind."""
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
    quality["sfreq_original"] = recording.sfreq
    quality |= band.noted(recording, contract)
    quality["line_left_hz"] = _line_left(recording, contract)
    return recording if keep.all() else memory.pick(recording, np.flatnonzero(keep))


def _line_left(recording: Recording, contract: InputContract) -> float | None:
    """The frequency of the mains (Hz) where the file says it and no notch removes it."""
    said = recording.attributes.get("line_hz")
    if not said:
        return None
    in_band = float(said) < (contract.lowpass_hz or recording.sfreq / 2)
    return float(said) if in_band and float(said) not in contract.notch_hz else None


def remarks(quality: dict) -> list[str]:
    found = band.remarks(quality)
    if quality["line_left_hz"]:
        found.append(f"power line at {quality['line_left_hz']:g} Hz is not filtered; add it to "
                     f"contract.notch_hz")
    return found


STEP = Step("select", apply, live=AtStart(), remarks=remarks)
