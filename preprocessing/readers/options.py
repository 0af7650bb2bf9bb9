"""What a file does not say of itself, and a user must."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ArrayTable:
    """What a plain array does not say of itself.

    sfreq: Hz. axes: order of the array's axes. kind: of all sensors. unit: of the numbers (for
    planar gradiometers a metre, "1" = SI). names: of the channels, or channels: a table (.ced,
    .tsv, .csv) with columns name/labels and, where known, x, y, z. variable: which one of a .mat
    or .npz file; "" = the only one.
    """

    sfreq: float = 0.0
    axes: Literal["time,channel", "channel,time"] = "time,channel"
    unit: Literal["V", "mV", "uV", "nV", "T", "pT", "fT", "1"] = "uV"
    kind: Literal["eeg", "mag", "planar_grad", "axial_grad", "roi"] = "eeg"
    names: tuple[str, ...] = ()
    channels: str = ""
    variable: str = ""

    def __post_init__(self):
        object.__setattr__(self, "names", tuple(self.names))
        wanted = {"eeg": "V", "roi": ""}.get(self.kind, "T")
        if self.sfreq and wanted and self.unit[-1] not in (wanted, "1"):
            raise ValueError(f"arrays.unit must be one of {wanted} (with n, u … before it) or 1 "
                             f"for kind {self.kind}, got {self.unit}")


@dataclass(frozen=True)
class ReadOptions:
    """montage: of MNE, for electrodes without positions in the file.

    unknown_head: MEG without a device → head transform has no positions ("refuse"), or the middle
    of the helmet is taken for the middle of the head ("helmet").
    rename: channel name in the file → electrode, before anything is made of the names.
    arrays: how plain arrays are to be read.
    """

    montage: str = "standard_1005"
    unknown_head: Literal["refuse", "helmet"] = "refuse"
    rename: dict[str, str] = field(default_factory=dict)
    arrays: ArrayTable = field(default_factory=ArrayTable)
