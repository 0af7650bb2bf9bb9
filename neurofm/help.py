"""The --help of a command: each key with its meaning, choices and default, without Python types."""

import ast
import re
import typing

from jsonargparse import SUPPRESS, DefaultHelpFormatter

_FACTS = re.compile(r"^(.*?) ?\((required)?(?:, )?(?:type: ([^()]*?))?(?:, default: (.*))?\)$",
                    re.DOTALL)
_KINDS = {"int": "integer", "float": "number", "list": "list", "tuple": "list",
          "dict": "pairs of name and value"}


class Help(DefaultHelpFormatter):
    """What jsonargparse writes, in the words of somebody who types a command."""

    def _expand_help(self, action) -> str:
        said = super()._expand_help(action)
        match = _FACTS.match(said)
        if match is None or not (match[2] or match[3]):
            return said
        facts = [match[2], _KINDS.get(re.split(r"[\[ ]", match[3] or "")[0]),
                 f"default: {shown}" if (shown := _shown(match[4])) else None]
        told = ", ".join(fact for fact in facts if fact)
        return f"{match[1]} ({told})" if told else match[1]

    def _format_action_invocation(self, action) -> str:
        plus = [name for name in action.option_strings if name.endswith("+")]
        kept, action.option_strings = action.option_strings, [
            name for name in action.option_strings if name not in plus]
        made = super()._format_action_invocation(action)
        action.option_strings = kept
        return made


def tidy(parser) -> None:
    """Reword what jsonargparse adds by itself, and write choices that hold commas one by one."""
    for action in parser._actions:
        if action.dest == "print_config":
            action.help = "Print all settings as YAML and exit"
        elif any(name.endswith(".help") for name in action.option_strings):
            action.help = SUPPRESS
        elif action.help == "Path to a configuration file.":
            action.help = "YAML file with the keys below"
        choices = typing.get_args(getattr(action, "_typehint", None))
        if any("," in choice for choice in choices if isinstance(choice, str)):
            action.metavar = action.dest.rpartition(".")[2].upper()
            action.help = f"{action.help}. One of: {'; '.join(choices)}"


def _shown(default: str | None) -> str:
    """A default as one would type it; "" where there is none."""
    if default is None or default in ("", "null"):
        return ""
    try:
        value = ast.literal_eval(default)
    except (ValueError, SyntaxError):
        return default
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return default if value not in ({}, None) else ""
