"""Which part of a contract's band a recording does not hold, and whether it is taken all the same.

A band ends at half of the sampling rate, or at the low-pass that the header states: the lower
counts. What is above is zero, in a recording that was upsampled as in one that was filtered, so one
rule holds for both. A low-pass of which no header tells is not noticed.
"""

from typing import Literal

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording

from .refusal import ContractError

Lacking = Literal["accept", "refuse"]


def noted(recording: Recording, contract: InputContract) -> dict:
    """For `quality`: band_missing_hz, and band_end where the upper end is missing; by header and
    rate."""
    low, high = recording.band_hz
    missing: list[list[float]] = []
    quality: dict = {"band_missing_hz": missing}
    if low is not None and contract.highpass_hz is not None and low > 1.01 * contract.highpass_hz:
        missing.append([contract.highpass_hz, round(low, 3)])
    if high is not None:
        ends(high, "removed by filters before the file was written", contract, quality)
    ends(recording.sfreq / 2, f"sampled at {recording.sfreq:g} Hz", contract, quality)
    return quality


def ends(at_hz: float, why: str, contract: InputContract, quality: dict) -> None:
    """The recording holds nothing above `at_hz`: written down where that is within the band, and
    lower than what is known so far. quality["band_end"] then says why."""
    known_hz = end_hz(quality, contract)
    # An open band ends where `filter` ends it. Filters have slopes: their edges agree roughly.
    upper_hz = contract.lowpass_hz or 0.4 * contract.sfreq
    if at_hz >= (0.99 if contract.lowpass_hz else 0.9) * (known_hz or upper_hz):
        return
    if known_hz:
        quality["band_missing_hz"].pop()
    quality["band_missing_hz"].append([round(at_hz, 3), upper_hz])
    quality["band_end"] = why


def end_hz(quality: dict, contract: InputContract) -> float | None:
    """Where the recording's band ends, Hz; None where it holds the contract's to its end."""
    if not quality.get("band_missing_hz"):
        return None
    low, high = quality["band_missing_hz"][-1]
    return low if high == (contract.lowpass_hz or 0.4 * contract.sfreq) else None


def check(source: str, quality: dict, contract: InputContract, lacking: Lacking) -> None:
    """Raise ContractError for a recording that lacks the end of the band, where that is asked."""
    at_hz = end_hz(quality, contract)
    if at_hz is None or lacking == "accept":
        return
    upper_hz = quality["band_missing_hz"][-1][1]
    raise ContractError(
        source, f"the band up to {upper_hz:g} Hz",
        f"that of the recording ends at {at_hz:g} Hz ({quality['band_end']})",
        f"give one that holds it (sampled at {2 * upper_hz:g} Hz or more), or {ACCEPT}")


ACCEPT = "take this one as it is: --lacking accept (in Python lacking=\"accept\")"


def remarks(quality: dict) -> list[str]:
    """A sentence for each part of the band that is missing."""
    filtered = "removed by filters before the file was written"
    last = len(quality["band_missing_hz"]) - 1
    return [f"no signal at {low:g}–{high:g} Hz: "
            f"{quality.get('band_end', filtered) if at == last else filtered}"
            for at, (low, high) in enumerate(quality["band_missing_hz"])]


