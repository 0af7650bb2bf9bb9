"""The extras of `pip install neurofm[…]`, from pyproject.toml and the comments there."""

import re
import tomllib
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent.parent / "pyproject.toml"
FOR_DEVELOPERS = ("docs", "dev")


def rows() -> list[tuple[str, str, str]]:
    """(extra, what for, packages), those for users."""
    text = FILE.read_text()
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    notes = dict(re.findall(r"^(\w+) = \[.*\] # (.*)$", text, re.MULTILINE))
    found = []
    for name, wanted in extras.items():
        if name not in FOR_DEVELOPERS:
            packages = [re.split(r"[\[<>=~]", one)[0] for one in wanted]
            found.append((name, notes.get(name, "all of these"),
                          "" if packages == ["neurofm"] else ", ".join(packages)))
    return found


def pages() -> dict[str, str]:
    """File → text; included by the guide to the installation."""
    lines = ["| extra | for | packages |", "|---|---|---|"]
    lines += [f"| `{name}` | {purpose} | {packages} |" for name, purpose, packages in rows()]
    return {"guides/_extras.md": "\n".join([*lines, ""])}
