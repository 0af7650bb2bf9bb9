"""The index of what can be trained: one line a tokenizer or model."""

from importlib import import_module

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
}


def find(name: str):
    """The class of a tokenizer or model by its name in the index."""
    if name not in INDEX:
        raise ValueError(f"unknown model {name!r}; there are {sorted(INDEX)}")
    module, cls = INDEX[name]
    return getattr(import_module(module), cls)


def register_auto_classes() -> None:
    """Make transformers' `AutoConfig` and `AutoModel` know all of them."""
    from transformers import AutoConfig, AutoModel

    for name in INDEX:
        model = find(name)
        config = model.config_class
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, model, exist_ok=True)
