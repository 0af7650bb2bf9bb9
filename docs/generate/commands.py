"""A page a command of `neurofm`: its usage, what it makes, every key with type and default."""

import dataclasses
import inspect
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from neurofm import cli
from neurofm.config import meanings_of
from neurofm.run import Command

from . import keys

FOLDER = "reference/commands"
EVALUATE = "evaluate"


@dataclass(frozen=True)
class Described:
    """What a page says of a command.

    Attributes
    ----------
    module
        Docstring of its file.
    config
        Dataclass of its keys; None where it has none.
    makes
        Kind of the artifact; "" = none.
    positional
        Keys that take the words without a `--name`.
    """

    module: str
    config: type | None
    makes: str = ""
    positional: tuple[str, ...] = ()


@cache
def all_commands() -> dict[str, Described]:
    """Name as typed → command; those of `evaluate` by question, in the order of the help."""
    points = _ours("neurofm.commands")
    asked = {f"{EVALUATE} {name}": point
             for name, point in sorted(_ours("neurofm.benchmarks").items())}
    ordered = [name for names in cli.GROUPS.values() for name in names]
    found: dict[str, Described] = {}
    for name in [*ordered, *sorted(set(points) - set(ordered))]:
        wanted = asked if name == EVALUATE else {name: points[name]} if name in points else {}
        found |= {one: _described(point) for one, point in wanted.items()}
    return found


def _ours(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)
            if point.module.startswith("neurofm.")}


def _described(point: EntryPoint) -> Described:
    module = import_module(point.module)
    doc = inspect.getdoc(module) or ""
    for one in vars(module).values():
        if isinstance(one, Command):
            names = (one.positional,) if isinstance(one.positional, str) else one.positional
            return Described(doc, one.config, one.makes, tuple(filter(None, names)))
    own = (one for one in vars(module).values() if dataclasses.is_dataclass(one)
           and isinstance(one, type) and one.__module__ == module.__name__
           and one.__name__.endswith("Config"))
    return Described(doc, next(own, None))


def pages() -> dict[str, str]:
    """File → text."""
    found = {f"{FOLDER}/{_file(name)}.md": page(name, command)
             for name, command in all_commands().items()}
    return found | {f"{FOLDER}/index.md": index()}


def _file(name: str) -> str:
    return name.replace(" ", "-")


def page(name: str, command: Described) -> str:
    """Of one command."""
    lines = [f"# neurofm {name}", "", _markdown(command.module), ""]
    if command.makes:
        lines += [f"Makes: **{command.makes}** ([artifact format](../artifacts.md)).", ""]
    if command.positional:
        named = ", ".join(f"`{one}`" for one in command.positional)
        lines += [f"Words without a `--name` fill {named}.", ""]
    if command.config is None:
        return "\n".join(lines)
    about = meanings_of(command.config)[0]
    for above, found in keys.sections(command.config).items():
        lines += [f"## {f'Keys of `{above}`' if above else 'Keys'}", ""]
        if not above and about:
            lines += [keys.escaped(about), ""]
        lines += [keys.listed(found), ""]
    return "\n".join(lines)


def index() -> str:
    """All commands by what they are for, as `neurofm --help` groups them."""
    points = _ours("neurofm.commands") | {
        f"{EVALUATE} {name}": point for name, point in _ours("neurofm.benchmarks").items()}
    known, lines, files = all_commands(), list(_TOP), []
    groups = dict(cli.GROUPS)
    groups["Judge"] = tuple(name for name in known if name.startswith(f"{EVALUATE} "))
    rest = tuple(name for name in known if not any(name in names for names in groups.values()))
    for title, names in (groups | ({"Other": rest} if rest else {})).items():
        lines += [f"## {title}", ""]
        for name in names:
            if name in known:
                lines += [f"[`neurofm {name}`]({_file(name)}.md)",
                          f": {cli.first_line(points[name])}", ""]
                files.append(_file(name))
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", *files, "```", ""])


_TOP = ("# Commands", "", """\
Every command takes its keys from defaults, then from YAML files (`--config FILE`), then from the
command line (`--key value`); later ones win. A key inside another has a dot: `--train.lr 1e-3`. An
unknown key is an error that names the nearest valid one. `neurofm COMMAND --help` prints the same
keys as these pages. `--print_config` prints the configuration that would be used.

Exit status
: 0 done; 1 an error that says what to do; 2 the command line is wrong; 3 done except for the
  recordings that are listed as failed; 85 stopped as asked, the same command continues; 130
  interrupted, the same command continues.
""")


def _markdown(docstring: str) -> str:
    """A module's docstring: indented blocks are commands, all else is text."""
    blocks = re.split(r"\n\s*\n", docstring)
    shown = []
    for block in blocks:
        if block.startswith("    "):
            language = "text" if "…" in block else "bash"  # not valid shell
            shown.append(f"```{language}\n{inspect.cleandoc(block)}\n```")
        else:
            shown.append(keys.escaped(block))
    return "\n\n".join(shown)
