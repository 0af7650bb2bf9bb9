"""neurofm: foundation models of human brain recordings.

    import neurofm
    model = neurofm.load("path/or/org/name")
    features = neurofm.embed(raw, model)          # Features, [window, source, frame, dim]

The names of `dir(neurofm)` are resolved when first touched, so `import neurofm` costs milliseconds.
"""

from importlib import import_module

from wrapt import when_imported

# The public names, each under the module that holds it.
_INDEX = {
    name: module for module, names in {
        "neurofm.checkpoints": ("load",),
        "neurofm.cli": ("command",),
        "neurofm.hub.windows": ("load_windows",),
        "neurofm.preprocessing.readers": ("read",),
        "neurofm.preprocessing.simulate": ("simulate_raw",),
        "neurofm.preprocessing.standardize": ("standardize",),
        "neurofm.downstream.decoder.embedding": ("embed",),
        "neurofm.downstream.decoder.feature_array": ("Features",),
        "neurofm.downstream.estimators.automatic": (
            "NeuroFMAutoClassifier", "NeuroFMAutoRegressor"),
        "neurofm.downstream.estimators.sklearn_embedding": ("NeuroFMEmbedding",),
        "neurofm.downstream.estimators.sklearn_face": ("NeuroFMClassifier", "NeuroFMRegressor"),
        "neurofm.data.sensors": ("Sensors",),
        "neurofm.data.recording": ("Events", "Recording"),
        "neurofm.data.contract": ("InputContract",),
        "neurofm.data.fmri_contract": ("FMRIContract",),
        "neurofm.data.t1_contract": ("T1Contract",),
        "neurofm.data.brains": ("Brains",),
        "neurofm.data.batch": ("Batch", "Tokens"),
        "neurofm.data.pair_batch": ("PairBatch",),
        "neurofm.data.corpus": ("Corpus",),
        "neurofm.data.tokens": ("TokenSet",),
        "neurofm.data.pairs": ("Pairs",),
        "neurofm.data.scans": ("Scans",),
        "neurofm.data.volume_windows": ("VolumeWindows",),
        "neurofm.results": ("Results",),
        "neurofm.tokenizers.brain_tokenizer": ("BrainTokenizer", "BrainTokenizerConfig"),
        "neurofm.tokenizers.ephys_tokenizer": ("EphysTokenizer", "EphysTokenizerConfig"),
        "neurofm.tokenizers.mu_law": ("MuLaw", "MuLawConfig"),
        "neurofm.tokenizers.quantile": ("Quantile", "QuantileConfig"),
        "neurofm.models.brainmae": ("BrainMAE", "BrainMAEConfig"),
        "neurofm.models.brainomni": ("BrainOmni", "BrainOmniConfig"),
        "neurofm.models.decoder": ("Decoder", "DecoderConfig"),
        "neurofm.models.fleeg": ("FLEEG", "FLEEGConfig"),
        "neurofm.models.labram": ("LaBraM", "LaBraMConfig"),
        "neurofm.models.meg_gpt": ("MEGGPT", "MEGGPTConfig"),
        "neurofm.models.neurobolt": ("NeuroBOLT", "NeuroBOLTConfig"),
        "neurofm.models.neurobolt_sequence": ("NeuroBOLTSequence", "NeuroBOLTSequenceConfig"),
        "neurofm.models.stacked": ("Stacked", "StackedConfig"),
        "neurofm.models.protocol": (
            "Backbone", "BackboneConfig", "GenerativeModel", "NeuroFMConfig", "NextTokenModel",
            "RegionModel", "ScanModel", "Tokenizer", "Trainable", "WindowDecoder"),
    }.items() for name in names
}


def __getattr__(name: str):
    if name not in _INDEX:
        raise AttributeError(f"module 'neurofm' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_INDEX[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(_INDEX)


def _stand_in(base: type, models, name: str):
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
