"""PairBatch: stretches of EEG with the volumes of fMRI that were measured meanwhile."""

from dataclasses import dataclass, field

from jaxtyping import Bool, Float, Int
from torch import Tensor

from .batch import Movable


@dataclass
class PairBatch(Movable):
    """signal: standardised EEG, 0 where padded (in channels and at the end) and where it is bad.
    n_times: samples of each that are real. geometry, kind, valid: as in Batch. bad: samples at
    which the EEG says nothing; None = there are none.

    volume_s: seconds from the first sample to each volume; NaN where padded. target: value of each
    region in each volume; NaN where it was not measured, or is not to be looked at. seed, source,
    subject: as in Batch.
    """

    signal: Float[Tensor, "batch channel time"]
    geometry: Float[Tensor, "batch channel 6"]
    kind: Int[Tensor, "batch channel"]
    valid: Bool[Tensor, "batch channel"]
    n_times: Int[Tensor, " batch"]
    volume_s: Float[Tensor, "batch volume"]
    target: Float[Tensor, "batch volume roi"]
    bad: Bool[Tensor, "batch time"] | None = None
    seed: Int[Tensor, " batch"] | None = None
    source: list[str] = field(default_factory=list)
    subject: list[str] = field(default_factory=list)
