"""What a file does not say of itself, and a user must."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from neurofm import contents
from neurofm.limits import limited

from .. import links, text
from .errors import ReadError
from .sizes import Limit
from .surface import other_side

OF_BOTH_SIDES = contents.told_by(lambda left: [left, other_side(left)])


@dataclass(frozen=True)
@limited
class ArrayTable:
    """How to read a plain array.

    Parameters
    ----------
    sfreq
        Sampling rate, Hz. For fMRI give t_r instead.
    t_r
        Repetition time of fMRI, s; or the name of its column in the table of files or
        participants.tsv, or of its key in the .json file beside the array.
    axes
        Order of the axes of the array. Trials are joined end to end; no window crosses from
        one trial to the next.
    kind
        Kind of all sensors.
    unit
        Unit of the values (for planar gradiometers per meter); "1" = SI.
    names
        Channel names, if the file has none.
    channels
        Table (.ced, .tsv, .csv) with channel names (name, labels or roi) and positions (x,
        y, z in `channels_unit`), or a label image of an atlas (.nii.gz), of which the
        centers of the labels are used. Rows are matched by name, or by order if the array
        has no channel names.
    channels_unit
        Unit of x, y, z in that table.
    variable
        Variable of a .mat or .npz file; "" = the only one.
    labels
        Replacements that turn the name of the array file into the name of the file with one
        label per trial: {X_: y_} reads y_train.npy for X_train.npy.
    label_variable
        Variable of the labels in that file, or in the array file if `labels` is empty. A
        label becomes an event at the start of its trial.
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

    PREFIX = "arrays."

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
        if said == self.t_r and links.there(sidecar):
            try:
                said = text.read_json(sidecar).get(self.t_r, said)
            except ReadError as error:
                raise error.of(path) from error
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
@limited
class ImageTable:
    """What images of fMRI become: 4-D NIfTI, GIFTI (…hemi-L….func.gii with the right hemisphere
    beside it), CIFTI (…dtseries.nii, …ptseries.nii).

    Parameters
    ----------
    atlas
        NIfTI: label image, or probabilistic maps (4-D), resampled to the fMRI; "voxels" =
        every voxel of the mask is a region. GIFTI: labels of the left hemisphere, with the
        right one beside it. CIFTI: a .dlabel.nii file.
    mesh
        GIFTI and CIFTI: surface of the left hemisphere (.surf.gii), with the right one
        beside it. It gives the positions of vertices.
    mask
        NIfTI: mask on the same grid; "" = voxels that vary in time.
    events
        Name of the events file beside the image; "" = the BIDS name, also further up and in the
        raw folder that derivatives were made from.
    space
        Space of the atlas, as BIDS names it, such as MNI152NLin2009cAsym or
        MNI152NLin6Asym:res-2; "" = by the name or header of the atlas, else a template (MNI…)
        goes before a person's own space. Of several files of one run the one in this space is
        read.
    """

    atlas: str = field(default="", metadata=OF_BOTH_SIDES)
    mesh: str = field(default="", metadata=OF_BOTH_SIDES)
    mask: str = field(default="", metadata=contents.OF_FILE)
    events: str = ""
    space: str = ""

    PREFIX = "images."

    @property
    def given(self) -> bool:
        """Whether images can be read by it."""
        return bool(self.atlas or self.mesh)


@dataclass(frozen=True)
@limited
class VolumeTable:
    """How T1-weighted images are read.

    Parameters
    ----------
    masks
        Brain masks: "auto" takes that of fMRIPrep, FreeSurfer or FastSurfer where there is one;
        "none" takes none.
    derivatives
        Folder of the results of such a pipeline, or of several; "" = `derivatives` in the BIDS
        folder.
    """

    masks: Literal["auto", "none"] = "auto"
    derivatives: str = ""

    PREFIX = "volumes."


@dataclass(frozen=True)
class ReadOptions:
    """How recordings are read: what files do not say of themselves."""

    montage: str = "standard_1005"  # of MNE, for electrodes without positions in the file
    # MEG without a device → head transform has no positions ("refuse"), or the middle of the helmet
    # is taken for the middle of the head ("helmet")
    unknown_head: Literal["refuse", "helmet"] = "refuse"
    # channel name in the file → electrode, before anything is made of the names
    rename: dict[str, str] = field(default_factory=dict)
    # column of epochs' metadata whose values their events are called by; "" = by event_id
    metadata: str = ""
    arrays: ArrayTable = field(default_factory=ArrayTable)  # how plain arrays are to be read
    images: ImageTable = field(default_factory=ImageTable)  # how images of fMRI are
    # how T1-weighted images are; None = a 3-D image is one only by its name
    volumes: VolumeTable | None = None
    # unit of the EEG values, whatever the header says; "" = as it says
    unit: Literal["", "V", "mV", "uV", "nV"] = ""
    encoding: str = ""  # of text that is not UTF-8; "" = latin-1, with a note
    max_recording_gb: float = 16.0  # as it is read; decides what is refused, not what is read

    @property
    def limit(self) -> Limit:
        return Limit(self.max_recording_gb)

    def shaping(self) -> dict[str, Any]:
        """What shapes recordings, as plain values."""
        return {name: value for name, value in asdict(self).items() if name != "max_recording_gb"}
