"""What a file does not say of itself, and a user must."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from neurofm import contents

from .errors import ReadError
from .surface import other_side

OF_BOTH_SIDES = contents.told_by(lambda left: [left, other_side(left)])


@dataclass(frozen=True)
class ArrayTable:
    """What a plain array does not say of itself.

    Parameters
    ----------
    sfreq, t_r
        Sampling rate in Hz; of fMRI t_r instead: the repetition time in seconds, or the name of
        the column (of the table of files, of participants.tsv) or of the key (of the .json
        beside the file) that says it.
    axes
        Order of the array's axes; where one of them is the trial, trials are laid end to end
        and nothing runs from one into the next.
    kind
        Of all sensors.
    unit
        Of the numbers (for planar gradiometers a meter, "1" = SI).
    names
        Of the channels, where the file does not name them.
    channels
        A table (.ced, .tsv, .csv) with columns name/labels/roi and, where known, x, y, z in
        `channels_unit`, or an image of an atlas's labels (.nii.gz), whose centers are taken;
        where channels have names (by the file, or `names`) they are looked up in it, else it
        has a row for each, in their order.
    channels_unit
        Unit of x, y, z in that table: m, cm or mm.
    variable
        Which one of a .mat or .npz file; "" = the only one.
    labels
        Parts of the file's name and what stands for them in the name of the file beside it that
        holds a label a trial: {X_: y_} makes y_train.npy of X_train.npy.
    label_variable
        Which variable of that file (without `labels`: of the array's own file) they are. A
        label is the event at its trial's beginning.
    """

    sfreq: float = 0.0
    t_r: str = ""
    axes: Literal[
        "time,channel", "channel,time", "trial,channel,time", "trial,time,channel",
        "channel,time,trial", "time,channel,trial", "channel,trial,time", "time,trial,channel",
    ] = "time,channel"
    unit: Literal["V", "mV", "uV", "nV", "T", "pT", "fT", "1"] = "uV"
    kind: Literal["eeg", "mag", "planar_grad", "axial_grad", "roi"] = "eeg"
    names: tuple[str, ...] = ()
    channels: str = field(default="", metadata=contents.OF_FILE)
    channels_unit: Literal["m", "mm"] = "m"
    variable: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    label_variable: str = ""

    def __post_init__(self):
        object.__setattr__(self, "names", tuple(self.names))
        if self.sfreq and self.t_r:
            raise ValueError("arrays.sfreq and arrays.t_r say the same: give one of them")
        if self.t_r and self.kind != "roi":
            raise ValueError(f"arrays.t_r is of fMRI (arrays.kind: roi), got kind {self.kind}")
        wanted = {"eeg": "V", "roi": ""}.get(self.kind, "T")
        if self.sfreq and wanted and self.unit[-1] not in (wanted, "1"):
            raise ValueError(f"arrays.unit must be one of {wanted} (with n, u … before it) or 1 "
                             f"for kind {self.kind}, got {self.unit}")
        if self.has_labels and "trial" not in self.axes:
            raise ValueError(f"arrays.labels and arrays.label_variable are of trials, but "
                             f"arrays.axes ({self.axes}) has none; write e.g. axes: "
                             f"trial,channel,time")
        if "" in self.labels:
            raise ValueError("arrays.labels: wanted a part of the file's name, got an empty one; "
                             "write e.g. labels: {X_: y_}")

    @property
    def given(self) -> bool:
        """Whether plain arrays can be read by it."""
        return self.sfreq > 0 or bool(self.t_r)

    def of(self, attributes: dict[str, str], path: str | Path) -> "ArrayTable":
        """For one file, whose repetition time may stand in its attributes or in a sidecar."""
        if not self.t_r:
            return self
        said = attributes.get(self.t_r, self.t_r)
        sidecar = Path(str(path).removesuffix(".gz")).with_suffix(".json")
        if said == self.t_r and sidecar.is_file():
            said = json.loads(sidecar.read_text()).get(self.t_r, said)
        try:
            t_r = float(said)
        except (TypeError, ValueError):
            raise ReadError(path, f"wanted a repetition time in seconds, but arrays.t_r says "
                                  f"{self.t_r!r} and neither the tables nor {sidecar.name} have a "
                                  f"number under that name") from None
        if not 0.1 <= t_r <= 20:
            unit = "; it seems to be in milliseconds" if 100 <= t_r <= 20_000 else ""
            raise ReadError(path, f"wanted a repetition time in seconds, got {t_r:g}{unit}; "
                                  f"correct it where it stands, it is never guessed")
        return replace(self, sfreq=1 / t_r, t_r="")

    @property
    def has_labels(self) -> bool:
        return bool(self.labels or self.label_variable)

    def labels_file(self, path: Path) -> Path | None:
        """The file beside `path` that holds a label a trial; None where there is none by
        `labels`. Whether it is there is not looked at."""
        name = path.name
        for part, other in self.labels.items():
            name = name.replace(part, other)
        return None if name == path.name else path.with_name(name)


@dataclass(frozen=True)
class ImageTable:
    """What images of fMRI become: 4-D NIfTI named …bold….nii.gz, GIFTI (…hemi-L….func.gii with the
    right hemisphere beside it), CIFTI (…dtseries.nii, …ptseries.nii).

    Parameters
    ----------
    atlas
        Of NIfTI an image of labels, or of maps (four axes), resampled to the image; or
        "voxels": every voxel of the mask is a region. Of GIFTI labels of the left hemisphere's
        vertices, the right one's beside it; of CIFTI a …dlabel.nii.
    mesh
        Of GIFTI and CIFTI, the left hemisphere's surface (…surf.gii), the right one's beside
        it: where vertices lie.
    mask
        Of NIfTI an image on the same grid, of voxels that count; "" = those that are not the
        same all through.
    events
        Name of the file of events beside the image; "" = as BIDS names it.
    """

    atlas: str = field(default="", metadata=OF_BOTH_SIDES)
    mesh: str = field(default="", metadata=OF_BOTH_SIDES)
    mask: str = field(default="", metadata=contents.OF_FILE)
    events: str = ""

    @property
    def given(self) -> bool:
        """Whether images can be read by it."""
        return bool(self.atlas or self.mesh)


@dataclass(frozen=True)
class ReadOptions:
    """Read options.

    Parameters
    ----------
    montage
        Of MNE, for electrodes without positions in the file.
    unknown_head
        MEG without a device → head transform has no positions ("refuse"), or the middle of the
        helmet is taken for the middle of the head ("helmet").
    rename
        Channel name in the file → electrode, before anything is made of the names.
    metadata
        Column of epochs' metadata whose values their events are called by; "" = by event_id.
    arrays
        How plain arrays are to be read.
    images
        How images of fMRI are.
    """

    montage: str = "standard_1005"
    unknown_head: Literal["refuse", "helmet"] = "refuse"
    rename: dict[str, str] = field(default_factory=dict)
    metadata: str = ""
    arrays: ArrayTable = field(default_factory=ArrayTable)
    images: ImageTable = field(default_factory=ImageTable)
