"""Every command written in README, guides and heads of configurations has options that exist."""

import re
import shlex
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from neurofm import config
from neurofm.run import Command

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([ROOT / "README.md", *ROOT.glob("configs/**/*.yaml"), *ROOT.glob("configs/**/*.md"),
                *(path for path in ROOT.glob("docker/**/*") if path.is_file()),
                *(path for path in ROOT.glob("docs/**/*.md")
                  if not {"_build", "auto_examples"} & set(path.parts))])


def written(path: Path) -> list[str]:
    """Commands of a file, lines that end in a backslash joined."""
    text = re.sub(r"\\\n#?\s*", "", path.read_text())
    return re.findall(r"(?<![\w/.-])neurofm [a-z][^\n`|;]*", text)


@cache
def keys(command: str) -> set[str]:
    """Options of a command, those of dataclasses inside it with a dot."""
    from jsonargparse import ArgumentParser

    question = command.removeprefix("evaluate ") if command.startswith("evaluate ") else ""
    name = question or command
    points = entry_points(group="neurofm.benchmarks" if question else "neurofm.commands")
    module = import_module(points[name].module)
    wanted = next((one.config for one in vars(module).values() if isinstance(one, Command)), None)
    wanted = wanted or module.DemoConfig  # the one that is no Command
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(wanted)
    return config._keys(parser) | {"config", "help"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_exist(path):
    commands = {point.name for point in entry_points(group="neurofm.commands")}
    wrong = []
    for line in written(path):
        quoted = line.count("'") % 2 == line.count('"') % 2 == 0
        words = shlex.split(line.replace("…", " "), comments=True) if quoted else line.split()
        if len(words) < 3 or words[1] not in commands:
            continue
        command = " ".join(words[1:3]) if " ".join(words[1:3]) in commands else words[1]
        if command == "evaluate":
            if words[2].startswith("-"):
                wrong.append(f"no question: {line}")
                continue
            command += f" {words[2]}"
        for word in words:
            if re.match(r"--[a-z]", word):
                key = word[2:].partition("=")[0].replace("-", "_")
                known = keys(command)
                if key not in known and not any(key.startswith(f"{one}.") for one in known):
                    wrong.append(f"{word}: {line}")
    assert not wrong, "\n".join(wrong)
