"""Which of several settings of a method is taken: the one that validation subjects score best.

A setting whose training diverges is the worst there can be, and is told of; it stops nothing while
another setting works.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from neurofm.training.finite import NotANumber

from ..decoder.labeled import Labeled
from ..scoring import statistics

Made = TypeVar("Made")
DIVERGED = "diverged"  # key, beside a setting's own, of those that did


class Diverged(ValueError):
    """A method has no answers: every setting that it tried diverged."""


def score(data: Labeled, split: str, answers: np.ndarray) -> float:
    """What settings are chosen by: balanced accuracy, or mean absolute error with a minus."""
    _, target, subjects = data.of(split)
    if not data.classes:
        return -float(np.abs(answers[:, 0] - target).mean())
    recall, _ = statistics.recalls(target, answers.argmax(axis=1), subjects, len(data.classes))
    return statistics.balanced_accuracy(recall)


def chosen(
    settings: tuple[dict, ...], data: Labeled,
    attempt: Callable[[int, dict], tuple[Made, np.ndarray]],
) -> tuple[Made, dict]:
    """(what the best setting made, that setting; under "diverged" those that did).

    attempt(number, setting) → (what it makes, its answers to the validation windows). A setting
    diverges if the loop meets a loss that is not a number, or answers are none. Raises `Diverged`
    where all do.
    """
    best, found, lost = -np.inf, None, []
    for number, setting in enumerate(settings):
        try:
            made, answers = attempt(number, setting)
        except NotANumber as problem:
            lost.append((setting, str(problem)))
            continue
        if not np.isfinite(answers).all():
            lost.append((setting, "answers to validation windows are NaN or infinite"))
            continue
        value = score(data, "validation", answers)
        if found is None or value > best:
            best, found = value, (made, setting)
    if found is None:
        raise Diverged("; ".join(f"with {in_words(setting)}: {why}" for setting, why in lost))
    made, setting = found
    return made, setting | ({DIVERGED: "+".join(in_words(one).replace(" ", ",")
                                                for one, _ in lost)} if lost else {})


def without_lost(setting: dict) -> dict:
    """A setting without the others that diverged."""
    return {key: value for key, value in setting.items() if key != DIVERGED}


def in_words(setting: dict) -> str:
    """Such as "lr=0.003 dropout=0.5"."""
    return " ".join(f"{key}={value}" for key, value in setting.items()) or "as-given"
