"""Activity: what the dipoles of a brain do during a recording, with the trials that shaped it.

Generators are made in the frequency domain (a spectrum with random phases), so a recording of
minutes costs one inverse FFT a generator and can be resampled exactly by cutting its spectrum.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from jaxtyping import Float

from .anatomy import Brain, Generator, seed_of

SFREQ = 500.0  # of the activity, Hz; no device samples faster
LABELS = ("left", "right")
# First letter of a place's name → lobe.
LOBES = {"A": "front", "F": "front", "C": "center", "T": "side", "P": "back", "O": "back",
         "I": "back"}


@dataclass(frozen=True)
class Trial:
    """One imagined movement: onset and duration in seconds, label "left" or "right"."""

    onset_s: float
    duration_s: float
    label: str


@dataclass(frozen=True, eq=False)
class Activity:
    """What the sources of a recording do over time."""

    moment: Float[np.ndarray, "source time"]  # float32 [source, time], ampere meters at `SFREQ`
    # float32 [generator, time], what was driven through `Brain.coupling` (rhythms with their
    # modulation): what another modality of the same minutes has to start from
    generators: Float[np.ndarray, "generator time"]
    trials: tuple[Trial, ...]

    @property
    def duration_s(self) -> float:
        return self.moment.shape[1] / SFREQ


def live(
    brain: Brain,
    seed: int | list[int],
    duration_s: int,
    trial_s: float = 4.0,
    blinks_per_minute: float = 4.0,
    comodulation: float = 0.0,
) -> Activity:
    """Let `brain` live for `duration_s` whole seconds, imagining hand movements now and then.

    comodulation: share of the slow waxing that all places of a lobe have in common, on both sides,
        as amplitude envelopes of resting networks do; backgrounds wax too where it is above 0.
    """
    rng = np.random.default_rng(seed)
    n_times = round(duration_s * SFREQ)
    common = _common_waxing(seed, n_times) if comodulation else {}
    trials = _trials(rng, duration_s, trial_s)
    course = np.empty((len(brain.generators), n_times), dtype=np.float32)
    for row, generator in zip(course, brain.generators, strict=True):
        if generator.name == "blink":
            row[:] = _blinks(rng, n_times, blinks_per_minute)
        elif generator.peak_hz is None:
            row[:] = shaped_noise(rng, 1, n_times, SFREQ, _background(generator))[0]
            if (lobe := _lobe(generator)) in common:
                size = 0.5 * np.sqrt(comodulation)
                row *= np.exp(size * common[lobe] - size**2)
        else:
            row[:] = (_rhythm(rng, generator, n_times, common, comodulation)
                      * _reaction(rng, generator, trials, n_times))
    return Activity(brain.coupling.astype(np.float32) @ course, course, trials)


def shaped_noise(
    rng: np.random.Generator, n_rows: int, n_times: int, sfreq: float, power
) -> Float[np.ndarray, "row time"]:
    """Gaussian noise of unit variance, float32, whose power over frequency follows `power(hz)`.

    The constant term is 0. The signal is periodic: its end meets its start.
    """
    hz = np.fft.rfftfreq(n_times, 1 / sfreq)[1:]
    density = power(hz)
    amplitude = np.sqrt(density / density.sum()) * n_times / 2
    spectrum = np.zeros((n_rows, len(hz) + 1), dtype=np.complex64)
    spectrum.real[:, 1:] = rng.standard_normal((n_rows, len(hz)), dtype=np.float32) * amplitude
    spectrum.imag[:, 1:] = rng.standard_normal((n_rows, len(hz)), dtype=np.float32) * amplitude
    return scipy.fft.irfft(spectrum, n_times, axis=1)


def _background(generator: Generator):
    def power(hz):
        return (hz**2 + generator.knee_hz**2) ** (-generator.exponent / 2)

    return power


def _common_waxing(seed: int | list[int], n_times: int) -> dict[str, np.ndarray]:
    """Lobe → what amplitudes in it share, unit variance, [time]; by a generator of its own, so that
    the rest of a recording does not depend on it."""
    rng = np.random.default_rng([*np.atleast_1d(seed).tolist(), *seed_of("common waxing")])
    return {lobe: shaped_noise(rng, 1, n_times, SFREQ, _slow)[0]
            for lobe in dict.fromkeys(LOBES.values())}


def _lobe(generator: Generator) -> str:
    """Where a rhythm or a place's own background is; "" for what is of no one place."""
    sort, _, place = generator.name.partition(" ")
    if sort == "background":
        return LOBES[place[0]]
    return {"alpha": "back", "mu": "center", "beta": "center"}.get(sort, "")


