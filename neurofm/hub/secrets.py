"""Search of a staged folder for what must not be published: every file, every byte, every name."""

import getpass
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from . import rules, texts
from .rules import Rule

# Name nobody; the last ones stand in every card.
_DULL = {"root", "user", "ubuntu", "debian", "admin", "localhost", "runner", "nobody", "guest",
         "docker", "jovyan", "worker", "vscode", "cloud", "cluster", "slurm", "student", "default",
         "neurofm", "neuro", "neuroscience", "brain", "data", "demo", "test", "train", "python"}
_BLOCK = 2**15  # characters that are searched at once
_THANKS = ("README.md", "datasets.json")  # where people are thanked by title and name


@dataclass(frozen=True)
class Secret:
    """file, place: where, first; what: kind of thing; text: the thing itself, "" where it is a
    token; times: number of different texts (lines, cells) of the file that hold it."""

    file: str
    place: str
    what: str
    text: str = ""
    times: int = 1

    def __str__(self) -> str:
        where = f"{self.file}, {self.place}" if self.place else self.file
        again = f", in {self.times} texts" if self.times > 1 else ""
        return f"{where}: {self.what}{f' ({self.text})' if self.text else ''}{again}"


def found_in(
    folder: Path, names: Iterable[str] | None = None, people: Iterable[Rule] = (),
    allow: Iterable[str] = (),
) -> list[Secret]:
    """Everything in the files of a folder that nobody else should see.

    Parameters
    ----------
    names
        Files that are looked at; None = all.
    people
        Rules of the people whose names must not be in it (`people.rules_of`).
    allow
        Texts that may stay, such as an address for questions; no token or key may.
    """
    more = [*people, *_of_this_machine()]
    allowed = {each.casefold() for each in allow}
    thanks = _thanks(folder)
    found: dict[tuple, Secret] = {}
    listed = names if names is not None else sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
    for name in listed:
        for secret in _in_file(folder / name, name, more):
            if secret.text.casefold() in allowed and secret.text:
                continue
            if secret.what == "a person's name and title" and name in _THANKS and (
                    secret.text in thanks):
                continue
            # A token has no text, so each of its places is one.
            place = re.sub(r"\d+", "", secret.place) if secret.text else secret.place
            key = (name, secret.what, secret.text, place)
            times = found[key].times + 1 if key in found else 1
            found[key] = replace(found.get(key, secret), times=times)
    return [*found.values()]


def _thanks(folder: Path) -> str:
    """What the terms of data sets say: whom to thank is what their authors want to be read."""
    path = folder / "datasets.json"
    try:
        return json.dumps(json.loads(path.read_text()), ensure_ascii=False)
    except (OSError, ValueError):
        return ""


def _in_file(path: Path, name: str, more: list[Rule]) -> Iterator[Secret]:
    if path.is_symlink() or not path.is_file():
        yield Secret(name, "", "no regular file")
        return
    yield from _in_texts(name, [("its name", f"{name}"), ("its name", Path(name).name)], more)
    block: list[texts.Text] = []
    size, seen = 0, set[str]()
    try:
        for place, text in texts.of_file(path):
            for form in texts.forms(text):
                if form in seen or len(form) < 3:
                    continue
                if len(seen) < 10**5:
                    seen.add(form)
                block.append((place, form))
                size += len(form)
            if size > _BLOCK:
                yield from _in_texts(name, block, more)
                block, size = [], 0
    except texts.Unreadable as problem:
        yield Secret(name, "", str(problem))
    yield from _in_texts(name, block, more)


def _in_texts(name: str, block: list[texts.Text], more: list[Rule]) -> Iterator[Secret]:
    """All of them at once; where there is something, one by one, for its place."""
    joined = "\n".join(text if place.startswith("line") else f"\0{text}\0"
                       for place, text in block)
    together = [*rules.found(joined, more)]
    if not together:
        return
    n = 0
    for place, text in block:
        alone = [each for each in dict.fromkeys(rules.found(text, more))  # two rules, one thing
                 if _is_meant(place, text, each)]
        tokens = [each for each in alone if each.token]
        for each in alone:
            n += 1
            hidden = any(each.start < token.start + len(token.text)
                         and token.start < each.start + len(each.text) for token in tokens)
            yield Secret(name, place, each.what, "" if hidden else each.text.strip())
    first = block[0][0] if block else ""
    if not n and first.startswith("line"):  # it goes from one line to the next
        place = block[joined[:together[0].start].count("\n")][0]
        yield Secret(name, place, together[0].what)


def _is_meant(place: str, text: str, found: rules.Found) -> bool:
    """Among gigabytes of numbers some read like a short path; a token is too long for that. Of
    Parquet and Arrow all cells and metadata are read as such: among their raw bytes a length (47 is
    "/") stands before a text, and one cell beside another."""
    if place.startswith(texts.RAW):
        return found.token
    chance = "byte" in place and (len(text) < 24 or not re.search(r"\w{4}", found.text))
    return found.token or not chance


def _of_this_machine() -> list[Rule]:
    """Names of its user and host."""
    full = _gecos()
    named = [("the name of this user", each) for each in
             (_user(), os.environ.get("SUDO_USER", ""), full, *full.split())]
    host = socket.gethostname()
    named += [("the name of this host", each) for each in
              (host, host.split(".")[0], os.environ.get("SLURMD_NODENAME", ""),
               os.environ.get("SLURM_SUBMIT_HOST", ""), os.environ.get("SLURM_CLUSTER_NAME", ""))]
    return [Rule(what, re.compile(rf"(?<![A-Za-z0-9]){re.escape(each)}(?![A-Za-z0-9])", re.I))
            for what, each in dict.fromkeys(named)
            if len(each) > 3 and each.casefold() not in _DULL]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return os.environ.get("USER", "")


def _gecos() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_gecos.split(",")[0]
    except (ImportError, KeyError, AttributeError):
        return ""
