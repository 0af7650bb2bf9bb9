"""The index of what can be trained: one line a tokenizer or model.

Another package adds one by an entry point in the group `neurofm.models`: a class that answers what
`neurofm.models.protocol` asks, whose config's `model_type` is "neurofm_" and the name.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, cast

from .. import plugins

if TYPE_CHECKING:
    from ..pretrained import NeuroFMPreTrainedModel

logger = logging.getLogger(__name__)

GROUP = "neurofm.models"

# Name in `neurofm pretrain` → module and class. A new tokenizer or model adds its line here.
INDEX = {
    "brain_tokenizer": ("neurofm.tokenizers.brain_tokenizer", "BrainTokenizer"),
    "brainomni": ("neurofm.models.brainomni", "BrainOmni"),
    "brainmae": ("neurofm.models.brainmae", "BrainMAE"),
    "ephys_tokenizer": ("neurofm.tokenizers.ephys_tokenizer", "EphysTokenizer"),
    "mu_law": ("neurofm.tokenizers.mu_law", "MuLaw"),
    "quantile": ("neurofm.tokenizers.quantile", "Quantile"),
    "meg_gpt": ("neurofm.models.meg_gpt", "MEGGPT"),
    "labram": ("neurofm.models.labram", "LaBraM"),
    "neurobolt": ("neurofm.models.neurobolt", "NeuroBOLT"),
    "neurobolt_sequence": ("neurofm.models.neurobolt_sequence", "NeuroBOLTSequence"),
    "fleeg": ("neurofm.models.fleeg", "FLEEG"),
    "decoder": ("neurofm.models.decoder", "Decoder"),
    "stacked": ("neurofm.models.stacked", "Stacked"),
}
# Those that learn from labels: `neurofm pretrain` does not offer them.
OF_LABELS = ("decoder", "fleeg", "stacked")


def names() -> list[str]:
    """Names of all tokenizers and models, those of other packages too."""
    return sorted({*INDEX, *plugins.points(GROUP)})


def pretrained_names() -> list[str]:
    """Names of those that learn without labels."""
    return [name for name in names() if name not in OF_LABELS]


def find(name: str) -> type["NeuroFMPreTrainedModel"]:
    """The class of a tokenizer or model by its name."""
    if name in INDEX:
        module, cls = INDEX[name]
        return getattr(import_module(module), cls)
    if name not in plugins.points(GROUP):
        raise ValueError(f"unknown model {name!r}; there are {', '.join(names())}")
    return plugins.load(GROUP, name)


def register_auto_classes() -> dict[str, type["NeuroFMPreTrainedModel"]]:
    """Make transformers' `AutoConfig` and `AutoModel` know all of them; returns `model_type` →
    class."""
    from transformers import AutoConfig, AutoModel

    kinds = {}
    for name in names():
        try:
            model = find(name)
        except ValueError as problem:  # of another package: ours still load
            logger.warning("%s", problem)
            continue
        kind = cast(str, model.config_class.model_type)
        AutoConfig.register(kind, model.config_class, exist_ok=True)
        AutoModel.register(model.config_class, model, exist_ok=True)
        kinds[kind] = model
    return kinds
