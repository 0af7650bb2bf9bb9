"""What intervals, paired differences and ranks are taken over: subjects, or one subject's folds.

Several people: each is one case, and what is said is said of people like them. One person: nothing
can be said of others, but something of this one, from folds that were tested one after the other
(blocks of time, runs, sessions). Their scores are not quite independent, as their models share
training windows, and a day has one state; so this is said wherever such an interval stands.
"""

from dataclasses import dataclass

import pandas as pd

FEWEST = 3  # folds of one person that make an interval


@dataclass(frozen=True)
class Unit:
    """What is drawn again for an interval, in words."""

    one: str = "subject"  # one, many: in words
    many: str = "subjects"
    person: str = ""  # whose folds they are; "" = units are subjects

    @property
    def column(self) -> str:
        """Of the predictions: what tells units apart."""
        return "fold" if self.person else "subject"

    def counted(self, n: int) -> str:
        """Such as "4 test subjects", "5 blocks of time of one person"."""
        word = self.one if n == 1 else self.many
        return f"{n} {word} of one person" if self.person else f"{n} test {word}"

    def note(self, n: int) -> str:
        """What must be said where units are folds."""
        return (f"one person ({self.person}): intervals, differences and ranks are over {n} "
                f"{self.many} (folds) and speak of this person only; folds share most of what they "
                f"were trained on, so intervals are rather too narrow than too wide")


def of(predictions: pd.DataFrame, fold: tuple[str, str], per: str) -> Unit:
    """The unit of a table of predictions. fold: what a fold is, one and many. per: what is scored:
    where that is a subject, one subject has one score."""
    if per == "window" and "fold" in predictions and predictions["fold"].nunique() >= FEWEST:
        people = predictions["subject"].unique()
        if len(people) == 1:
            return Unit(*fold, str(people[0]))
    return Unit()
