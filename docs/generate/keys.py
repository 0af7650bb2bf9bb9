"""The keys of a config class as a definition list: name, type, default, meaning.

What is shown is what the command line takes: jsonargparse builds the parser from the same class.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from neurofm import config


@dataclass(frozen=True)
class Key:
    """One key of a config.

    Attributes
    ----------
    name
        With the classes it stands in: "train.lr".
    kind
        Its type, to be read by people.
    default
        As YAML would have it; None where the key is required.
    meaning
        From the docstring of its class.
    """

    name: str
    kind: str
    default: str | None
    meaning: str


def keys(cls: type, above: str = "") -> Iterator[Key]:
    """All keys of a dataclass; those of dataclasses inside it follow their own name and a dot."""
    meanings, kinds = config.meanings_of(cls)[1], typing.get_type_hints(cls)
    later = []
    for field in dataclasses.fields(cls):
        kind, name = kinds[field.name], above + field.name
        meaning = meanings.get(field.name, "")
        inside = next((one for one in (kind, *typing.get_args(kind))
                       if dataclasses.is_dataclass(one)), None)
        if inside is kind:
            later.append((name, kind))
            continue
        yield Key(name, in_words(kind), _default(field), meaning)
        if inside:
            later.append((name, inside))
    for name, kind in later:
        yield from keys(kind, f"{name}.")


def sections(cls: type) -> dict[str, list[Key]]:
    """Keys by the class that they stand in: "" first, then "train", …"""
    found: dict[str, list[Key]] = {}
    for key in keys(cls):
        found.setdefault(key.name.rpartition(".")[0], []).append(key)
    return found


def listed(found: list[Key]) -> str:
    """Markdown of keys, as a definition list."""
    lines = []
    for key in found:
        default = "required" if key.default is None else f"default `{key.default}`"
        lines += [f"`--{key.name}` · {escaped(key.kind)} · {default}",
                  f": {sentence(key.meaning)}", ""]
    return "\n".join(lines)


def in_words(kind: Any) -> str:
    """A type as a person reads it: "text", "number", "a | b", "list of text"."""
    if kind is type(None):
        return "null"
    plain = {str: "text", int: "integer", float: "number", bool: "true | false", Any: "anything"}
    if kind in plain:
        return plain[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " | ".join(map(str, inner))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(map(in_words, inner)))
    if kind is dict:
        return "keys and values"
    if origin in (list, tuple, Sequence):
        if origin is tuple and Ellipsis not in inner:
            return f"list of {len(inner)}: {', '.join(dict.fromkeys(map(in_words, inner)))}"
        return f"list of {in_words(inner[0])}"
    if origin is dict:
        return f"{in_words(inner[0])} → {in_words(inner[1])}"
    if dataclasses.is_dataclass(kind):
        return "keys below"
    return getattr(kind, "__name__", str(kind))


def _default(field: dataclasses.Field) -> str | None:
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return None
    return as_yaml(value)


def as_yaml(value: Any) -> str:
    """A default as a YAML file would have it."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_yaml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {as_yaml(one)}" for name, one in value.items()) + "}"
    return '""' if value == "" else str(value)


def sentence(text: str) -> str:
    """A meaning with a capital and a full stop, as Markdown."""
    text = escaped(text)
    return f"{text[:1].upper()}{text[1:]}." if text else "."


def escaped(text: str) -> str:
    """Docstring text as Markdown: what HTML or MyST would read as markup is plain."""
    parts = re.split(r"(`[^`]*`)", text)
    for place, part in enumerate(parts):
        if not part.startswith("`"):
            parts[place] = re.sub(r"([<>*_{}\[\]$|])", r"\\\1", part)
    return "".join(parts)
