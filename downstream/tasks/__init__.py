"""Tasks: one file each, which holds a `Task` named TASK; none knows a data set or a modality.

To add one: a file here and a line in `INDEX`. Which labels of a data set mean what is in its
configuration for `neurofm ingest`.
"""

import difflib
from importlib import import_module

from .task import Task

INDEX = (
    "age", "diagnosis", "evoked_response", "eyes", "labels", "mental_arithmetic", "motor_imagery",
    "movement", "sex", "sleep_stage",
)


def find(name: str) -> Task:
    """A task by its name."""
    if name not in INDEX:
        near = difflib.get_close_matches(name, INDEX, 1)
        raise ValueError(f"unknown task {name!r}{f', did you mean {near[0]!r}?' if near else ''}; "
                         f"there are {', '.join(INDEX)}")
    return import_module(f".{name}", __package__).TASK


__all__ = ["INDEX", "Task", "find"]
