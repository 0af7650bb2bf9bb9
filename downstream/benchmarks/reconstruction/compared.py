"""What a comparison of tokenizers has found."""

from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class Compared:
    """Reconstruction by several methods.

    Attributes
    ----------
    table
        Means over subjects, for people.
    subjects
        A row a device, method and subject: device, sensors, method, subject, and the metrics.
    perplexity
        Method → for each level, how many equally frequent codes would carry as much.
    fitted_on
        What the baselines were fitted on.
    said, notes
        Lines about the tokenizers; what a reader of the scores must know.
    """

    table: pd.DataFrame
    subjects: pd.DataFrame
    perplexity: dict[str, list[float]]
    fitted_on: str
    said: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
