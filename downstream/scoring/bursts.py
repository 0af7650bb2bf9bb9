"""How often channels burst, for how long and how far apart: a hidden Markov model of three states.

As in Vidaurre 2016 and Quinn 2018, for one channel at a time: 1–45 Hz, embedded with 15 lags (at
most 250 samples a second), its leading principal components, states of mean 0 and a full
covariance each. One model, of real first halves of all people and channels, says of every source
where the bursts are; the burst state is the one with most power, that is, the largest trace of its
covariance, which is the variance of the 1–45 Hz signal while it lasts (slow where spectra fall).

From the most likely path: rate, bursts that begin in a second; lifetime, mean length of bursts
whose beginning and end are seen; interval, mean time from one's end to the next one's beginning.
Each is over the bursts of all channels together. At a burst's edges the lags see it in part, which
may be another state: lifetimes are short by about the reach of the lags (56 ms at 250 Hz), for all
sources alike.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.signal import butter, sosfiltfilt

from neurofm import extras

from .spectra import LOW_HZ
from .stretches import Stretches

N_STATES = 3
N_LAGS = 15
N_COMPONENTS = 6
FIT_ROWS = 60_000  # samples the model is fitted on
PIECE_S = 5.0  # of a channel
MEASURES = ("rate", "interval", "lifetime")
_MAX_SFREQ = 250.0
_SHARES = (0.5, 0.85)  # quantiles of momentary power between which the states begin
_STAY = 0.97  # of a state from sample to sample, to begin with


@dataclass(frozen=True, eq=False)
class Bursts:
    """A hidden Markov model of single channels, one of whose states is the burst."""

    model: Any  # a GaussianHMM
    components: Float[np.ndarray, "component lag"]
    burst: int  # number of its state
    sfreq: float  # of the signals
    high_hz: float

    def of(self, stretches: Stretches) -> dict[str, float]:
        """Rate (1/s, of a channel), interval (s) and lifetime (ms); NaN without any."""
        step = _step(self.sfreq)
        rows = [embed(trace, step) @ self.components.T for stretch in stretches
                for trace in narrow(stretch, self.sfreq, self.high_hz)
                if len(trace) > N_LAGS * step]
        if not rows:
            return dict.fromkeys(MEASURES, np.nan)
        sizes = [len(row) for row in rows]
        path = self.model.predict(np.concatenate(rows), sizes) == self.burst
        n = 0
        lengths: list[int] = []
        gaps: list[int] = []
        for part in np.split(path, np.cumsum(sizes)[:-1]):
            own = runs(part)
            n, lengths, gaps = n + own[0], lengths + own[1], gaps + own[2]
        row_s = step / self.sfreq
        interval, lifetime = (float(np.mean(x)) * row_s if x else np.nan for x in (gaps, lengths))
        return {"rate": n / (len(path) * row_s), "interval": interval, "lifetime": 1000 * lifetime}

    def state_spectra(self) -> tuple[Float[np.ndarray, " frequency"], Float[np.ndarray, "state f"]]:
        """(frequencies, dB) of each state, from its covariance over lags."""
        frequency = np.arange(LOW_HZ, self.high_hz + 0.5)
        lag_s = np.arange(N_LAGS) * _step(self.sfreq) / self.sfreq
        wave = np.exp(2j * np.pi * frequency[:, None] * lag_s) @ self.components.T
        power = np.einsum("fc,scd,fd->sf", wave.conj(), self.model.covars_, wave).real
        return frequency, 10 * np.log10(np.maximum(power / N_LAGS, 1e-12))

    def power(self) -> Float[np.ndarray, " state"]:
        """Variance of the signal in each state."""
        return np.trace(self.model.covars_, axis1=1, axis2=2) / N_LAGS


def runs(on: Float[np.ndarray, " row"]) -> tuple[int, list[int], list[int]]:
    """(number that begin, lengths of the whole ones, gaps between them) of runs of True."""
    change = np.diff(on.astype(np.int8))
    starts, ends = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    if not len(starts) or not len(ends):
        return len(starts), [], []
    whole = ends[ends > starts[0]]  # the first may have begun before
    later = starts[starts > ends[0]]
    return (len(starts), (whole - starts[: len(whole)]).tolist(),
            (later - ends[: len(later)]).tolist())


def fit(pieces: list[Float[np.ndarray, " time"]], sfreq: float, high_hz: float) -> Bursts:
    """The model of some pieces of single channels, 1–45 Hz already (see `draw`)."""
    hmm = extras.need("hmmlearn.hmm", "the model of bursts")
    embedded = [embed(piece, _step(sfreq)) for piece in pieces]
    whole = np.concatenate(embedded)
    components = np.linalg.eigh(whole.T @ whole)[1][:, ::-1][:, :N_COMPONENTS].T
    rows = whole @ components.T
    # hmmlearn estimates covariances only along with means: a heavy prior holds these at 0.
    model = hmm.GaussianHMM(N_STATES, "full", implementation="scaling", n_iter=40, init_params="",
                        params="stmc", means_prior=0.0, means_weight=1e9, min_covar=1e-8,
                        covars_prior=1e-6, tol=1e-4 * len(rows))
    model.startprob_ = np.full(N_STATES, 1 / N_STATES)
    model.transmat_ = np.full((N_STATES, N_STATES), (1 - _STAY) / (N_STATES - 1))
    np.fill_diagonal(model.transmat_, _STAY)
    model.means_ = np.zeros((N_STATES, N_COMPONENTS))
    model.covars_ = _first_covariances(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        model.fit(rows, [len(piece) for piece in embedded])
    burst = int(np.trace(model.covars_, axis1=1, axis2=2).argmax())
    return Bursts(model, components, burst, sfreq, high_hz)


def _first_covariances(rows: np.ndarray) -> np.ndarray:
    """Of samples with little, more and most power: states differ from the beginning."""
    power = np.square(rows).sum(axis=1)
    state = np.searchsorted(np.quantile(power, _SHARES), power)
    return np.stack([rows[state == k].T @ rows[state == k] / max(1, (state == k).sum())
                     + 1e-6 * np.eye(rows.shape[1]) for k in range(N_STATES)])


def draw(
    stretches: Stretches, n: int, sfreq: float, high_hz: float, rng: np.random.Generator
) -> list[Float[np.ndarray, " time"]]:
    """n pieces (5 s, or shorter stretches) of random channels and places, 1–45 Hz."""
    size, found = round(PIECE_S * sfreq), []
    weight = np.array([stretch.shape[1] for stretch in stretches], float)
    for which in rng.choice(len(stretches), n, p=weight / weight.sum()):
        channel = rng.integers(len(stretches[which]))
        trace = narrow(stretches[which][channel : channel + 1], sfreq, high_hz)[0]
        start = rng.integers(max(1, len(trace) - size + 1))
        if len(trace) > 2 * N_LAGS * _step(sfreq):
            found.append(trace[start : start + size])
    return found


def narrow(
    stretch: Float[np.ndarray, "channel time"], sfreq: float, high_hz: float
) -> Float[np.ndarray, "channel time"]:
    """1–45 Hz (or less, where signals end before), Butterworth, without delay."""
    filters = butter(4, [LOW_HZ, high_hz], btype="bandpass", fs=sfreq, output="sos")
    room = min(round(sfreq), stretch.shape[1] - 1)
    return sosfiltfilt(filters, stretch.astype(np.float64), axis=1, padlen=room)


def embed(trace: Float[np.ndarray, " time"], step: int) -> Float[np.ndarray, "row lag"]:
    """Each sample (every `step`-th) with those before it."""
    view = np.lib.stride_tricks.sliding_window_view(trace, (N_LAGS - 1) * step + 1)
    return view[::step, ::step]


def _step(sfreq: float) -> int:
    return max(1, int(np.ceil(sfreq / _MAX_SFREQ - 1e-9)))
