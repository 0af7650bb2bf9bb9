"""neurofm: foundation models of human brain recordings.

    import neurofm
    model = neurofm.load("path/or/org/name")
    features = neurofm.embed(raw, model)          # [window, source, frame, dim]

Names below are resolved when first touched, so `import neurofm` costs milliseconds. Functions of
the stages (`neurofm.standardize`, …) are found through the entry points `neurofm.api`.
"""

from functools import cache
from importlib import import_module

from wrapt import when_imported

_INDEX = {
    "Sensors": "neurofm.data.sensors",
    "Recording": "neurofm.data.recording",
    "Events": "neurofm.data.recording",
    "InputContract": "neurofm.data.contract",
    "FMRIContract": "neurofm.data.fmri_contract",
    "Batch": "neurofm.data.batch",
    "Tokens": "neurofm.data.batch",
    "Corpus": "neurofm.data.corpus",
    "TokenSet": "neurofm.data.tokens",
    "BrainTokenizer": "neurofm.tokenizers.brain_tokenizer",
    "BrainTokenizerConfig": "neurofm.tokenizers.brain_tokenizer",
    "BrainOmni": "neurofm.models.brainomni",
    "BrainOmniConfig": "neurofm.models.brainomni",
    "load": "neurofm.checkpoints",
}


@cache  # reading the entry points of every installed package takes a while
def _stage_functions() -> dict[str, object]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group="neurofm.api")}


def __getattr__(name: str):
    if name in _INDEX:
        value = getattr(import_module(_INDEX[name]), name)
    elif not name.startswith("_") and name in (points := _stage_functions()):
        value = points[name].load()
    else:
        raise AttributeError(f"module 'neurofm' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_INDEX, *_stage_functions()})


def _stand_in(base: type, models, name: str) -> type:
    """What AutoConfig may hold before our config class can be imported: it gives that class's."""

    class StandIn(base):
        model_type = f"neurofm_{name}"

        def __new__(cls, *args, **fields):
            return models.find(name).config_class(*args, **fields)

        @classmethod
        def from_dict(cls, fields, **options):
            return models.find(name).config_class.from_dict(fields, **options)

    return StandIn


@when_imported("transformers.models.auto.configuration_auto")
def _announce(auto) -> None:
    """Make AutoConfig know our configs as soon as somebody loads it.

    This module is loaded in the middle of `transformers.modeling_utils`, which our classes stand
    on: they cannot be imported yet. So their names are registered with stand-ins, which fetch the
    class when a config is asked for; `_register` puts the classes themselves in their place.
    """
    models = import_module("neurofm.models")
    for name in models.INDEX:
        stand_in = _stand_in(auto.PreTrainedConfig, models, name)
        auto.AutoConfig.register(stand_in.model_type, stand_in, exist_ok=True)


@when_imported("transformers.models.auto.modeling_auto")
def _register(_module) -> None:
    """Make AutoConfig and AutoModel know our classes as soon as somebody loads the latter."""
    import_module("neurofm.models").register_auto_classes()
