"""What a scanner leaves in EEG after the usual corrections: heartbeat, jerks, gradients.

The ballistocardiogram is a head that nods and swells with each pulse in a strong field: voltages
grow across the head, not out of the brain (Allen et al. 1998, "Identification of EEG events in the
MR scanner"; Debener et al. 2008, "Properties of the ballistocardiogram artifact"). A template per
beat removes most of it; a few µV stay. Gradient artifacts are harmonics of the slices' frequency
locked to the volumes (Allen et al. 2000).
"""

import numpy as np
from jaxtyping import Float

from .anatomy import CENTER_M
from .body import Body

SLICES = 30  # of a volume
JERK_V = 60e-6  # of a typical jerk


def residue(
    info,
    n_times: int,
    body: Body,
    onset_s: Float[np.ndarray, " volume"],
    bcg_uv: float,
    gradient_residue_uv: float,
    seed: list[int],
) -> Float[np.ndarray, "channel time"]:
    """What to add to clean EEG of these sensors, V, float32.

    bcg_uv: peak of the pulse at a typical channel, gradient_residue_uv: amplitude of the slices'
    first harmonic at a typical channel, both µV.
    """
    rng = np.random.default_rng(seed)
    place = np.array([ch["loc"][:3] for ch in info["chs"]]) - CENTER_M
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    time_s = np.arange(n_times) / info["sfreq"]
    found = 1e-6 * bcg_uv * _pulses(rng, place, body.beat_s, time_s)
    found += JERK_V * _jerks(rng, place, body, time_s)
    if gradient_residue_uv:
        found += 1e-6 * gradient_residue_uv * _slices(rng, len(place), onset_s, time_s)
    return found.astype(np.float32)


def _pulses(rng, place: np.ndarray, beat_s: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """[channel, time], peak 1 at the median channel: two patterns, each with waves of its own."""
    lag_s = np.arange(0, 0.9, 0.002)
    course = np.zeros((2, len(time_s)))
    waves = np.stack([_waves(rng, lag_s), _waves(rng, lag_s)])
    # Pulsation of the arteries by the ears turns the head: mostly left against right.
    axis = rng.normal(0, 0.4, (2, 3)) + np.array([[1.0, 0.0, 0.0], [0.3, 0.7, 0.3]])
    patterns = (place @ axis.T) + 0.3 * (place @ rng.normal(0, 1, (3, 2))) ** 2  # [channel, 2]
    for at in beat_s:
        first, last = np.searchsorted(time_s, [at, at + lag_s[-1]])
        size = np.exp(rng.normal(0, 0.25, 2))
        for row, wave, factor in zip(course, waves, size, strict=True):
            row[first:last] += factor * np.interp(time_s[first:last] - at, lag_s, wave)
    peak = np.abs(patterns @ waves).max(axis=1)
    return (patterns / np.median(peak)) @ course


def _waves(rng, lag_s: np.ndarray) -> np.ndarray:
    """Three bumps of changing sign within half a second of the beat."""
    wave = np.zeros_like(lag_s)
    for delay, height in ((0.16, 0.5), (0.27, -1.0), (0.40, 0.6)):
        delay, height = delay + rng.normal(0, 0.02), height * np.exp(rng.normal(0, 0.2))
        wave += height * np.exp(-0.5 * ((lag_s - delay) / 0.04) ** 2)
    return wave


def _jerks(rng, place: np.ndarray, body: Body, time_s: np.ndarray) -> np.ndarray:
    """[channel, time]: a swing of a second and its ring, along an axis of each jerk's own."""
    found = np.zeros((len(place), len(time_s)))
    for at, size in zip(body.jerk_s, body.jerk_size, strict=True):
        axis = rng.normal(0, 1, 3)
        first, last = np.searchsorted(time_s, [at, at + 1.2])
        lag_s = time_s[first:last] - at
        ring = np.sin(2 * np.pi * rng.uniform(1.5, 3.5) * lag_s) * np.sin(np.pi * lag_s / 1.2) ** 2
        found[:, first:last] += size * np.outer(place @ axis, ring)
    return found


def _slices(rng, n_channels: int, onset_s: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """[channel, time]: harmonics of the slices' frequency while volumes are taken."""
    spacing = onset_s[1] - onset_s[0]
    first_hz, half = SLICES / spacing, 0.5 / (time_s[1] - time_s[0])
    running = (time_s >= onset_s[0]) & (time_s < onset_s[-1] + spacing)
    size = np.exp(rng.normal(0, 0.4, n_channels)) * rng.choice([-1.0, 1.0], n_channels)
    found = np.zeros((n_channels, len(time_s)))
    # Below what the anti-alias filter cuts.
    for k in range(1, int(0.8 * half / first_hz) + 1):
        phase = rng.uniform(0, 2 * np.pi)
        wave = np.cos(2 * np.pi * k * first_hz * (time_s - onset_s[0]) + phase) * running
        found += np.outer(size / k, wave)
    return found