def _slow(hz):
    return np.exp(-0.5 * (hz / 0.15) ** 2)


def _rhythm(
    rng: np.random.Generator, generator: Generator, n_times: int, common: dict[str, np.ndarray],
    comodulation: float,
) -> np.ndarray:
    """A narrow band whose amplitude waxes and wanes over seconds, unit variance, [time]."""

    def band(hz):
        return np.exp(-0.5 * ((hz - generator.peak_hz) / generator.width_hz) ** 2)

    carrier = shaped_noise(rng, 1, n_times, SFREQ, band)[0]
    drift = shaped_noise(rng, 1, n_times, SFREQ, _slow)[0]
    if common:
        shared = common[_lobe(generator)]
        drift = np.sqrt(comodulation) * shared + np.sqrt(1 - comodulation) * drift
    # exp of a Gaussian has mean square exp(2 · variance).
    return carrier * np.exp(generator.waxing * drift - generator.waxing**2)


def _reaction(
    rng: np.random.Generator, generator: Generator, trials: tuple[Trial, ...], n_times: int
) -> np.ndarray:
    """Amplitude of a rhythm around its trials, [time]: 1 at rest, lower in the trial, a rebound."""
    factor = np.ones(n_times, dtype=np.float32)
    if generator.side is None:
        return factor
    for trial in trials:
        own_hand = trial.label == generator.side
        depth = generator.ipsilateral if own_hand else generator.contralateral
        # Attention comes and goes: the same person reacts differently from trial to trial.
        depth = np.clip(depth * rng.normal(1.0, 0.4), 0.0, 0.95)
        start = trial.onset_s + rng.uniform(0.3, 0.6)
        end = trial.onset_s + trial.duration_s + rng.uniform(-0.2, 0.4)
        first = max(0, int((start - 1.5) * SFREQ))
        piece = factor[first : int((end + 3.5) * SFREQ)]  # outside nothing happens
        time_s = (first + np.arange(len(piece))) / SFREQ
        during = _step(time_s, start, 0.15) - _step(time_s, end, 0.2)
        after = np.exp(-0.5 * ((time_s - end - 0.9) / 0.35) ** 2)
        rebound = 0.0 if own_hand else generator.rebound * rng.uniform(0.5, 1.5)
        piece *= (1 - depth * during + rebound * after).astype(np.float32)
    return factor


def _trials(rng: np.random.Generator, duration_s: float, trial_s: float) -> tuple[Trial, ...]:
    """Trials with pauses of 2 to 3 s; labels in shuffled pairs, so that any stretch is balanced."""
    onsets, at = [], rng.uniform(2.5, 3.5)
    while at + trial_s + 1.0 <= duration_s:
        onsets.append(round(float(at), 3))
        at += trial_s + rng.uniform(2.0, 3.0)
    onsets = onsets[: len(onsets) // 2 * 2]
    labels = [LABELS[i] for _ in range(len(onsets) // 2) for i in rng.permutation(2)]
    return tuple(Trial(on, trial_s, label) for on, label in zip(onsets, labels, strict=True))


def _blinks(rng: np.random.Generator, n_times: int, per_minute: float) -> np.ndarray:
    """Bumps of a third of a second at random times, [time], height about 1."""
    course = np.zeros(n_times, dtype=np.float32)
    for at in rng.uniform(0, n_times, rng.poisson(per_minute * n_times / SFREQ / 60)):
        bump = np.hanning(round(SFREQ * rng.uniform(0.25, 0.4))) * rng.uniform(0.7, 1.3)
        piece = course[int(at) : int(at) + len(bump)]
        piece += bump[: len(piece)].astype(np.float32)
    return course


def _step(time_s: np.ndarray, at_s: float, over_s: float) -> np.ndarray:
    return 0.5 * (1 + np.tanh((time_s - at_s) / over_s))
