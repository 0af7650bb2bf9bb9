"""What predictions would score if they had nothing to do with the scan: two ways, region by region.

Moved: the prediction of each scan is moved circularly by a random time of at least 20 s, which
keeps how slow it is and how much it varies. Other people: predictions are set against the measured
scan of somebody else, which also keeps what all scans have in common (a drift, a beginning). The
statistic is the mean of r over scans (and seeds). arXiv 2504.10752 shows what is believed without
such tests. Corrections over regions: Holm 1979; Benjamini & Hochberg 1995.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .series import FLAT, Series, coherence, pearson
from .statistics import benjamini_hochberg, holm, mean

SHIFT_S = 20.0
_COHERENCES = 20  # moved series whose mean coherence is told


@dataclass(frozen=True, eq=False)
class Null:
    """The mean r of each region, beside what surrogates have."""

    r: Float[np.ndarray, " roi"]  # of each region
    # of surrogates; none ([0, roi]) where none can be made, and why
    drawn: Float[np.ndarray, "draw roi"]
    why: str = ""

    @property
    def p(self) -> Float[np.ndarray, " roi"]:
        """Share of surrogates at least as good, one-sided; the true one counts among them."""
        if not len(self.drawn):
            return np.full(len(self.r), np.nan)
        reached = (self.drawn >= self.r - 1e-12).sum(axis=0)
        return np.where(np.isfinite(self.r), (1 + reached) / (1 + len(self.drawn)), np.nan)

    @property
    def least_p(self) -> float:
        """The lowest p that there can be."""
        return 1 / (1 + len(self.drawn)) if len(self.drawn) else math.nan

    def can_reach(self, level: float) -> bool:
        """Whether there are surrogates enough for any region to come below a level after Holm."""
        return bool(len(self.drawn)) and self.least_p * np.isfinite(self.r).sum() < level

    @property
    def holm(self) -> Float[np.ndarray, " roi"]:
        return holm(self.p)

    @property
    def q(self) -> Float[np.ndarray, " roi"]:
        return benjamini_hochberg(self.p)


def moved(scans: list[Series], method: str, draws: int, seed: int) -> Null:
    """Circular shifts, drawn for each scan by itself; all regions of a scan move together."""
    rng = np.random.default_rng(seed)
    observed, of_draws = [], []
    for one in scans:
        observed.append(_r(one, method))
        shifts = allowed_shifts(len(one.measured), one.t_r)
        if len(shifts):
            every = np.mean([r_of_shifts(x, one.measured) for x in one.predicted[method]], axis=0)
            of_draws.append(every[rng.choice(shifts, size=draws)])
    r = mean(observed)
    if len(of_draws) < len(scans):
        return Null(r, np.empty((0, len(r))), why=(
            f"{len(scans) - len(of_draws)} of {len(scans)} scans are too short to be moved by "
            f"{SHIFT_S:g} s or more in both directions: there is no test by moved predictions"))
    return Null(r, mean(of_draws))


def others(scans: list[Series], method: str, draws: int, seed: int) -> Null:
    """Each scan's prediction against the measured scan of another subject, cut to the shorter."""
    subjects = np.array([one.subject for one in scans])
    partners = [np.flatnonzero(subjects != subject) for subject in subjects]
    r = mean([_r(one, method) for one in scans])
    if len(set(subjects)) < 2:
        return Null(r, np.empty((0, len(r))), why="one subject is judged: there is no test by "
                                                  "other people's scans")
    own = np.stack([[_against(one, method, other) for other in scans] for one in scans])
    if math.prod(map(len, partners)) <= draws:
        chosen = np.array([*itertools.product(*partners)])
    else:
        rng = np.random.default_rng(seed)
        chosen = np.stack([rng.choice(each, size=draws) for each in partners], axis=1)
    return Null(r, mean([own[k, chosen[:, k]] for k in range(len(scans))]))


def moved_coherence(scans: list[Series], method: str, seed: int) -> Float[np.ndarray, " roi"]:
    """Mean coherence of moved predictions: what unrelated series of this kind have."""
    rng, found = np.random.default_rng(seed), []
    for one in scans:
        shifts = allowed_shifts(len(one.measured), one.t_r)
        for shift in rng.choice(shifts, size=_COHERENCES) if len(shifts) else []:
            found.append(coherence(np.roll(one.predicted[method][0], shift, axis=0), one.measured,
                                   one.t_r))
    return mean(found) if found else np.full(scans[0].measured.shape[1], np.nan)


def allowed_shifts(n_volumes: int, t_r: float) -> np.ndarray:
    """Volumes by which a circle of so many may be moved: at least `SHIFT_S` either way."""
    least = math.ceil(round(SHIFT_S / t_r, 9))
    return np.arange(least, n_volumes - least + 1)


def r_of_shifts(
    predicted: Float[np.ndarray, "volume roi"], measured: Float[np.ndarray, "volume roi"]
) -> Float[np.ndarray, "shift roi"]:
    """Pearson's r with `np.roll(predicted, shift)`, of every shift at once by Fourier transforms;
    volumes that were not measured stand still."""
    n = len(measured)
    known = np.isfinite(measured)
    x = predicted - predicted.mean(axis=0)
    x = np.where(x.std(axis=0) > FLAT, x, 0.0)
    count = np.maximum(known.sum(axis=0), 1)
    y = np.where(known, measured, 0.0)
    y = np.where(known, y - y.sum(axis=0) / count, 0.0)

    def correlated(fixed: np.ndarray, turned: np.ndarray) -> np.ndarray:
        return np.fft.irfft(np.fft.rfft(fixed, axis=0) * np.conj(np.fft.rfft(turned, axis=0)), n,
                            axis=0)

    mask = known.astype(float)
    variance = correlated(mask, np.square(x)) - np.square(correlated(mask, x)) / count
    spread = np.sqrt(np.maximum(variance, 0) * np.square(y).sum(axis=0))
    top = spread.max(axis=0, initial=0)
    r = np.divide(correlated(y, x), spread, out=np.zeros_like(spread), where=spread > 1e-9 * top)
    return np.where(known.sum(axis=0) >= 3, r, np.nan)


def _r(one: Series, method: str) -> np.ndarray:
    return np.mean([pearson(x, one.measured) for x in one.predicted[method]], axis=0)


def _against(one: Series, method: str, other: Series) -> np.ndarray:
    """r with the other scan, at this one's times: repetition times may differ."""
    if other is one:
        return _r(one, method)
    since, theirs = one.time_s - one.time_s[0], other.time_s - other.time_s[0]
    inside = since <= theirs[-1] + 1e-9
    measured = np.stack([np.interp(since[inside], theirs, column)  # NaN stays NaN
                         for column in other.measured.T], axis=1)
    return np.mean([pearson(x[inside], measured) for x in one.predicted[method]], axis=0)
