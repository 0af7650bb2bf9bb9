"""BOLD of regions from the activity that EEG records: generators' power ⊛ haemodynamic response.

    drive of a region = Σ weight · relative power of a generator + what no EEG knows
    clean = drive ⊛ double-gamma response, mid-volume; noisy = clean + physiology + drift

The response is the canonical one (Friston et al. 1998, "Event-related fMRI"; a gamma density that
peaks at 5 s less a sixth of one that peaks 10 s later) with the person's own peak. Noise: AR(1) of
each region's own, a course that all share (the heart's rate ⊛ the cardiac response of Chang et al.
2009, "Influence of heart rate on the BOLD signal", and an AR(1)), drift over minutes, and spikes
in volumes during which the head jerked.
"""

from dataclasses import dataclass
from math import gamma

import numpy as np
import scipy.fft
import scipy.signal
from jaxtyping import Float

from .activity import SFREQ, Activity, shaped_noise
from .anatomy import Brain
from .body import RATE_SFREQ, Body
from .regions import GLOBAL, REGIONS, template_weights

DRIVE_SFREQ = RATE_SFREQ  # of power and drives, Hz
BROADBAND_HZ = (4.0, 40.0)  # of a background, which has no band of its own
PEAK_S, PEAK_JITTER_S = 5.0, 0.5
MEMORY_S = 4.0  # time constant of AR(1) noise
OWN, DRIFT = 0.6, 0.1  # shares of the noise's variance; the rest is shared by all regions
SPIKE = 2.5  # BOLD of a volume with a typical jerk, in standard deviations of the clean signal


@dataclass(frozen=True, eq=False)
class Bold:
    """BOLD in per cent of its mean (clean: standard deviation 1), rows in the order of `REGIONS`.
    """

    noisy: Float[np.ndarray, "region volume"]  # noisy, clean: float64 [region, volume]
    clean: Float[np.ndarray, "region volume"]
    seen: Float[np.ndarray, "region volume"]  # the part of clean that generators drive
    # [region, time] at `DRIVE_SFREQ`; clean(t) = Σₖ hrf[k] · drive(t − k / DRIVE_SFREQ)
    drive: Float[np.ndarray, "region time"]
    # [region, generator], drive for a doubling of that generator's power
    weights: Float[np.ndarray, "region generator"]
    hrf: Float[np.ndarray, " lag"]
    peak_s: float


def bold(
    brain: Brain,
    activity: Activity,
    body: Body,
    onset_s: Float[np.ndarray, " volume"],
    snr: float,
    person_seed: list[int],
    seed: list[int],
) -> Bold:
    """BOLD of `activity`, measured in the middle of each volume (as after correction of slice times
    to it). onset_s: of volumes, equally spaced, in seconds of the activity.

    snr: standard deviation of clean over that of the noise (jerks not counted).
    person_seed: of the person's response and weights; seed: of this recording.
    """
    own, rng = np.random.default_rng(person_seed), np.random.default_rng(seed)
    measured_s = onset_s + (onset_s[1] - onset_s[0]) / 2
    peak_s = PEAK_S + own.uniform(-PEAK_JITTER_S, PEAK_JITTER_S)
    response = double_gamma(peak_s)
    weights = template_weights(brain) * np.exp(
        own.normal(0, 0.2, (len(REGIONS), len(brain.generators)))
    )
    change = relative_power(brain, activity)
    unseen = shaped_noise(rng, len(REGIONS), change.shape[1], DRIVE_SFREQ, _slow).astype(np.float64)

    share = np.array([region.unseen for region in REGIONS])
    everywhere = [region.name for region in REGIONS].index(GLOBAL)
    weights *= _gain(weights @ change, response, measured_s, 1 - share)
    weights[everywhere] = np.delete(weights, everywhere, axis=0).mean(axis=0)
    weights[everywhere] *= _gain(weights @ change, response, measured_s, 1 - share)[everywhere]
    unseen *= _gain(unseen, response, measured_s, share)
    # The two parts are never quite uncorrelated: a last factor on both makes their sum's spread 1.
    both = _gain(weights @ change + unseen, response, measured_s, np.ones(len(share)))
    weights, unseen = weights * both, unseen * both

    seen_drive = weights @ change
    drive = seen_drive + unseen
    clean, seen = (_at(each, response, measured_s) for each in (drive, seen_drive))
    noisy = clean + _noise(rng, body, measured_s) / snr + _spikes(rng, body, onset_s)
    return Bold(noisy, clean, seen, drive, weights, response, float(peak_s))


def double_gamma(peak_s: float) -> Float[np.ndarray, " lag"]:
    """The response to an impulse at lags of 1 / `DRIVE_SFREQ`, 32 s long, sum 1."""
    time_s = np.arange(round(32 * DRIVE_SFREQ)) / DRIVE_SFREQ

    def density(shape: float) -> np.ndarray:
        return time_s ** (shape - 1) * np.exp(-time_s) / gamma(shape)

    response = density(peak_s + 1) - density(peak_s + 11) / 6
    return response / response.sum()


