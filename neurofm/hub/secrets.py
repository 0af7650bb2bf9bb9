"""What must not be published: tokens, paths of this machine, names of its user and host."""

import getpass
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

_TEXT = (".json", ".md", ".yaml", ".yml", ".txt", ".tsv", ".csv", ".jsonl")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}|\b(?:ghp|gho|glpat|sk)[-_][A-Za-z0-9]{16,}"
                    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----")
_PATH = re.compile(r"(?<![\w:/.])(?:/(?:home|root|Users|mnt|data|work|scratch|srv|var|tmp|opt|"
                   r"media)/[^\s\"',;)]+|[A-Za-z]:\\[^\s\"',;)]+|~/[^\s\"',;)]+)")
_DULL = {"root", "user", "ubuntu", "admin", "localhost"}  # say nothing of anybody


@dataclass(frozen=True)
class Secret:
    """file, line: where; what: kind of thing, never the thing itself where it is a token."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.what}"


def found_in(folder: Path) -> list[Secret]:
    """Everything in the text files and tables of a folder that nobody else should see."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            for number, line in enumerate(_lines(path), 1):
                found += [Secret(str(path.relative_to(folder)), number, what)
                          for what in _in(line)]
    return found


def _lines(path: Path) -> list[str]:
    """Of a text; of a table one a row; none of what holds no text."""
    if path.suffix == ".parquet":
        import pandas as pd

        return pd.read_parquet(path).to_csv(index=False, header=False).splitlines()
    return path.read_text(errors="replace").splitlines() if path.suffix in _TEXT else []


def without_paths(value):
    """Plain values with absolute paths cut down to their last part, inside lists and dicts too."""
    if isinstance(value, dict):
        return {key: without_paths(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(each) for each in value]
    if isinstance(value, str):
        return _PATH.sub(lambda match: re.split(r"[\\/]", match[0].rstrip("/\\"))[-1], value)
    return value


def masked(text: str) -> str:
    """A message without tokens: what a library says of a failed request may hold one."""
    return _TOKEN.sub("hf_***", text)


def _in(line: str) -> list[str]:
    found = ["a token or key"] if _TOKEN.search(line) else []
    found += [f"a path of a machine ({match[0]})" for match in _PATH.finditer(line)]
    for kind, name in (("user", _user()), ("host", socket.gethostname().split(".")[0])):
        if len(name) > 3 and name.casefold() not in _DULL and re.search(
            rf"\b{re.escape(name)}\b", line, re.IGNORECASE
        ):
            found.append(f"the name of this {kind}")
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return os.environ.get("USER", "")
