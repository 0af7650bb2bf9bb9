"""The plan of a site, by the kind of model that the sites share."""

import numpy as np

from neurofm import json_file
from neurofm.repository import find

from . import encoder_plan, fleeg_plan, stack_plan
from .learning import Learning
from .plan import Plan
from .site import Site, fold_of


def build(site: Site, learning: Learning) -> Plan:
    """What a site works with, from its own random weights."""
    return kind_of(site.model or learning.model).build(site, learning, fold_of(site, learning))


def initial(learning: Learning) -> dict[str, np.ndarray]:
    """Shared weights before the first round: a function of the seed alone."""
    return kind_of(learning.model).initial(learning)


def kind_of(model: str):
    """The module of the kind. model: "fleeg", or folder or repository of a checkpoint."""
    if model == "fleeg":
        return fleeg_plan
    config = find(model, "config.json")
    stacked = config is not None and json_file.read(config).get("model_type") == "neurofm_stacked"
    return stack_plan if stacked else encoder_plan
