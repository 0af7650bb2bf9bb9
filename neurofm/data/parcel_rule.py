"""ParcelRule: how sensors become parcels of the brain, as a part of a contract.

Source: the pipeline of MEG-GPT (arXiv 2510.18080): beamformer, a time course for each parcel,
symmetric orthogonalization (Colclough et al. 2015), signs that agree between sessions.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ParcelRule:
    """What `neurofm ingest --space parcels` does after everything a contract says of sensors.

    Parameters
    ----------
    method
        Inverse solution: "lcmv" (a beamformer, by the recording's own covariance) or
        "minimum_norm".
    head
        "individual" models the subject's own head: FreeSurfer's folder SUBJECTS_DIR/sub-X with
        bem/, and X-trans.fif beside the recording or in that folder. "template" takes MNE's
        fsaverage, as a sphere of the size of this head (by fiducials, or electrodes).
    atlas
        Image of labels in MNI space (.nii.gz); "" = `n_parcels` of about equal size, made from
        the template's geometry, alike on both sides.
    n_parcels
        Number of parcels where there is no atlas, even.
    regularization
        Of the beamformer: share of the sensors' mean power added to each. More makes it
        blunter; less lets it suppress sources that lie a little off the head model, as with a
        template they all do.
    orthogonalize
        Take from parcels what they share without any delay, which leakage does.
    points
        Parcel → places (MNI, mm) whose signals it is made of; an ingest fills them in.
    lags, signs
        How parcels go with each other at these lags (samples), [lag, parcel, parcel], in the
        training people; the sign of each parcel, which no inverse can know, is chosen to agree
        with it. An ingest fills it in, from its training split alone.
    """

    method: Literal["lcmv", "minimum_norm"] = "lcmv"
    head: Literal["individual", "template"] = "individual"
    atlas: str = ""
    n_parcels: int = 52
    regularization: float = 0.05
    orthogonalize: bool = True
    points: dict[str, tuple[tuple[float, float, float], ...]] = field(default_factory=dict)
    lags: tuple[int, ...] = (1, 3, 5, 7)
    signs: tuple[tuple[tuple[float, ...], ...], ...] = ()

    def __post_init__(self):
        if self.n_parcels < 2 or self.n_parcels % 2:
            raise ValueError(f"parcels.n_parcels must be an even number from 2 on (both sides are "
                             f"alike), got {self.n_parcels}")
        if not self.regularization > 0:
            raise ValueError(f"parcels.regularization must be above 0, got {self.regularization}")
        if not self.lags or min(self.lags) < 1:
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
