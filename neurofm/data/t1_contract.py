"""T1Contract: what a model of T1-weighted images was trained on, and what a new image must become.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from ..limits import Positive, Share, SignedNumber, limited
from .base_contract import FILE_NAME, Contract

_MOST_VOXELS = 512**3


@dataclass(frozen=True)
@limited
class T1Contract(Contract):
    """Standardization of T1-weighted images of the head.

    An image is registered to MNI152 by an affine map (12 parameters), its brain is extracted, its
    bias field is divided out, and it is resampled once, to the grid of the contract.

    Parameters
    ----------
    shape
        Voxels of the grid: right, forward, up.
    voxel_mm
        Edge of a voxel, mm.
    center_mm
        Middle of the grid in MNI space, mm.
    register
        "affine" registers to MNI152, except images that are in an MNI space by their name or
        header; "none" takes the header of every image as MNI space.
    bias
        Bias field: "smooth" fits a polynomial to log intensity against three tissues; "n4" is
        ITK's N4 (extra `anatomy`); "none" leaves it.
    skull
        "strip" keeps the brain only; "keep" keeps the head. With "keep", faces can be
        recognized, and `neurofm publish` refuses.
    scale
        "brain" = median 0 and robust standard deviation 1 (interquartile range / 1.349) inside the
        brain, at most ±`clip`, 0 outside; "volume" = mean 0 and standard deviation 1 over the
        whole grid with its background, as BrainHarmonix; "none" keeps the units of the file.
    clip
        Largest value of scale "brain".
    min_match
        Correlation with the template inside the brain below which an image fails: it is no T1 of
        a head, or was not registered.
    contract_version
        Version of this format. Leave it.
    modality
        Kind of contract. Leave it.
    corpus
        Fingerprint of the training corpus. Filled in by pretrain.
    """

    shape: tuple[int, int, int] = (160, 192, 160)
    voxel_mm: Positive = 1.0
    center_mm: tuple[SignedNumber, SignedNumber, SignedNumber] = (0.0, -18.0, 4.0)
    register: Literal["affine", "none"] = "affine"
    bias: Literal["smooth", "n4", "none"] = "smooth"
    skull: Literal["strip", "keep"] = "strip"
    scale: Literal["brain", "volume", "none"] = "brain"
    clip: Positive = 5.0
    min_match: Share = 0.5
    corpus: str = ""
    contract_version: int = 1
    modality: Literal["t1"] = "t1"

    PREFIX = "t1."
    kinds = ("roi",)
    sfreq = None
    window_samples = None
    highpass_hz = None
    lowpass_hz = None
    window_s = None
    stride_s = None
    name = "T1"
    CHANNELS = "images"
    RECORDING = "image"
    VIEWS = ("volumes",)
    geometry = "head"
    positions = "required"
    FREE = frozenset({"corpus", "min_match"})

    def __post_init__(self):
        self._check("t1")
        for name in ("shape", "center_mm"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.shape) != 3 or min(self.shape) < 2 or np.prod(self.shape) > _MOST_VOXELS:
            raise ValueError(f"t1.shape: wanted three numbers of voxels, 2 or more each, at most "
                             f"{_MOST_VOXELS} together, got {self.shape}")
        if len(self.center_mm) != 3 or not np.isfinite(self.center_mm).all():
            raise ValueError(f"t1.center_mm: wanted three coordinates in mm, got {self.center_mm}")

    @property
    def grid(self) -> tuple[int, int, int]:
        """See `Contract.grid`."""
        return self.shape

    @property
    def affine(self) -> Float64[np.ndarray, "4 4"]:
        """Voxel of the grid → millimeters of MNI space."""
        found = np.diag([self.voxel_mm] * 3 + [1.0])
        found[:3, 3] = np.array(self.center_mm) - (np.array(self.shape) - 1) / 2 * self.voxel_mm
        return found

    def t_r(self, sfreq) -> None:
        """An image has no repetition time."""
        return None

    def how_to_ingest(self, path: str, sfreq: np.ndarray, window_s: float | None) -> str:
        """See `Contract.how_to_ingest`."""
        return (f"ingest it again as the model wants it: neurofm ingest … --modality t1 "
                f"--t1={path}/{FILE_NAME}")

    def length(self, n_times: int, sfreq: float) -> str:
        """See `Contract.length`."""
        return f"{n_times} voxels"

    @property
    def identifies(self) -> str:
        """See `Contract.identifies`."""
        return "" if self.skull == "strip" else (
            "the images show whole heads (t1.skull: keep), and a face can be drawn from them; "
            "ingest again with --t1.skull strip")

    def described(self) -> list[tuple[str, str]]:
        """See `Contract.described`."""
        across = " × ".join(f"{n * self.voxel_mm:g}" for n in self.shape)
        return [
            ("Images", "T1-weighted images of the head"),
            ("Space", "MNI152, by an affine registration of 12 parameters; images that are in an "
             "MNI space already are kept" if self.register == "affine" else
             "MNI152, as the header of the image says"),
            ("Grid", f"{' × '.join(map(str, self.shape))} voxels of {self.voxel_mm:g} mm "
             f"({across} mm), its middle at {', '.join(f'{x:g}' for x in self.center_mm)} mm"),
            ("Bias field", {"smooth": "a polynomial of log intensity, divided out",
                            "n4": "N4 (ITK), divided out", "none": "kept"}[self.bias]),
            ("Brain", "extracted: by the mask of fMRIPrep or FreeSurfer, else by the template"
             if self.skull == "strip" else "the whole head is kept"),
            ("Scale", {"brain": f"median 0 and robust standard deviation 1 inside the brain, at "
                                f"most ±{self.clip:g}; 0 outside",
                       "volume": "mean 0 and standard deviation 1 over the whole grid",
                       "none": "as in the file"}[self.scale]),
        ]
