"""A recording in a scanner: EEG with what the scanner leaves in it, BOLD of the same minutes.

scan(person, activity, measurement, settings, …) adds artifacts and volume triggers to the EEG and
makes BOLD from `Activity.generators`. Draws come from seeds of their own: the activity and the
sensor noise are those of a recording without a scanner.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from .activity import SFREQ, Activity
from .anatomy import Brain, seed_of
from .body import Body, body
from .bold import Bold, bold
from .measure import Measurement
from .regions import REGIONS
from .residue import residue

TRIGGER = "R149"  # what BrainVision calls a scanner's volume
FIRST_VOLUME_S = (5.0, 8.0)  # after the EEG began


@dataclass(frozen=True)
class Scanner:
    """How a person is scanned.

    Parameters
    ----------
    bcg_uv, gradient_residue_uv
        See `residue`.
    t_r_s
        Repetition time.
    n_rois
        Regions in the files.
    bold_snr
        Standard deviation of noise-free BOLD over that of its noise.
    unrelated
        BOLD is of other minutes of the same person, so that EEG says nothing about it.
    """

    t_r_s: float
    n_rois: int = len(REGIONS)
    bold_snr: float = 1.0
    bcg_uv: float = 3.0
    motion_per_minute: float = 0.3
    gradient_residue_uv: float = 0.0
    unrelated: bool = False

    def __post_init__(self):
        if not self.t_r_s > 0:
            raise ValueError(f"t_r_s: a repetition time must be > 0 s, got {self.t_r_s:g}")
        if not self.bold_snr > 0:
            raise ValueError(f"bold_snr must be > 0 (1: as much noise as signal), got "
                             f"{self.bold_snr:g}")
        if not 1 <= self.n_rois <= len(REGIONS):
            raise ValueError(f"n_rois must be in 1 … {len(REGIONS)}, the number of regions there "
                             f"are, got {self.n_rois}")
        for name in ("bcg_uv", "motion_per_minute", "gradient_residue_uv"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be ≥ 0 (0: none), got {getattr(self, name):g}")


@dataclass(frozen=True, eq=False)
class Scan:
    """What a scanner gives of a run."""

    scanner: Scanner
    onset_s: Float[np.ndarray, " volume"]  # of volumes, in seconds of the EEG
    body: Body  # what the EEG saw of it
    bold: Bold


def scan(
    person: Brain,
    activity: Activity,
    measured: Measurement,
    scanner: Scanner,
    person_seed: list[int],
    seed: list[int],
) -> tuple[Measurement, Scan]:
    """`measured` with a scanner's residue and triggers, and the scan of the same minutes.

    activity: what BOLD is made of; with `scanner.unrelated` another one than the EEG's.
    """
    import mne

    onset_s = volume_onsets(activity.duration_s, scanner.t_r_s, [*seed, *seed_of("volumes")])

    def a_body(name: str) -> Body:
        return body([*seed, *seed_of(name)], [*person_seed, *seed_of("heart")],
                    activity.duration_s, scanner.motion_per_minute)

    seen = a_body("body")
    elsewhere = a_body("unrelated body") if scanner.unrelated else seen
    if scanner.unrelated:
        activity = _shifted(activity, [*seed, *seed_of("shift")])
    found = bold(person, activity, elsewhere, onset_s, scanner.bold_snr,
                 [*person_seed, *seed_of("response")], [*seed, *seed_of("bold")])

    raw = measured.raw.copy()
    raw[:, :] = raw.get_data() + residue(
        raw.info, len(raw.times), seen, onset_s, scanner.bcg_uv, scanner.gradient_residue_uv,
        [*seed, *seed_of("residue")],
    )
    raw.set_annotations(raw.annotations + mne.Annotations(onset_s, 0.0, TRIGGER))
    return replace(measured, raw=raw), Scan(scanner, onset_s, seen, found)


def volume_onsets(
    duration_s: float, t_r_s: float, seed: list[int]
) -> Float[np.ndarray, " volume"]:
    """Onsets of as many whole volumes as fit; the first on a sample of every device's clock."""
    start_s = round(np.random.default_rng(seed).uniform(*FIRST_VOLUME_S) * 50) / 50
    n = int((duration_s - start_s) / t_r_s + 1e-9)
    return start_s + t_r_s * np.arange(n)


def _shifted(activity: Activity, seed: list[int]) -> Activity:
    """The same minutes turned by some of them. Trials come at nearly the same pace and begin alike:
    unshifted, two recordings' reactions to them would be in step for a while."""
    n_times = activity.generators.shape[1]
    by = int(np.random.default_rng(seed).uniform(0.2, 0.8) * n_times / SFREQ) * round(SFREQ)
    return replace(activity, generators=np.roll(activity.generators, by, axis=1))
