"""Task: what is asked of a window, and how answers are judged."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Task:
    """Task.

    Parameters
    ----------
    question
        As a person would ask it; heads the page.
    classes
        Labels to tell apart, in order; none = all that the corpus has, or a number where
        `number` is True.
    number
        Labels are numbers (regression).
    per
        What has one label: each "window", or a whole "subject", whose windows' answers are
        averaged before they are judged.
    window_s
        Length of windows this is usually asked of.
    label
        How `neurofm ingest` finds the labels (its `label` key); labels are then named as in
        `classes` by `label.mapping` of the data set.
    trial
        Which windows belong together and stay on one side of a split.
    remarks
        What a reader must know.
    """

    question: str
    classes: tuple[str, ...] = ()
    number: bool = False
    per: Literal["window", "subject"] = "window"
    window_s: float = 4.0
    label: str = ""
    trial: Literal["event", "recording", "subject"] = "recording"
    remarks: tuple[str, ...] = ()

    def __post_init__(self):
        assert not (self.number and self.classes), "a number has no classes"

    @property
    def metric(self) -> str:
        """What methods are ranked by."""
        return "mean absolute error" if self.number else "balanced accuracy"
