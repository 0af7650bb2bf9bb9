"""Sensors without a known place are left out, or the recording is refused when they are many.

Where the contract says that places are optional, they are kept without one.
"""

from dataclasses import replace

import numpy as np

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording

from .. import memory
from .refusal import ContractError, some
from .step import AtStart, Step


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    known = recording.sensors.has_position
    quality["without_position"] = []
    if known.all():
        return recording
    lost = [name for name, has in zip(recording.sensors.names, known, strict=True) if not has]
    if contract.positions == "optional":
        quality["without_position"] = lost
        sensors = recording.sensors
        nowhere = np.where(known[:, None], sensors.position, np.nan)  # never the origin
        return recording.with_(sensors=replace(sensors, position=nowhere))
    if len(lost) > contract.max_bad * len(known):
        meg = any(recording.sensors.kinds[i] != "eeg" for i in np.flatnonzero(~known))
        do = ("the MEG file has no device → head transform, so where the head was is unknown: "
              "add it (mne: raw.info['dev_head_t']), or read with unknown_head: helmet"
              if meg else
              "name the montage whose names these are (montage: …), say which electrodes they are "
              "(rename: {name: electrode}), or store positions in the file")
        raise ContractError(
            recording.source, "a position for every sensor",
            f"{len(lost)} of {len(known)} have none (NaN, zero, or a name that the montage does "
            f"not know): {some(lost)}",
            f"{do}; for baselines, which need no places: contract.positions: optional",
        )
    quality["without_position"] = lost
    for name in lost:
        quality["bads"].pop(name, None)
    return memory.pick(recording, np.flatnonzero(known))


def remarks(quality: dict) -> list[str]:
    lost = quality["without_position"]
    return [f"no position: {some(lost)}; give a montage to keep these sensors"] if lost else []


STEP = Step("positions", apply, live=AtStart(), remarks=remarks)
