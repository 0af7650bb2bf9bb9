"""Settings as they are written: where a setting is text, 1, 01 and yes are text too.

YAML reads `mapping: {1: left}` as a number and `test: [01, 20]` as 1 and 20. Here the types of the
config decide, so names of events, subjects and channels keep their spelling.
"""

import dataclasses
import types
import typing
from typing import Any

_NUMBERS = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "timestamp")}
_TEXT = "tag:yaml.org,2002:str"


def in_file(content: str, config: type) -> str:
    """A YAML text with quotation marks where `config` wants text; as it is where none lack."""
    return _quoted(content, config)


def in_words(argv: list[str], config: type) -> list[str]:
    """The same for lists and dicts on the command line: --splits.test '[01, 20]'."""
    done, name = [], ""
    for word in argv:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            done.append(f"{name}={_of_field(value, name, config)}" if equals else word)
        else:
            done.append(_of_field(word, name, config))
    return done


def _of_field(value: str, name: str, config: type) -> str:
    kind: Any = config
    for part in name[2:].rstrip("+").split("."):
        hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        kind = hints.get(part)
    return _quoted(value, kind) if kind and value[:1] in ("[", "{") else value


def _quoted(content: str, kind: Any) -> str:
    import yaml

    try:
        node = yaml.compose(content, yaml.SafeLoader)
        if node is None or not _mark(node, kind):
            return content
    except yaml.YAMLError:
        return content  # whoever reads it next says what is wrong
    return yaml.serialize(node, Dumper=yaml.SafeDumper, width=10**9, allow_unicode=True).strip()


def _mark(node, kind: Any) -> int:
    """Make text of the numbers in `node` that stand where `kind` wants text; how many."""
    import yaml

    kinds = _choices(kind)
    if isinstance(node, yaml.ScalarNode):
        # Loaders differ in what is a number (1e3), so anything that begins like one is marked.
        plain = node.style is None and (node.tag in _NUMBERS or node.value[:1] in "+-.0123456789")
        if str in kinds and plain and node.value and not kinds & {int, float, bool}:
            node.tag, node.style = _TEXT, "'"
            return 1
        return 0
    if isinstance(node, yaml.SequenceNode):
        inside = [args for each in kinds if typing.get_origin(each) in (list, tuple)
                  and (args := typing.get_args(each))]
        return sum(_mark(entry, args[min(at, len(args) - 1)] if args[-1] is not ... else args[0])
                   for args in inside for at, entry in enumerate(node.value))
    n = 0
    for each in kinds:
        hints = typing.get_type_hints(each) if dataclasses.is_dataclass(each) else {}
        of_dict = typing.get_args(each) if typing.get_origin(each) is dict else ()
        for key, value in node.value:
            if of_dict:
                n += _mark(key, of_dict[0]) + _mark(value, of_dict[1])
            elif key.value in hints:
                n += _mark(value, hints[key.value])
    return n


def _choices(kind: Any) -> set:
    """The types of a union; a type that is none is its own only choice."""
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return set(typing.get_args(kind)) if is_union else {kind}
