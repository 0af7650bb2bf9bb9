"""Weights that others published: one file a family turns their names into ours, strictly.

A family's file has `ORIGIN`, and `read(config_file, weights_file)`, which gives a tokenizer or
model of ours with its input contract (and with names of tensors `left_out`, if any). Folders and
the Hub are `published.files`'s work.
"""

from importlib import import_module
from pathlib import Path

from .origin import Origin

__all__ = ["INDEX", "Origin", "find", "load"]

# Name in `neurofm import --family` → module. A new family adds its line here.
INDEX = {
    "brainomni": "neurofm.published.brainomni",
    "meg_gpt": "neurofm.published.meg_gpt",
    "labram": "neurofm.published.labram",
    "neurobolt": "neurofm.published.neurobolt",
}


def find(family: str):
    """The module of a family of published weights."""
    if family not in INDEX:
        raise ValueError(f"family {family!r} is not among those whose weights can be read: "
                         f"{', '.join(sorted(INDEX))}")
    return import_module(INDEX[family])


def load(
    family: str, path: str | Path = "", variant: str | None = None, revision: str | None = None
):
    """A published tokenizer or model of a family, in evaluation mode, with its input contract.

    path, variant, revision: see `files.locate`; "" = the family's own repository. Raises ValueError
    for a folder or file that is not there, and names or shapes that do not fit the config.
    """
    from . import files

    module, origin = find(family), find(family).ORIGIN
    return module.read(*files.locate(path or origin.repo, origin.variants, variant, revision,
                                     bare=origin.bare))
