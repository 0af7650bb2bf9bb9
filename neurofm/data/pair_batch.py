"""PairBatch: stretches of EEG with the volumes of fMRI that were measured meanwhile."""

from dataclasses import dataclass, field

from jaxtyping import Bool, Float, Int
from torch import Tensor

from .batch import Movable


@dataclass
class PairBatch(Movable):
    """Pair batch.

    Parameters
    ----------
    signal
        Standardized EEG, 0 where padded (in channels and at the end) and where it is bad.
    n_times
        Samples of each that are real.
    geometry, kind, valid
        As in Batch.
    bad
        Samples at which the EEG says nothing; None = there are none.
    volume_s
        Seconds from the first sample to each volume; NaN where padded.
    target
        Value of each region in each volume; NaN where it was not measured, or is not to be
        looked at.
    seed, source, subject
        As in Batch.
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
