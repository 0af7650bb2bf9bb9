"""Settings of every tokenizer and model (`--architecture` of `neurofm pretrain`)."""

import inspect

from neurofm import models
from neurofm.config import parameters_of

from . import keys

FILE = "reference/architectures.md"


def settings(name: str) -> list[keys.Key]:
    """Keys of a model's config with their defaults; meanings are those of its docstring."""
    config = models.find(name).config_class
    meanings = parameters_of(config.__doc__)[1]
    found = []
    for parameter in inspect.signature(config.__init__).parameters.values():
        if parameter.name in ("self", "of_transformers", "args", "kwargs"):
            continue
        kind = parameter.annotation
        found.append(keys.Key(
            parameter.name, str(kind) if isinstance(kind, str) else keys.in_words(kind),
            None if parameter.default is parameter.empty else keys.as_yaml(parameter.default),
            meanings.get(parameter.name, "")))
    return found


def pages() -> dict[str, str]:
    """File → text."""
    lines = ["# Architecture settings", "", _TOP, ""]
    for name in models.INDEX:
        model = models.find(name)
        first = (inspect.getdoc(model) or "").partition("\n")[0]
        lines += [f"## {name}", "",
                  f"{{py:class}}`neurofm.{model.__name__}`. {keys.escaped(first)}", ""]
        found = settings(name)
        lines += [keys.listed(found).replace("`--", "`") if found else "It has none.", ""]
    return {FILE: "\n".join(lines)}


_TOP = """\
What `--architecture` of `neurofm pretrain` takes for each tokenizer and model, such as
`--architecture.dim 512` or, in YAML, `architecture: {dim: 512}`. Settings that are not given keep
their defaults. An unknown setting is an error. They are saved in `config.json` of the checkpoint.
"""
