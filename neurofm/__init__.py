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
    "Batch": "neurofm.data.batch",
    "Tokens": "neurofm.data.batch",
    "Corpus": "neurofm.data.corpus",
    "TokenSet": "neurofm.data.tokens",
    "BrainTokenizer": "neurofm.tokenizers.brain_tokenizer",
    "BrainTokenizerConfig": "neurofm.tokenizers.brain_tokenizer",
    "BrainOmni": "neurofm.models.brainomni",
    "BrainOmniConfig": "neurofm.models.brainomni",
    "load": "neurofm.hub",
}


@cache  # reading the entry points of every installed package takes a while
def _stage_functions() -> dict[str, object]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group="neurofm.api")}


def __getattr__(name: str):
    if name in _INDEX:
        value = getattr(import_module(_INDEX[name]), name)
    elif not name.startswith("_") and name in (points := _stage_functions()):
        from .cli import check_not_shadowed

        check_not_shadowed(points[name].module)
        value = points[name].load()
    else:
        raise AttributeError(f"module 'neurofm' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_INDEX, *_stage_functions()})


@when_imported("transformers.models.auto.modeling_auto")
def _register(_module) -> None:
    """Make AutoConfig and AutoModel know our classes as soon as somebody loads those."""
    import_module("neurofm.models").register_auto_classes()
