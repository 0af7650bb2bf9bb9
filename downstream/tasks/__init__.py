"""Tasks: one file each, which holds a `Task` named TASK; none knows a data set or a modality.

To add one: a file here and a line in `INDEX`; or, in another package, a `Task` named by an entry
point of the group `neurofm.tasks`. Which labels of a data set mean what is in its configuration for
`neurofm ingest`.
"""

import difflib
from importlib import import_module

from neurofm import plugins

from .task import Task

GROUP = "neurofm.tasks"
INDEX = (
    "age", "diagnosis", "evoked_response", "eyes", "labels", "mental_arithmetic", "motor_imagery",
    "movement", "sex", "sleep_stage",
)


def names() -> list[str]:
    """Names of all tasks, those of other packages too."""
    return sorted({*INDEX, *plugins.points(GROUP)})


def find(name: str) -> Task:
    """A task by its name."""
    if name in INDEX:
        return import_module(f".{name}", __package__).TASK
    if name not in plugins.points(GROUP):
        near = difflib.get_close_matches(name, names(), 1)
        raise ValueError(f"unknown task {name!r}{f', did you mean {near[0]!r}?' if near else ''}; "
                         f"there are {', '.join(names())}")
    return plugins.load(GROUP, name)


__all__ = ["INDEX", "Task", "find", "names"]
