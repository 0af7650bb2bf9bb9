"""The schema of results.json, from the docstring and the dataclasses of `neurofm.results`."""

import dataclasses
import inspect
import json
import re
import tempfile
import typing
from pathlib import Path

from neurofm import results
from neurofm.seen import Flag

from . import keys

FILE = "reference/results_schema.md"


def fields() -> dict[str, str]:
    """Field → meaning, in the order of the file, as the module's docstring has them."""
    doc = inspect.getdoc(results) or ""
    found = re.findall(r"^    (\w+) {2,}(.*(?:\n {10,}.*)*)", doc, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def example() -> str:
    """A file as `Results.save` writes it."""
    made = results.Results(
        question="decoding", data="runs/eegmat/corpus", model="runs/brainomni",
        methods=["frozen", "csp_lda"], protocol={"kind": "kfold", "folds": 4}, seeds=[0, 1],
        subjects=20,
        scores=[results.score("frozen", "balanced accuracy", 0.5, unit="subjects", n=20)],
        comparisons=[results.comparison("frozen", "csp_lda", "balanced accuracy", 0.0, p=1.0)],
        summary="(numbers of this example are made up)",
        flags=[Flag("LEAK", "frozen", "frozen: 1 of 20 subjects judged here is in its training "
                    "data; scores on this subject are not generalization", ("eegmat/sub-01",))],
        command="neurofm evaluate decoding --data runs/eegmat/corpus --out OUT",
        versions={"neurofm": "0.1.0"})
    with tempfile.TemporaryDirectory() as folder:
        made.save(folder)
        text = (Path(folder) / results.FILE_NAME).read_text()
    return json.dumps(json.loads(text), indent=2)


def pages() -> dict[str, str]:
    """File → text."""
    kinds = typing.get_type_hints(results.Results)
    order = [field.name for field in dataclasses.fields(results.Results)]
    lines = ["# results.json", "", _TOP, ""]
    for name, meaning in fields().items():
        kind = keys.in_words(kinds[name]) if name in kinds else "integer"
        lines += [f"`{name}` · {kind}", f": {keys.sentence(meaning)}", ""]
    lines += ["## A row of scores", ""]
    for name, meaning in _row(results.score):
        lines += [f"`{name}`", f": {meaning}", ""]
    lines += ["## A row of comparisons", ""]
    for name, meaning in _row(results.comparison):
        lines += [f"`{name}`", f": {meaning}", ""]
    flag = dict(re.findall(r"^(\w+)\n((?: {4}.*\n?)+)", inspect.getdoc(Flag) or "", re.MULTILINE))
    lines += ["## A flag", ""]
    for field in dataclasses.fields(Flag):
        text = " ".join(flag.get(field.name, "").split())
        lines += [f"`{field.name}`", f": {keys.escaped(text)}", ""]
    lines += [_TAIL, "## Example", "", "```json", example(), "```", ""]
    assert set(order) <= set(fields()), "a field of Results is not in the docstring"
    return {FILE: "\n".join(lines)}


def _row(function) -> list[tuple[str, str]]:
    """Keys of a row as `results.score` and `results.comparison` make it."""
    made = function(*["m"] * (2 if function is results.score else 3), 0.0)
    return [(name, _MEANINGS[name]) for name in made]


_MEANINGS = {
    "method": "Name of the method, one of `methods`.", "metric": "What is measured.",
    "value": "The mean.", "low": "Lower end of the 95 % interval; null where there is none.",
    "high": "Upper end of the 95 % interval; null where there is none.",
    "unit": "What the interval is over, such as subjects.", "n": "Number of these units.",
    "a": "A method.", "b": "The method that is subtracted.", "difference": "Mean of a minus b.",
    "p": "Two-sided p value; null where none was computed.",
}
_TOP = f"""\
Every command of `neurofm evaluate` writes one, and so do `decode`, `stream`, `synthesize` and
`federate`. One form serves every question. `neurofm.results.Results.load(folder)` reads it and
refuses a version that it does not know. This is version {results.VERSION}. Fields, in this order:
"""
_TAIL = """\
A score or a comparison may have further keys, such as `hidden: segments` or `layout: eeg19`. They
say which part of the data the row is of. Numbers that are not finite are null.
"""
