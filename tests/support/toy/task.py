"""A toy task."""

from neurofm.downstream.tasks import Task

TASK = Task(question="Which side is meant, says the toy?", classes=("left", "right"))
