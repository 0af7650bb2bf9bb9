"""What linear models of the same people make: autoregressions, of each channel and of all together.

Yule–Walker on the person's first half; both are stable in theory whatever the data, since their
covariances divide by the number of all samples, and are checked. A Gaussian process drawn from them
has the spectrum (the multivariate one: cross-spectra too) of the person as far as the order allows,
and neither bursts nor envelopes that move together beyond what that implies. Unlike a MEG-GPT,
which is given a second or so of the person, these have seen the whole half.

Levinson 1947 and Durbin 1960 (Brockwell & Davis 1991, §8.2): reflection coefficients below 1 are
stability. Several channels: Lütkepohl 2005, §3.3.4.
"""

import numpy as np
from jaxtyping import Float
from scipy.signal import lfilter

_AR_RIDGE = 1e-6  # white noise, as a share of the variance: keeps band-limited signals solvable
BURN_IN_S = 10.0


def fit_single(
    own: Float[np.ndarray, "channel lag"],
) -> tuple[Float[np.ndarray, "channel order"], Float[np.ndarray, " channel"]]:
    """(weights of the past, the latest first; variance of what is new) of each channel, from its
    covariance at lags 0 … order."""
    own = own.astype(np.float64).copy()
    own[:, 0] = own[:, 0] * (1 + _AR_RIDGE) + 1e-12
    weights = np.zeros((len(own), own.shape[1] - 1))
    new = own[:, 0].copy()
    for k in range(weights.shape[1]):
        known = (weights[:, :k] * own[:, k:0:-1]).sum(axis=1)
        reflection = (own[:, k + 1] - known) / new
        if not (np.abs(reflection) < 1).all():
            raise ValueError(f"autoregression of order {k + 1} is not stable (reflection "
                             f"{np.abs(reflection).max():.4f}, wanted below 1); set a lower "
                             f"ar_order")
        weights[:, :k] -= reflection[:, None] * weights[:, :k][:, ::-1]
        weights[:, k] = reflection
        new *= 1 - reflection**2
    return weights, new


def draw_single(
    weights: Float[np.ndarray, "channel order"], new: Float[np.ndarray, " channel"], n: int,
    sfreq: float, seed: int,
) -> Float[np.ndarray, "channel time"]:
    """n samples after the burn-in, channels independent."""
    burnt = round(BURN_IN_S * sfreq)
    noise = np.random.default_rng(seed).standard_normal((len(new), n + burnt))
    noise *= np.sqrt(new)[:, None]
    drawn = [lfilter([1.0], np.concatenate([[1.0], -own]), row)
             for own, row in zip(weights, noise, strict=True)]
    return np.stack(drawn)[:, burnt:].astype(np.float32)


def fit_joint(
    covariance: Float[np.ndarray, "lag channel channel"], ridge: float
) -> tuple[Float[np.ndarray, "channel past"], Float[np.ndarray, "channel channel"]]:
    """(weights of the past, the latest sample's channels first; covariance of what is new), from
    covariances at lags 0 … order. ridge: white noise added, as a share of each variance."""
    order, width = len(covariance) - 1, covariance.shape[1]
    at_zero = covariance[0] + ridge * np.diag(np.diagonal(covariance[0])) + 1e-12 * np.eye(width)
    lags = [at_zero, *covariance[1:]]
    # Blocks [j, i]: covariance of the sample j + 1 ago with that i + 1 ago.
    past = np.block([[lags[i - j] if i >= j else lags[j - i].T for i in range(order)]
                     for j in range(order)])
    now = np.concatenate(lags[1:], axis=1)  # [channel, past]
    weights = np.linalg.solve(past.T, now.T).T
    new = at_zero - weights @ now.T
    companion = np.eye(order * width, k=-width)
    companion[:width] = weights
    radius = np.abs(np.linalg.eigvals(companion)).max()
    if not radius < 1:
        raise ValueError(f"multivariate autoregression of order {order} is not stable (largest "
                         f"root {radius:.4f}, wanted below 1); set a lower mvar_order or a higher "
                         f"ridge")
    return weights, (new + new.T) / 2


def draw_joint(
    weights: Float[np.ndarray, "channel past"], new: Float[np.ndarray, "channel channel"], n: int,
    sfreq: float, seed: int,
) -> Float[np.ndarray, "channel time"]:
    """n samples after the burn-in."""
    burnt, width = round(BURN_IN_S * sfreq), len(new)
    value, vector = np.linalg.eigh(new)
    mix = vector * np.sqrt(np.maximum(value, 0.0))
    noise = np.random.default_rng(seed).standard_normal((n + burnt, width)) @ mix.T
    past, drawn = np.zeros(weights.shape[1]), np.empty((n + burnt, width))
    for t in range(n + burnt):
        drawn[t] = weights @ past + noise[t]
        past[width:] = past[:-width].copy()
        past[:width] = drawn[t]
    return drawn[burnt:].T.astype(np.float32)
