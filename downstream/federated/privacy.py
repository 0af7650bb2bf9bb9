"""Differential privacy of sites: their changes are clipped, noise is added, the budget is reported.

By Flower's strategy wrappers and its client-side clipping. What is protected is what a site has:
somebody who sees all averages, and knows how many sites took part, cannot tell beyond epsilon
whether a site trained on its recordings or on any others. It is no promise to a single patient of a
site, which would need noise within the site's own training; and numbers of trials, losses and
accuracies, which sites tell besides, are not covered.
"""

import math
from dataclasses import dataclass
from typing import Literal

from flwr.app import Context, Message
from flwr.clientapp.mod import fixedclipping_mod
from flwr.common.differential_privacy_constants import KEY_CLIPPING_NORM

from neurofm.limits import InnerShare, Positive, limited

from . import messages


@dataclass
@limited
class Privacy:
    """Differential privacy of sites.

    Parameters
    ----------
    where
        "none"; "server" clips the updates that arrive; "client" clips before sending. Both
        add noise to the mean.
    noise
        Noise multiplier: standard deviation of the noise over the clipping norm.
    clip
        Clipping norm of the update of a site (Euclidean).
    delta
        δ of the privacy budget (ε, δ).
    """

    where: Literal["none", "server", "client"] = "none"
    noise: float = 1.0
    clip: Positive = 1.0
    delta: InnerShare = 1e-5

    PREFIX = "privacy."

    def check(self, strategy: str, weights: str) -> None:
        """Raise ValueError where noise would not hide what it should."""
        if self.where == "none":
            return
        if weights != "equal":
            raise ValueError("privacy needs averaging.weights=equal: the noise hides a site that "
                             "counts as one of n, and by trials a large site counts for more")
        if strategy != "fedavg":
            raise ValueError(f"privacy is of averaging.strategy=fedavg: how much one site changes "
                             f"the outcome of {strategy} is not known")


def wrapped(strategy, how: Privacy, n_sites: int):
    """The strategy with clipping and noise, if any is asked for."""
    from flwr.serverapp import strategy as flower

    if how.where == "none":
        return strategy
    cls = (flower.DifferentialPrivacyServerSideFixedClipping if how.where == "server" else
           flower.DifferentialPrivacyClientSideFixedClipping)
    return cls(strategy, how.noise, how.clip, n_sites)


def expect(strategy, n_answers: int) -> None:
    """Noise for as many answers as came: with fewer, each changes their mean by more."""
    if hasattr(strategy, "num_sampled_clients"):
        strategy.num_sampled_clients = n_answers


def clipped_if_asked(message: Message, context: Context, call_next) -> Message:
    """A site's change is clipped where the server asks its sites to do so themselves."""
    config = message.content.config_records.get(messages.CONFIG, {})
    if KEY_CLIPPING_NORM in config and message.metadata.message_type == "train":
        return fixedclipping_mod(message, context, call_next)
    return call_next(message, context)


def epsilon(noise: float, rounds: int, delta: float) -> float:
    """Budget spent after so many rounds in which every site took part.

    Exact for composed Gaussian mechanisms: rounds of noise multiplier z are one of z / √rounds
    (Dong et al. 2019, arXiv 1905.02383, corollary 3.3), whose δ(ε) is that of Balle & Wang 2018
    (arXiv 1805.06530, theorem 8). Other recordings at one of n sites move the mean of changes that
    are clipped to C by up to 2 C / n, which is 2 / z deviations of the noise. No amplification by
    sampling: all sites are in all rounds.
    """
    if rounds == 0:
        return 0.0
    if noise == 0:
        return math.inf
    mu = 2 * math.sqrt(rounds) / noise
    low, high = 0.0, 1.0
    while _delta(high, mu) > delta:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _delta(middle, mu) > delta else (low, middle)
    return high


def _delta(epsilon: float, mu: float) -> float:
    """δ at which a mechanism of separation mu is (ε, δ)-private."""
    from scipy.stats import norm

    second = epsilon + norm.logcdf(-epsilon / mu - mu / 2)  # its exponential may overflow alone
    return float(norm.cdf(-epsilon / mu + mu / 2) - math.exp(second))
