"""Linear baselines: band power, through what is known of blood, onto regions.

What EEG-fMRI has done for twenty years (Laufs et al. 2003, de Munck et al. 2007 for alpha): power
in bands convolved with the canonical response, or with one learned for each channel, band and
region (FIR, finite impulse response, here of smooth bumps of delay); and posterior alpha alone.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float

from neurofm.data.pairs import Pairs
from neurofm.data.scans import Scans
from neurofm.nn.lag_basis import lag_basis

from ...protocol.scans import Part, Roles
from . import band_power, channels, hrf, ridge
from .band_power import Frames

KINDS = ("band_power_fir", "band_power_hrf", "alpha_hrf")


@dataclass
class Features:
    """Frames of scans, computed once for all linear methods. names: of the channels read."""

    pairs: Pairs
    names: list[str]
    _frames: dict[int, Frames] = field(default_factory=dict, repr=False)

    def frames(self, scan: int) -> Frames:
        if scan not in self._frames:
            contract, whole = self.pairs.contract, Scans(self.pairs)
            rows = self.pairs.layout(scan).rows(self.names)
            self._frames[scan] = band_power.frames(whole.eeg(scan)[rows], contract.sfreq,
                                                   contract.lowpass_hz, whole.bad(scan))
        return self._frames[scan]

    def of(
        self, kind: str, scan: int, volume_s: Float[np.ndarray, " volume"]
    ) -> Float[np.ndarray, "volume feature"]:
        """What a method of this kind knows of volumes."""
        found = self.frames(scan)
        if kind == "band_power_fir":
            basis = lag_basis(torch.from_numpy(volume_s)[None], torch.from_numpy(found.end_s),
                              found.hop_s, band_power.WINDOW_S)[0].numpy()
            plain = found.power.reshape(len(found.power), -1)
            return np.einsum("vfk,fd->vdk", basis, plain, optimize=True).reshape(len(volume_s), -1)
        plain = found.power.reshape(len(found.power), -1)
        if kind == "alpha_hrf":
            behind = channels.posterior(self.pairs, scan, self.names)
            at = [self.names.index(name) for name in behind]
            plain = found.power[:, at, found.bands.index("alpha")].mean(axis=1, keepdims=True)
        return hrf.convolved(plain, found.middle_s, found.hop_s, volume_s)


@dataclass(frozen=True, eq=False)
class Linear:
    """A fitted method."""

    kind: str
    features: Features
    ridge: ridge.Ridge

    def predict(self, part: Part, scan: int) -> Float[np.ndarray, "volume roi"]:
        """Values of regions at the volumes that count."""
        return self.ridge.predict(self.features.of(self.kind, scan, part.volume_s(scan)))


def fit(kind: str, roles: Roles, features: Features) -> Linear:
    """Learn from the training part; the validation part chooses penalties."""
    learned = [*_stacked(kind, roles.train, features), *_stacked(kind, roles.validation, features)]
    return Linear(kind, features, ridge.fit(*learned))


def _stacked(kind: str, part: Part, features: Features) -> tuple[np.ndarray, np.ndarray]:
    scans = part.scans.tolist()
    x = [features.of(kind, scan, part.volume_s(scan)) for scan in scans]
    return np.concatenate(x), np.concatenate([part.target(scan) for scan in scans]).astype(float)
