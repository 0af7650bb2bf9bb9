"""Task: what is asked of a window, and how answers are judged."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Task:
    """What is decoded, and how it is asked and scored."""

    question: str  # as a person would ask it; heads the page
    # labels to tell apart, in order; none = all that the corpus has, or a number where `number` is
    # True
    classes: tuple[str, ...] = ()
    number: bool = False  # labels are numbers (regression)
    # what has one label: each "window", or a whole "subject", whose windows' answers are averaged
    # before they are judged
    per: Literal["window", "subject"] = "window"
    window_s: float = 4.0  # length of windows this is usually asked of
    # how `neurofm ingest` finds the labels (its `label` key); labels are then named as in `classes`
    # by `label.mapping` of the data set
    label: str = ""
    # which windows belong together and stay on one side of a split
    trial: Literal["event", "recording", "subject"] = "recording"
    remarks: tuple[str, ...] = ()  # what a reader must know

    def __post_init__(self):
        assert not (self.number and self.classes), "a number has no classes"

    @property
    def metric(self) -> str:
        """What methods are ranked by."""
        return "mean absolute error" if self.number else "balanced accuracy"
