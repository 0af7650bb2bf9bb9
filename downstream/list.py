"""List models, tokenizers, tasks, baselines, methods, steps, readers, questions or commands.

    neurofm list                what can be listed, and how many there are of each
    neurofm list baselines      a line each
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from neurofm import cli, models, plugins
from neurofm.limits import limited
from neurofm.preprocessing import readers, steps
from neurofm.run import OK, Command, Job

from . import baselines, tasks
from .benchmarks.decoding import methods

_SOURCE = re.compile(r" \([^()]*(\b(19|20)\d\d\b|arXiv)[^()]*\)")


@dataclass
@limited
class ListConfig:
    """List what there is, a line each; what installed packages add is among it.

    Parameters
    ----------
    what
        What is listed; without it, how many there are of each kind.
    """

    what: Literal["", "models", "tokenizers", "tasks", "baselines", "methods", "steps", "readers",
                  "questions", "commands"] = ""


def list_names(run: ListConfig, job: Job) -> int:
    if run.what:
        rows = LISTS[run.what]()
        width = max(map(len, rows))
        job.say("\n".join(f"{name:<{width}}  {line}".rstrip() for name, line in rows.items()))
    else:
        job.say("\n".join(f"neurofm list {kind:<12}{len(rows()):>4}"
                          for kind, rows in LISTS.items()))
    return OK


COMMAND = Command("list", ListConfig, list_names, positional="what")


def main(argv: list[str] | None = None) -> int:
    return COMMAND(argv)


def first_line(module: str, name: str = "") -> str:
    """First sentence of the docstring of a class, or of its module, read without importing the
    module, which could take seconds.

    Parameters
    ----------
    module
        Full name, "neurofm.models.brainomni".
    name
        A class of it, "" = none.
    """
    package, _, last = module.rpartition(".")
    spec = find_spec(module) if not package else None
    folder = Path(str(import_module(package).__file__)).parent if package else None
    path = folder / f"{last}.py" if folder else Path(str(spec.origin)) if spec else None
    if path is None or not path.exists():
        return ""
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name and ast.get_docstring(node):
            return _opening(ast.get_docstring(node))
    return _opening(ast.get_docstring(tree))


def _opening(docstring: str | None) -> str:
    """The first sentence, on one line, without sources in brackets and with a full stop."""
    paragraph = inspect.cleandoc(docstring or "").partition("\n\n")[0].replace("\n", " ")
    sentence = re.sub(_SOURCE, "", paragraph).partition(". ")[0]
    return (sentence.rstrip(".:") + ".") if sentence else ""


def _of_plugins(group: str) -> dict[str, str]:
    """Name → line, of what installed packages add to a group."""
    return {name: f"{first_line(point.module, point.attr)} ({point.dist.name})"
            if point.dist else first_line(point.module, point.attr)
            for name, point in plugins.points(group).items()}


def _of_models(tokenizers: bool) -> dict[str, str]:
    """Of what can be pretrained; one of another package is a tokenizer by its class."""
    from neurofm.tokenizers.tokenizer import Tokenizer

    ours = {name: first_line(module) for name, (module, _) in models.INDEX.items()
            if module.startswith("neurofm.tokenizers.") == tokenizers}
    return ours | {name: line for name, line in _of_plugins(models.GROUP).items()
                   if issubclass(plugins.load(models.GROUP, name), Tokenizer) == tokenizers}


def _modules(package: str, names: Iterable[str], group: str) -> dict[str, str]:
    return {name: first_line(f"{package}.{name}") for name in names} | _of_plugins(group)


def _of_baselines() -> dict[str, str]:
    return {name: first_line(f"{baselines.__name__}.{module}", cls)
            for name, (module, cls) in baselines.NAMES.items()} | _of_plugins(baselines.GROUP)


def _of_methods() -> dict[str, str]:
    """All of them; those which can be re-centered have a row for all."""
    networks = {name: network.about for name, network in methods.NETWORKS.items()}
    more = {f"NAME{methods.RECENTERED}": "The same with each subject's windows re-centered, "
                                         "without labels.",
            "NAME@MODEL": "The same with another pretrained model (--models.MODEL=FOLDER)."}
    return networks | methods.AUTOMATIC | _of_baselines() | more


def _of_questions() -> dict[str, str]:
    return {name: cli.first_line(point)
            for name, point in plugins.points("neurofm.benchmarks").items()}


def _of_commands() -> dict[str, str]:
    known = plugins.points("neurofm.commands")
    grouped = [name for names in cli.GROUPS.values() for name in names if name in known]
    return {name: cli.first_line(known[name]) for name in dict.fromkeys([*grouped, *known])}


LISTS = {
    "models": lambda: _of_models(tokenizers=False),
    "tokenizers": lambda: _of_models(tokenizers=True),
    "tasks": lambda: _modules(tasks.__name__, tasks.INDEX, tasks.GROUP),
    "baselines": _of_baselines,
    "methods": _of_methods,
    "steps": lambda: _modules(steps.__name__, [step.name for step in steps.ORDER], steps.GROUP),
    "readers": lambda: _modules(readers.__name__, readers.OWN, readers.GROUP),
    "questions": _of_questions,
    "commands": _of_commands,
}


if __name__ == "__main__":
    sys.exit(main())
