"""Whatever labels a corpus has, window by window: for questions that have no file of their own."""

from .task import Task

TASK = Task(question="Which label does a window have?")
