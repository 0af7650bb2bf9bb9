"""One electrode twice in a file: equal copies are one channel, unequal ones stay, and are named."""

from dataclasses import dataclass, field

import numpy as np

from neurofm.data.sensors import Sensors

from .. import montage


@dataclass
class Twice:
    """What was found."""

    notes: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def find(signal: np.ndarray, sensors: Sensors, labels: list[str]) -> tuple[list[int], Twice]:
    """Rows to keep of a signal [channel, time]. labels: the channels as MNE names them."""
    first: dict[str, list[int]] = {}
    keep, found = [], Twice()
    for row, (name, kind) in enumerate(zip(sensors.names, sensors.kinds, strict=True)):
        if kind != "eeg":
            keep.append(row)
            continue
        label = montage.numbered(labels[row], labels) or labels[row]
        (electrode,), place = montage.look_up([label], "standard_1005")
        others = first.setdefault(electrode.casefold(), [])
        same = next((other for other in others if _equal(signal[other], signal[row])), None)
        if same is not None:
            found.left_out[labels[row]] = f"a copy of {sensors.names[same]} with equal data"
            continue
        if others and np.isfinite(place).all():
            found.notes.append(f"{sensors.names[others[0]]} and {name} are the same electrode by "
                               f"their names, with different data; both are kept")
        others.append(row)
        keep.append(row)
    return keep, found


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.array_equal(one, other, equal_nan=True))
