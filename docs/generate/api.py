"""The Python API: the names of `dir(neurofm)`, by what they are for."""

import neurofm

FILE = "reference/api/index.md"
GROUPS = {
    "Load, read, embed": ("load", "load_windows", "read", "standardize", "embed",
                            "Features"),
    "scikit-learn": ("NeuroFMAutoClassifier", "NeuroFMAutoRegressor", "NeuroFMClassifier",
                     "NeuroFMRegressor", "NeuroFMEmbedding"),
    "Recordings and contracts": ("Recording", "Events", "Sensors", "InputContract",
                                 "FMRIContract", "T1Contract"),
    "What lies on disk": ("Corpus", "TokenSet", "Pairs", "Scans", "VolumeWindows",
                          "Brains"),
    "What models read": ("Batch", "Tokens", "PairBatch"),
    "Tokenizers": ("BrainTokenizer", "EphysTokenizer", "MuLaw", "Quantile"),
    "Models": ("BrainOmni", "BrainMAE", "MEGGPT", "LaBraM", "NeuroBOLT", "NeuroBOLTSequence",
               "FLEEG", "Decoder"),
    "Bases for models of your own": ("Trainable", "Backbone", "Tokenizer", "WindowDecoder",
                                     "ScanModel", "NeuroFMConfig", "BackboneConfig"),
}


def groups() -> dict[str, list[str]]:
    """Title → names; configs stand after their model, what is in no group comes last."""
    names, found = set(dir(neurofm)), {}
    for title, wanted in GROUPS.items():
        found[title] = [one for name in wanted for one in (name, f"{name}Config")
                        if one in names]
        names -= set(found[title])
    return {title: list(dict.fromkeys(some)) for title, some in found.items()} | (
        {"Further": sorted(names)} if names else {})


def pages() -> dict[str, str]:
    """File → text."""
    lines = ["# Python API", "", _TOP]
    for title, names in groups().items():
        lines += [f"## {title}", "", "```{eval-rst}", ".. currentmodule:: neurofm", "",
                  ".. autosummary::", "   :toctree: generated", "   :nosignatures:", "",
                  *(f"   {name}" for name in names), "```", ""]
    return {FILE: "\n".join(lines)}


_TOP = """\
Names resolve on first use, so `import neurofm` takes milliseconds and loads no torch. Arrays and
tensors state their shape, such as `Float[Tensor, "batch channel time"]` (jaxtyping). Values are in
SI units unless the contract scales them.

All models and tokenizers are `transformers.PreTrainedModel`: `save_pretrained`, `from_pretrained`
and `AutoModel` work after `import neurofm`; `push_to_hub` names the command that publishes. Loading
is strict: a missing or unexpected weight is an error.
"""
