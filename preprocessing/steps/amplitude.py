"""Amplitudes that no head produces: dead channels, and files whose unit is off by a factor.

Judged by the interquartile range after the band-pass: robust to artifacts, free of offsets.
"""

import numpy as np
from jaxtyping import Float

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording

from .. import segments
from .refusal import ContractError, some
from .step import PerWindow, Step

# Beyond these a channel is dead or its unit is wrong. Brain signals over a sensor's noise have
# interquartile ranges of about 1e-13 … 1e-11 T and 1e-12 … 1e-10 T/m; limits leave a factor 100.
MEG_LIMITS = {"mag": (1e-15, 1e-9), "axial_grad": (1e-15, 1e-9), "planar_grad": (1e-14, 1e-8)}
_TYPICAL = {"eeg": (3e-6, 150e-6), "mag": (5e-14, 2e-11), "axial_grad": (5e-14, 2e-11),
            "planar_grad": (5e-13, 2e-10)}
_SHOWN = {"eeg": (1e6, "µV"), "mag": (1e15, "fT"), "axial_grad": (1e15, "fT"),
          "planar_grad": (1e13, "fT/cm"), "roi": (1, "")}
_SAMPLES = 20_000


def interquartile_range(recording: Recording) -> Float[np.ndarray, " channel"]:
    """Interquartile range of each channel, from samples evenly taken."""
    low, high = np.percentile(segments.sampled(recording, _SAMPLES), [25, 75], axis=1)
    return high - low


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    iqr = interquartile_range(recording)
    kinds, names = np.array(recording.sensors.kinds), recording.sensors.names
    bads = quality["bads"]
    quality["amplitude"] = {}
    for kind in dict.fromkeys(recording.sensors.kinds):
        rows = np.flatnonzero(kinds == kind)
        low_uv, high_uv = contract.amplitude_uv
        limits = (low_uv * 1e-6, high_uv * 1e-6) if kind == "eeg" else MEG_LIMITS.get(kind)
        alive = [row for row in rows if names[row] not in bads]
        if limits is None or not alive:
            continue
        factor, unit = _SHOWN[kind]
        median = float(np.median(iqr[alive]))
        quality["amplitude"][kind] = f"{median * factor:.3g} {unit}"
        outside = [row for row in alive if not limits[0] <= iqr[row] <= limits[1]]
        if len(outside) > contract.max_bad * len(rows):
            raise ContractError(
                recording.source,
                f"{kind} channels with an interquartile range of {limits[0] * factor:g} to "
                f"{limits[1] * factor:g} {unit}",
                f"{len(outside)} of {len(rows)} lie outside (median {median * factor:.3g} {unit}; "
                f"{some([names[row] for row in outside], 4)})",
                _likely_cause(median, kind, limits),
            )
        for row in outside:
            word = "almost flat" if iqr[row] < limits[0] else "absurdly large"
            bads[names[row]] = f"{word}: interquartile range {iqr[row] * factor:.3g} {unit}"
    return recording


def _likely_cause(median: float, kind: str, limits: tuple[float, float]) -> str:
    low, high = _TYPICAL[kind]
    for power in (3, 6, -3, -6, 9, -9, 12, 15):
        if low <= median / 10.0**power <= high:
            return (f"they are 1e{abs(power)} times too {'large' if power > 0 else 'small'}, so "
                    f"the unit is probably off by that factor (µV called V, or the like): correct "
                    f"it in the file's header, or state it (unit: uV for EEG, arrays.unit for "
                    f"plain arrays)")
    if median < limits[0]:
        return "the channels are flat: nothing was connected, or the signal was lost in conversion"
    return "check the unit in the file and look at it in a viewer"


STEP = Step("amplitude", apply, live=PerWindow(judges=True))
