"""Body in the scanner: heartbeats and jerks of the head, which EEG and BOLD see both."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .activity import shaped_noise

RATE_SFREQ = 10.0  # of the heart's rate, Hz


@dataclass(frozen=True, eq=False)
class Body:
    """What a body does in a run: heartbeats, and jerks of the head."""

    beat_s: Float[np.ndarray, " beat"]  # times of heartbeats
    rate: Float[np.ndarray, " time"]  # the heart's rate over its mean, less 1, at `RATE_SFREQ`
    # jerk_s, jerk_size: times of jerks and how large each is (about 1)
    jerk_s: Float[np.ndarray, " jerk"]
    jerk_size: Float[np.ndarray, " jerk"]


def body(
    seed: list[int], person_seed: list[int], duration_s: float, motion_per_minute: float
) -> Body:
    """A person's heart, about 1 Hz, and a head that jerks now and then.

    The rate wanders over a minute and with breathing at about 0.25 Hz (sinus arrhythmia).
    """
    rng = np.random.default_rng(seed)
    mean_hz = np.clip(np.random.default_rng(person_seed).normal(1.05, 0.12), 0.75, 1.5)
    n = round(duration_s * RATE_SFREQ)

    def wanders(hz):
        return (hz < 0.12) / (1 + (hz / 0.03) ** 2) + 1e-12

    def breathes(hz):
        return np.exp(-0.5 * ((hz - 0.25) / 0.02) ** 2) + 1e-12

    slow, breath = (shaped_noise(rng, 1, n, RATE_SFREQ, each)[0] for each in (wanders, breathes))
    rate = np.clip(0.04 * slow + 0.03 * breath, -0.3, 0.3).astype(np.float64)
    phase = np.cumsum(mean_hz * (1 + rate)) / RATE_SFREQ + rng.uniform()
    count = np.arange(np.ceil(phase[0]), np.floor(phase[-1]) + 1)
    beat_s = np.interp(count, phase, (np.arange(n) + 1) / RATE_SFREQ)
    n_jerks = rng.poisson(motion_per_minute * duration_s / 60)
    jerk_s = np.sort(rng.uniform(0, duration_s, n_jerks))
    return Body(beat_s, rate, jerk_s, np.exp(rng.normal(0, 0.3, n_jerks)))
