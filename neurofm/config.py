"""A run is a dataclass: defaults ← YAML (`--config`) ← command line.

jsonargparse does the parsing and the type checks. An unknown key, in the YAML or on the command
line, is an error that names the nearest valid one: an option that is silently ignored costs a week
of cluster time.
"""

import dataclasses
import difflib
import re
import sys
from pathlib import Path
from typing import TypeVar

Config = TypeVar("Config")


def parse(
    config: type[Config], argv: list[str], *, command: str, positional: str | None = None
) -> Config:
    """Build a `config` (a dataclass) from `argv`; prints the problem and exits 2 when it cannot.

    positional: name of a field that also takes the arguments without a `--name`.
    """
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog=f"neurofm {command}",
        description=(config.__doc__ or "").strip(),
        exit_on_error=False,
        allow_abbrev=False,  # `--subject` must not silently mean `--subjects`
    )
    parser.add_argument("--config", action="config", help="YAML file with any of the keys below")
    parser.add_class_arguments(config)
    words, rest = _split_positional(argv) if positional else ([], argv)
    if words:
        rest = [*rest, f"--{positional}={list(words)!r}"]
    try:
        parsed = parser.parse_args(rest)
        fields = parser.instantiate_classes(parsed).as_dict()
        fields.pop("config", None)
        return config(**fields)
    except Exception as error:  # every cause is the user's text: say it, do not trace it
        sys.stderr.write(f"neurofm {command}: {_explain(str(error), parser)}\n")
        raise SystemExit(2) from None


def resolved(config) -> dict:
    """The dataclass as plain values, for the manifest and `run.yaml` of what it makes."""
    return _plain(dataclasses.asdict(config))


def save(config, folder: str | Path) -> Path:
    """Write the resolved configuration to `folder/run.yaml`, ready for `--config`."""
    import yaml

    path = Path(folder) / "run.yaml"
    path.write_text(yaml.safe_dump(resolved(config), sort_keys=False))
    return path


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


def _explain(message: str, parser) -> str:
    """jsonargparse's message, with the nearest valid key when one was not known."""
    known = sorted({key for key in _keys(parser) if key not in ("help", "config")})
    quoted = re.findall(r"[Kk]ey[s]? [\"']([\w.]+)[\"'] is not expected", message)
    options = re.findall(r"[Uu]nrecognized arguments: --([\w.\-]+)", message)
    bare = re.findall(r"Option '([\w.]+)' is not accepted", message)
    inside = re.findall(r"Group '([\w.]+)' does not accept option '([\w.]+)'", message)
    unknown = quoted + options + bare + [".".join(pair) for pair in inside]
    if not unknown:
        return message
    lines = []
    for key in unknown:
        near = difflib.get_close_matches(key, known, n=1) or difflib.get_close_matches(
            key.rsplit(".", 1)[-1], [k.rsplit(".", 1)[-1] for k in known], n=1
        )
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        lines.append(f"unknown key {key!r}; {hint}")
    return "\n".join(lines)


def _keys(parser) -> list[str]:
    return [action.dest for action in parser._actions if action.dest]


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    return value
