"""Folders and files that settings name, as others may see them: without the folders they lie in.

A folder may be called by somebody's name, and whoever reads the settings has not got it. What is
left of a path is looked at as a free text (`review`). Repositories of the Hub keep their names.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .rules import without_paths

# Options that name folders or files, of all commands.
KEYS = frozenset({
    "atlas", "ceiling", "center_on", "certificate", "channels", "data", "events", "generated",
    "init", "labels", "mask", "mesh", "metadata", "model", "models", "montage", "paths", "replay",
    "rois", "sites", "source", "sweep", "table", "tokenizer", "tokens"})
OUT = "OUT"  # what stands for the folder that was made
_WORDS = ("channels", "events", "labels")  # lists and dicts of these are words of data
_WHERE_FROM = "label"  # its `source` is a word of neurofm
_ENDING = re.compile(r"(?:\.(?:nii|gz|xml|[tc]sv|txt|json|ya?ml|npy|npz|mat|edf|bdf|fif|set|vhdr|"
                     r"sfp|elc|ced|loc|gii|1D))+$")
_PART = re.compile(r"[\\/]")
_SCALAR = re.compile(r"[^\s:,{}\[\]\"'](?:[^,{}\[\]\"':]|:(?!\s))*")  # in YAML on one line


def cut(settings: Any, key: str = "") -> Any:
    """Plain values, with the last part of each path alone. key: option that they are of."""
    if isinstance(settings, dict):
        return {name: cut(value, key or _place(name, value)) for name, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [cut(value, key) for value in settings]
    if key == "out" and isinstance(settings, str) and settings:
        return OUT
    if key and isinstance(settings, str) and not is_repository(settings):
        return _last(settings)
    return without_paths(settings)


def cut_words(command: str) -> str:
    """A command line, with the last part of each path alone."""
    try:
        words = shlex.split(command)
    except ValueError:  # it is no line of a shell
        return re.sub(r"[^\s\"']*[\\/]", "", command)
    found, key = [], "source"
    for word in words:
        name, mark, value = word.partition("=")
        option = name.startswith("--")
        if option:
            key = name.lstrip("-").rpartition(".")[2].partition(" ")[0]
            if not mark:
                found.append(word)
                continue
        said = _cut_text(value if option else word, key)
        found.append(f"{name}={shlex.quote(said)}" if option else shlex.quote(said))
        key = "source"  # of a word that follows no option
    return " ".join(found)


def replaced(value: Any, settings: dict) -> Any:
    """Plain values, in which the paths of some settings are cut wherever they stand."""
    whole = [each for said in settings.values()
             for each in (said if isinstance(said, list) else [said]) if each]
    pairs = [(each, cut(each, "data")) for each in sorted(whole, key=len, reverse=True)]

    def text(found: Any) -> Any:
        if isinstance(found, dict):
            return {key: text(each) for key, each in found.items()}
        if isinstance(found, list):
            return [text(each) for each in found]
        if isinstance(found, str):
            for path, last in pairs:
                found = found.replace(path, last)
        return found

    return text(value)


def left(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(option, name without its ending) of the folders and files that cut settings name."""
    if isinstance(settings, dict):
        for name, value in settings.items():
            if name != _WHERE_FROM:
                yield from left(value, key or _place(name, value))
    elif isinstance(settings, list):
        for value in settings:
            yield from left(value, key)
    elif key and key != "out" and isinstance(settings, str) and not is_repository(settings):
        name = _ENDING.sub("", settings)
        if key != "montage" or name != settings:  # else one of MNE's
            yield key, name


def is_repository(place: str) -> bool:
    """Whether this is a repository of the Hub: "runs/base" is a folder or was one, unless what is
    called so was fetched on this machine."""
    from huggingface_hub import constants

    name = place.partition("@")[0]
    if re.fullmatch(r"hf://\w[\w.-]*/\w[\w.-]*", name):
        return True
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name)) and not Path(place).exists() and any(
        (Path(constants.HF_HUB_CACHE) / f"{kind}s--{name.replace('/', '--')}").is_dir()
        for kind in ("model", "dataset"))


def _place(option: Any, value: Any) -> str:
    """The option, where its value names folders or files."""
    name = str(option).rpartition(".")[2]
    if isinstance(value, dict):  # of settings, or of words of data
        places = name not in _WORDS and all(isinstance(each, str) for each in value.values())
    else:
        places = name not in _WORDS or isinstance(value, str)
    return name if name == "out" or (name in KEYS and places) else ""


def _cut_text(text: str, key: str) -> str:
    """Of a word of a command line: a place, or a list or dict of some."""
    if key == "out":
        return text if text == OUT else OUT
    if key not in KEYS:
        return without_paths(text)
    return _SCALAR.sub(lambda found: cut(found[0].rstrip(), key), text) if text[:1] in "{[" else (
        cut(text, key))


def _last(place: str) -> str:
    return next((part for part in reversed(_PART.split(place)) if part), place)
