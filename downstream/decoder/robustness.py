"""What a decoder's answers are worth on a recording that lacks something.

The decoder has measured how its score falls under conditions such as a low-pass of 45 Hz with half
of the channels (`neurofm.checkpoints.robustness`). A recording is judged by the nearest of these
that is in no respect better than it.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from neurofm.checkpoints.robustness import Condition, Robustness, in_words
from neurofm.data.lacks import Lacks
from neurofm.pages import words


@dataclass(frozen=True)
class Cost:
    """The score to expect on recordings like one, and what it is on recordings that lack nothing.

    Parameters
    ----------
    score, low, high
        Score under the condition, and its 95 % interval over people; NaN, NaN where there are too
        few validation people for an interval.
    full
        Score on recordings that lack nothing.
    chance
        Score of answers that carry no information.
    metric
        "balanced_accuracy" (more is better) or "mae" (less is better).
    measured
        The condition that the score was measured under.
    """

    score: float
    low: float
    high: float
    full: float
    chance: float
    metric: str
    measured: Lacks

    @property
    def known(self) -> bool:
        """False where the score has no interval, or one as wide as the scale: it says nothing about
        other people."""
        whole = self.metric != "mae" and self.low <= 0 and self.high >= 1
        return math.isfinite(self.low) and math.isfinite(self.high) and not whole

    @property
    def holds_chance(self) -> bool:
        """Whether the interval holds chance, or is worse: answers may carry no information."""
        if not self.known:
            return True
        return self.high >= self.chance if self.metric == "mae" else self.low <= self.chance

    def words(self) -> str:
        """In a sentence.

        Returns
        -------
        str
            Such as "On recordings like this one: balanced accuracy 0.680 [0.600, 0.750] instead
            of 0.740 (validation subjects); chance 0.500."
        """
        if not self.known:
            return ("On recordings like this one: unknown, because the decoder was measured on too "
                    "few validation subjects.")
        name = in_words(self.metric)
        return (f"On recordings like this one: {name} "
                f"{words.estimate(self.score, self.low, self.high)} instead of "
                f"{words.estimate(self.full)} (validation subjects); chance "
                f"{words.estimate(self.chance)}.")


def cost(model: str | Path, lacks: Lacks) -> Cost | None:
    """What recordings that lack this cost a decoder.

    Parameters
    ----------
    model
        Folder or repository of the decoder.
    lacks
        What the recording lacks.

    Returns
    -------
    Cost or None
        None where the decoder was not measured, or under no condition as bad as this.
    """
    found = Robustness.read(model)
    near = nearest(found, lacks) if found else None
    if found is None or near is None:
        return None
    return Cost(near.score, near.low, near.high, found.full.score, found.chance, found.metric,
                near.lacks)


def nearest(measured: Robustness, lacks: Lacks) -> Condition | None:
    """The best condition that is in no respect better than `lacks`; of several the worst score."""
    worse = [each for each in measured.conditions if each.lacks.covers(lacks)]
    near = [each for each in worse
            if not any(other is not each and each.lacks.covers(other.lacks) for other in worse)]
    sign = -1 if measured.less_is_better else 1
    return min(near, key=lambda each: sign * each.score, default=None)
