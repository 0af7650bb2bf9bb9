"""numpydoc docstrings of everything public: sections are there, parameters match the code."""

import importlib
import inspect
import pkgutil
import re

import pytest
from numpydoc.validate import validate

import neurofm

# GL08 no docstring; PR01, PR02 parameters missing or unknown; PR07 without a text; RT01, RT03
# returns; YD01 yields.
WANTED = {"GL08", "PR01", "PR02", "PR07", "RT01", "RT03", "YD01"}
PASSED_ON = "**of_transformers"  # keys that transformers itself hands to a config


def documented_in(cls: type, name: str) -> type:
    """The first class that has this method: an override is documented where it is promised."""
    holders = [one for one in cls.__mro__ if name in vars(one)]
    ours = [one for one in holders if one.__module__.startswith("neurofm")]
    return ours[-1] if len(ours) == len(holders) else object  # of torch, scikit-learn, …: theirs


def public_methods(cls: type) -> set[str]:
    """Paths of the methods of a public class that we document."""
    found = set()
    for name, member in vars(cls).items():
        member = getattr(member, "__func__", member)  # of class methods
        holder = documented_in(cls, name)
        if not name.startswith("_") and inspect.isroutine(member) and holder is not object:
            found.add(f"{holder.__module__}.{holder.__name__}.{name}")
    return found


def functions(package: str) -> set[str]:
    folder = importlib.import_module(package)
    modules = [importlib.import_module(f"{package}.{each.name}")
               for each in pkgutil.iter_modules(folder.__path__)]
    return {f"{module.__name__}.{name}" for module in modules
            for name, each in vars(module).items()
            if inspect.isfunction(each) and each.__module__ == module.__name__
            and not name.startswith("_")}


def paths() -> list[str]:
    found: set[str] = set()
    for name in dir(neurofm):
        public = getattr(neurofm, name)
        made_by = hasattr(public, "open") or inspect.isabstract(public) or name == "Trainable"
        if not made_by:  # an artifact is opened, a base class is not made
            found.add(f"{public.__module__}.{name}")
        if inspect.isclass(public):
            found |= public_methods(public)
    for package in ("neurofm.data", "neurofm.tokenizers", "neurofm.models"):
        found |= functions(package)
    return sorted(found)


@pytest.mark.parametrize("path", paths())
def test_docstring(path):
    problems = [f"{code} {text}" for code, text in validate(path)["errors"] if code in WANTED
                and not (code == "PR01" and not lacking(text))]
    assert problems == []


def lacking(text: str) -> set[str]:
    """Names in "Parameters {'a', 'b'} not documented" that a reader may want."""
    return {name for name in re.findall(r"'([^']+)'", text)
            if name != PASSED_ON and not name.startswith("_")}
