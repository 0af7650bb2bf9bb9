"""What other packages add, found by entry point: a package that is installed declares

    [project.entry-points."neurofm.models"]
    my_model = "my_package.my_model:MyModel"

and `my_model` is a model here, in commands, in their help and in checkpoints. Groups:
neurofm.models (models and tokenizers), neurofm.readers, neurofm.steps, neurofm.contracts (kinds of
signal), neurofm.tasks, neurofm.baselines, neurofm.benchmarks, neurofm.commands, neurofm.workers
(command → the module that its worker processes share: it loads while the command does).
"""

import logging
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

logger = logging.getLogger(__name__)


def points(group: str) -> dict[str, EntryPoint]:
    """Name → entry point, of a group such as "neurofm.models"; nothing is imported."""
    return _on_path(group, tuple(sys.path))


@cache
def _on_path(group: str, path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Kept: it reads a file of each installed package, and is asked for each recording."""
    return {point.name: point for point in entry_points(group=group)}


def load(group: str, name: str) -> Any:
    """What an entry point names. Raises ValueError where its package cannot be imported."""
    point = points(group)[name]
    try:
        return point.load()
    except (ImportError, AttributeError) as problem:
        raise ValueError(f"{name!r} of {group} is {point.value}, which cannot be imported "
                         f"({problem}): mend or uninstall that package") from problem
