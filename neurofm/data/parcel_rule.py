"""ParcelRule: how sensors become parcels of the brain, as a part of a contract.

Source: the pipeline of MEG-GPT (arXiv 2510.18080): beamformer, a time course for each parcel,
symmetric orthogonalization (Colclough et al. 2015), signs that agree between sessions.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from ..limits import Count, Positive, SignedNumber, limited

Place = tuple[SignedNumber, SignedNumber, SignedNumber]


@dataclass(frozen=True)
@limited
class ParcelRule:
    """What `neurofm ingest --space parcels` does after everything a contract says of sensors.

    Parameters
    ----------
    method
        Inverse solution: "lcmv" (a beamformer, by the recording's own covariance) or
        "minimum_norm".
    head
        "individual" uses the FreeSurfer folder of the subject (SUBJECTS_DIR/sub-X with
        bem/) and X-trans.fif beside the recording or in that folder. "template" uses
        fsaverage, with a sphere fitted to the fiducials or electrodes.
    atlas
        Label image in MNI space (.nii.gz); "" = `n_parcels` parcels of about equal size,
        symmetric between hemispheres.
    n_parcels
        Number of parcels without an atlas; even.
    regularization
        Regularization of the beamformer, as a share of the mean sensor power. A higher
        value tolerates errors of the head model; a lower value separates sources better.
    orthogonalize
        Remove zero-lag correlations between parcels, which source leakage causes.
    points
        Parcel → source positions, MNI, mm. Filled in by ingest.
    lags
        Lags of the covariances by which the signs of parcels are aligned, samples.
    signs
        Covariances of the training subjects at these lags, [lag, parcel, parcel]. Filled in
        by ingest.
    """

    method: Literal["lcmv", "minimum_norm"] = "lcmv"
    head: Literal["individual", "template"] = "individual"
    atlas: str = ""
    n_parcels: Count = 52
    regularization: Positive = 0.05
    orthogonalize: bool = True
    points: dict[str, tuple[Place, ...]] = field(default_factory=dict)
    lags: tuple[Count, ...] = (1, 3, 5, 7)
    signs: tuple[tuple[tuple[SignedNumber, ...], ...], ...] = ()

    PREFIX = "parcels."

    def __post_init__(self):
        if self.n_parcels < 2 or self.n_parcels % 2:
            raise ValueError(f"parcels.n_parcels must be an even number from 2 on (both sides are "
                             f"alike), got {self.n_parcels}")
        if not self.lags:
            raise ValueError(f"parcels.lags must be samples from 1 on, got {self.lags}")
        if self.signs and len(self.signs) != len(self.lags):
            raise ValueError(f"parcels.signs must have a table for each of {len(self.lags)} lags, "
                             f"got {len(self.signs)}")

    @classmethod
    def from_dict(cls, fields: dict, where: str = "parcels") -> "ParcelRule":
        """Of plain values, as they come from a file."""
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(fields.keys() - known):
            raise ValueError(f"{where}: unknown field parcels.{unknown[0]}; known are "
                             f"{', '.join(sorted(known))}")

        def tuples(value):
            if isinstance(value, dict):
                return {name: tuples(inner) for name, inner in value.items()}
            return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value

        return cls(**{name: tuples(value) for name, value in fields.items()})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.points)
