"""The plan of a site, by the kind of model that the sites share."""

import numpy as np

from . import encoder_plan, fleeg_plan
from .learning import Learning
from .plan import Plan
from .site import Site, fold_of


def build(site: Site, learning: Learning) -> Plan:
    """What a site works with, from its own random weights."""
    return _kind(learning).build(site, learning, fold_of(site, learning))


def initial(learning: Learning) -> dict[str, np.ndarray]:
    """Shared weights before the first round: a function of the seed alone."""
    return _kind(learning).initial(learning)


def _kind(learning: Learning):
    return fleeg_plan if learning.model == "fleeg" else encoder_plan