def relative_power(brain: Brain, activity: Activity) -> Float[np.ndarray, "generator time"]:
    """Power of each generator over its mean, less 1, at `DRIVE_SFREQ`; of a background in
    `BROADBAND_HZ`, of a rhythm in its band. 0 for blinks."""
    bins = round(SFREQ / DRIVE_SFREQ)
    n_times = activity.generators.shape[1]
    hz = np.fft.rfftfreq(n_times, 1 / SFREQ)
    inside = (hz >= BROADBAND_HZ[0]) & (hz <= BROADBAND_HZ[1])
    change = np.zeros((len(brain.generators), n_times // bins))
    for row, course, generator in zip(change, activity.generators, brain.generators, strict=True):
        if generator.name == "blink":
            continue
        if generator.peak_hz is None:
            course = scipy.fft.irfft(scipy.fft.rfft(course) * inside, n_times)
        power = np.square(course, dtype=np.float64)[: change.shape[1] * bins]
        power = power.reshape(-1, bins).mean(axis=1)
        row[:] = power / power.mean() - 1
    return change


def _slow(hz):
    return np.exp(-0.5 * (hz / 0.15) ** 2)


def _at(drive: np.ndarray, response: np.ndarray, at_s: np.ndarray) -> np.ndarray:
    """drive ⊛ response at these times, [row, volume]; before the recording nothing happened."""
    n = drive.shape[1]
    course = scipy.signal.fftconvolve(drive, response[None], axes=1)[:, :n]
    middle_s = (np.arange(n) + 0.5) / DRIVE_SFREQ
    return np.stack([np.interp(at_s, middle_s, row) for row in course])


def _gain(drive, response, at_s, variance) -> np.ndarray:
    """Factor [row, 1] that gives each row's BOLD that variance; 0 where a row is silent."""
    spread = _at(drive, response, at_s).std(axis=1)
    gain = np.divide(np.sqrt(variance), spread, out=np.zeros_like(spread), where=spread > 0)
    return gain[:, None]


def _noise(rng: np.random.Generator, body: Body, at_s: np.ndarray) -> np.ndarray:
    """Physiology and drift, unit variance, [region, volume]."""
    n_regions, n = len(REGIONS), len(at_s)
    spacing = at_s[1] - at_s[0]
    heart = _at(body.rate[None], _cardiac_response(), at_s)[0]
    heart = (heart - heart.mean()) / max(heart.std(), 1e-12)
    shared = np.sqrt(0.5) * (heart + _ar1(rng, 1, n, spacing)[0])
    own = _ar1(rng, n_regions, n, spacing)
    # Half and whole waves of the recording, as of warming gradients and slow sinking.
    phase = np.pi * (np.arange(n) + 0.5) / n
    drift = rng.standard_normal((n_regions, 2)) @ np.stack([np.cos(phase), np.cos(2 * phase)])
    is_global = np.array([region.name == GLOBAL for region in REGIONS])
    # The mean of the whole brain keeps what is shared and little of what is local.
    weight = np.where(is_global, OWN / 4, OWN)[:, None]
    mean = 1 - DRIFT - weight
    return np.sqrt(weight) * own + np.sqrt(mean) * shared + np.sqrt(DRIFT) * drift


def _ar1(rng: np.random.Generator, n_rows: int, n: int, spacing_s: float) -> np.ndarray:
    """Unit variance, correlation exp(−lag / MEMORY_S), [row, volume]."""
    keeps = np.exp(-spacing_s / MEMORY_S)
    fresh = rng.standard_normal((n_rows, n)) * np.sqrt(1 - keeps**2)
    fresh[:, 0] /= np.sqrt(1 - keeps**2)
    return scipy.signal.lfilter([1.0], [1.0, -keeps], fresh, axis=1)


def _cardiac_response() -> np.ndarray:
    """BOLD for a rise of the heart's rate (Chang et al. 2009, equation 5), 32 s, any unit."""
    time_s = np.arange(round(32 * DRIVE_SFREQ)) / DRIVE_SFREQ
    rise = 0.6 * time_s**2.7 * np.exp(-time_s / 1.6)
    return rise - 16 / np.sqrt(18 * np.pi) * np.exp(-((time_s - 12) ** 2) / 18)


def _spikes(rng: np.random.Generator, body: Body, onset_s: np.ndarray) -> np.ndarray:
    """What jerks of the head do to the volume they fall into and to the next, [region, volume]."""
    spikes = np.zeros((len(REGIONS), len(onset_s)))
    spacing = onset_s[1] - onset_s[0]
    for at, size in zip(body.jerk_s, body.jerk_size, strict=True):
        pattern = SPIKE * size * rng.normal(1.0, 0.5, len(REGIONS))
        first = int(np.floor((at - onset_s[0]) / spacing))
        for volume, factor in ((first, 1.0), (first + 1, -0.3)):
            if 0 <= volume < len(onset_s):
                spikes[:, volume] += factor * pattern
    return spikes
