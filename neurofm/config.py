"""A run is a dataclass: defaults ← YAML (`--config`) ← command line.

jsonargparse does the parsing and the type checks. An unknown key, in the YAML or on the command
line, is an error that names the nearest valid one: an option that is silently ignored costs a week
of cluster time.
"""

import dataclasses
import difflib
import inspect
import itertools
import json
import re
import sys
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from . import integrity, written, yaml_file
from .terminal import printable

Config = TypeVar("Config")
_VERIFY = ("How files that are read are compared with the hashes in their manifests: off = sizes "
           "alone, lazy = shards when they are first read and all else at once, full = every byte "
           "is read again at once")
_PARAMETERS = "Parameters\n----------\n"
_TYPES = {"<class 'int'>": "a whole number", "<class 'float'>": "a number",
          "<class 'bool'>": "true or false", "<class 'str'>": "a text",
          "<class 'dict'>": "names with values, {name: value}", "<class 'list'>": "a list"}


def parse(
    config: type[Config], argv: list[str], *, command: str,
    positional: str | tuple[str, ...] = (), verify: bool = True,
) -> Config:
    """Build a `config` (a dataclass) from `argv`; prints the problem and exits 2 when it cannot.

    verify: whether there is `--verify`, which is of no config: it is chosen for this process, until
        `integrity.scope` ends.
    positional: name of a field that also takes the arguments without a `--name`; of several fields
        each takes one, a list takes the rest.
    """
    from jsonargparse import ArgumentParser

    from .help import Help, tidy

    parser = ArgumentParser(
        prog=f"neurofm {command}",
        exit_on_error=False,
        allow_abbrev=False,  # `--subject` must not silently mean `--subjects`
        formatter_class=Help,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of the keys below")
    if verify:
        parser.add_argument("--verify", type=integrity.Level, default=integrity.level(),
                            help=_VERIFY)
    parser.add_class_arguments(config)
    _explain_keys(parser, config)
    tidy(parser)
    names = (positional,) if isinstance(positional, str) else positional
    try:
        argv = _gathered(config, argv)
        rest = _with_positional(config, argv, names) if names else argv
        for path in _yaml_files(rest):
            _check_yaml(path, parser)
        parsed = parser.parse_args(_as_written(rest, config))
        _refuse_empty(parsed, config)
        fields = parser.instantiate_classes(parsed).as_dict()
        fields.pop("config", None)
        if verify:
            integrity.choose(fields.pop("verify"))
        return config(**fields)
    except Exception as error:  # every cause is the user's text: say it, do not trace it
        said = printable(_explain(str(error), parser))
        sys.stderr.write(f"neurofm {command}: {said}\n")
        raise SystemExit(2) from None


def resolved(config) -> dict:
    """The dataclass as plain values, for the manifest and `run.yaml` of what it makes."""
    return _plain(dataclasses.asdict(config))


def defaults(config: type) -> dict:
    """Plain values of the fields of a dataclass that have a default."""
    found = {}
    for field in dataclasses.fields(config):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
    return _plain({name: value if isinstance(value, type) or not dataclasses.is_dataclass(value)
                   else dataclasses.asdict(value) for name, value in found.items()})


def without_verify(words: Iterable[str]) -> list[str]:
    """A command line without `--verify`: it decides nothing of what is made."""
    kept, skip = [], False
    for word in words:
        if not skip and word != "--verify" and not word.startswith("--verify="):
            kept.append(word)
        skip = word == "--verify"
    return kept


def save(config, folder: str | Path) -> Path:
    """Write the resolved configuration to `folder/run.yaml`, ready for `--config`."""
    import yaml

    path = Path(folder) / "run.yaml"
    path.write_text(yaml.safe_dump(resolved(config), sort_keys=False))
    return path


def _with_positional(config: type, argv: list[str], names: tuple[str, ...]) -> list[str]:
    """The arguments, all with a `--name`."""
    words, rest = _split_positional(argv)
    kinds = typing.get_type_hints(config)
    for name in names:
        if typing.get_origin(kinds[name]) is list and words:
            rest, words = [*rest, f"--{name}={json.dumps(words)}"], []
        elif words:
            rest.append(f"--{name}={words.pop(0)}")
    if words:
        wanted = " ".join(name.upper() for name in names)
        raise ValueError(f"{words[0]!r}: wanted only {wanted} without a --name")
    return rest


def _gathered(config: type, argv: list[str]) -> list[str]:
    """The arguments, with the words of an option that takes one or several (--data a b) as a list
    of JSON."""
    several = {f"--{name}" for name, kind in typing.get_type_hints(config).items()
               if {*typing.get_args(kind)} == {list[str], str}}
    found, words = [], [*argv]
    while words:
        found.append(words.pop(0))
        if found[-1] in several:
            values = [*itertools.takewhile(lambda word: not word.startswith("-"), words)]
            words = words[len(values):]
            found += [json.dumps(values)] if len(values) > 1 else values
    return found


def _split_positional(argv: list[str]) -> tuple[list[str], list[str]]:
    """Leading and free words, and the options with their values."""
    words, rest, takes_value = [], [], False
    for word in argv:
        if word.startswith("-"):
            rest.append(word)
            takes_value = "=" not in word and word not in ("-h", "--help")
        elif takes_value:
            rest.append(word)
            takes_value = False
        else:
            words.append(word)
    return words, rest


def _yaml_files(argv: list[str]) -> list[Path]:
    """The files of --config; one that is missing is left to jsonargparse to tell."""
    given = [word.partition("=")[2] for word in argv if word.startswith("--config=")]
    given += [value for word, value in itertools.pairwise(argv) if word == "--config"]
    return [path for path in map(Path, given) if path.is_file()]


def _as_written(argv: list[str], config: type) -> list[str]:
    """The arguments with text where the config wants text; a YAML file that needed it is given as
    its content."""
    words = written.in_words(argv, config)
    for path in _yaml_files(argv):
        before = path.read_text()
        after = written.in_file(before, config)
        if after != before:
            words = [after if word == str(path) and words[at - 1] == "--config" else
                     f"--config={after}" if word == f"--config={path}" else word
                     for at, word in enumerate(words)]
    return words


def _check_yaml(path: Path, parser) -> None:
    """What jsonargparse lets pass: an unknown key with nothing under it, a key written twice (the
    first would be ignored), a file that holds no keys."""
    import yaml

    yaml_file.check(path)

    class Loader(yaml.SafeLoader):
        """Refuses a key that is written twice."""

    def mapping(loader, node):
        names = [str(key.value) for key, _ in node.value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{path}: {twice[0]!r} is written twice{node.start_mark}: leave one")
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        content = yaml.load(path.read_text(), Loader)
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: wanted keys and values such as 'out: runs/one', found "
                         f"{'nothing' if content is None else type(content).__name__}")
    if unknown := _unknown(content, _keys(parser), ""):
        raise ValueError(f"{path}: {_name_nearest(unknown, parser)}")


def _unknown(content: dict, known: set[str], above: str) -> list[str]:
    """Keys of a YAML file that no field takes; what lies in a field that is a dict is its own."""
    found = []
    for name, value in content.items():
        key = f"{above}{name}"
        if any(other.startswith(f"{key}.") for other in known):
            found += _unknown(value, known, f"{key}.") if isinstance(value, dict) else []
        elif key not in known:
            found.append(key)
    return found


def _refuse_empty(parsed, config: type, above: str = "") -> None:
    """A key with nothing after it becomes None, which jsonargparse lets pass whatever the type."""
    for name, kind in typing.get_type_hints(config).items():
        key, inside = f"{above}{name}", dataclasses.is_dataclass(kind)
        if parsed.get(key) is None and kind is not Any and type(None) not in typing.get_args(kind):
            hint = "indent its keys below it" if inside else "give it one"
            raise ValueError(f"key {key!r} has no value: {hint}, or leave it out")
        if inside:
            _refuse_empty(parsed, kind, f"{key}.")


def _explain_keys(parser, config: type) -> None:
    """Give the command its description, and each of its keys its meaning, from the docstrings."""
    whole, meanings = meanings_of(config)
    parser.description = whole or (inspect.getmodule(config).__doc__ or "").partition("\n")[0]
    for action in parser._actions:
        if action.dest in meanings:
            action.help = meanings[action.dest]
    titles = {group: f"keys of {name}" for name, group in parser.groups.items()}
    titles[parser.groups[config.__name__]] = "keys"
    for group, title in titles.items():
        group.title = title


def meanings_of(config: type) -> tuple[str, dict[str, str]]:
    """What a dataclass's docstring (numpydoc) says of it as a whole, and of each field, those of
    dataclasses inside too: {"train.lr": …}. A field may name its choices, as
    field(metadata={"choices": function})."""
    whole, meanings = parameters_of(config.__doc__)
    for name, kind in typing.get_type_hints(config).items():
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            inside = meanings_of(kind)[1]
            meanings |= {f"{name}.{key}": meaning for key, meaning in inside.items()}
    for each in dataclasses.fields(config):
        if choices := each.metadata.get("choices"):
            meanings[each.name] = f"{meanings.get(each.name, '')}: {', '.join(choices())}"
    return whole, meanings


def parameters_of(docstring: str | None) -> tuple[str, dict[str, str]]:
    """Text before "Parameters" of a numpydoc docstring, and what each parameter means."""
    whole, _, section = inspect.cleandoc(docstring or "").partition(_PARAMETERS)
    return " ".join(whole.split()), {
        name: " ".join(match[2].split()).rstrip(".")
        for match in re.finditer(r"^(\w[\w, ]*)\n((?:[ ]+.*\n|\n)+)", section + "\n", re.MULTILINE)
        for name in match[1].split(", ")
    }


def _explain(message: str, parser) -> str:
    """jsonargparse's message, with the nearest valid key when one was not known."""
    quoted = re.findall(r"[Kk]ey[s]? [\"']([\w.]+)[\"'] is not expected", message)
    options = re.findall(r"[Uu]nrecognized arguments: --([\w.\-]+)", message)
    bare = re.findall(r"Option '([\w.]+)' is not accepted", message)
    inside = re.findall(r"Group '([\w.]+)' does not accept option '([\w.]+)'", message)
    unknown = quoted + options + bare + [".".join(pair) for pair in inside]
    if alone := re.findall(r"[Uu]nrecognized arguments: ([^-\s]\S*)", message):
        return (f"{alone[0]!r} stands alone: a file of settings is given by --config FILE, any "
                f"other value by --KEY VALUE")
    if missing := re.search(r"following arguments are required: ([\w., ]+)", message):
        return _name_missing(missing[1].split(", "), parser)
    return _name_nearest(unknown, parser) if unknown else _name_value(message)


def _name_missing(names: list[str], parser) -> str:
    """What to give, in the words of the help."""
    told = {action.dest: action.help for action in parser._actions}
    return "\n".join(f"--{name} is missing: {' '.join(told.get(name, '').split())}"
                     for name in names)


def _name_value(message: str) -> str:
    """A value of another type: what was wanted in words, and the nearest choice."""
    found = re.search(r"[Kk]ey \"([\w.]+)\":\s+Expected a (.+?)\. Got value: (.*)", message,
                      re.DOTALL)
    if not found:
        return _name_union(message)
    key, wanted, came = found[1], found[2], found[3].strip()
    choices = re.findall(r"'([^']*)'", wanted) if "Literal" in wanted else []
    if not choices:
        if (came[:1] in "[{" or "list" in wanted) and (fault := _fault_of_yaml(came)):
            return f"{key}: not valid YAML: {fault}"
        return f"{key}: wanted {_TYPES.get(wanted, wanted)}, got {came}"
    near = difflib.get_close_matches(came, choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{key}: wanted one of {', '.join(filter(None, choices))}, got {came!r}{hint}"


def _fault_of_yaml(text: str) -> str:
    """Why a value is not what its writer meant, in one line; "" where it is YAML."""
    import yaml

    try:
        yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        quotes = ("; in double quotes a backslash begins an escape: put the text in single quotes"
                  if "escape" in problem else "")
        return f"{problem} in {text}{quotes}"
    return ""


def _name_union(message: str) -> str:
    """A value that may be of one of several types, and is of none."""
    found = re.search(r"[Kk]ey \"([\w.]+)\":\s+Does not validate against any of the Union subtypes"
                      r"\s+Subtypes: \[(.*?)\]\n.*Given value: (.*)", message, re.DOTALL)
    if not found:
        return message
    kinds = [_TYPES.get(kind, kind).replace("<class 'NoneType'>", "null")
             for kind in found[2].split(", ")]
    return f"{found[1]}: wanted {' or '.join(kinds)}, got {found[3].strip()}"


def _name_nearest(unknown: list[str], parser) -> str:
    known = sorted(_keys(parser) | {"config"})
    lines = []
    for key in unknown:
        near = difflib.get_close_matches(key, known, n=1) or difflib.get_close_matches(
            key.rsplit(".", 1)[-1], [k.rsplit(".", 1)[-1] for k in known], n=1
        )
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        lines.append(f"unknown key {key!r}; {hint}")
    return "\n".join(lines)


def _keys(parser) -> set[str]:
    other = {"help", "config", "print_config", "print_shtab"}  # actions, not fields
    return {action.dest for action in parser._actions} - other


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    return value
