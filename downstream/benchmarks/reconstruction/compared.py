"""What a comparison of tokenizers has found."""

from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class Compared:
    """Reconstruction by several methods."""

    table: pd.DataFrame  # means over subjects, for people
    # a row a device, method and subject: device, sensors, method, subject, and the metrics
    subjects: pd.DataFrame
    # method → for each level, how many equally frequent codes would carry as much
    perplexity: dict[str, list[float]]
    fitted_on: str  # what the baselines were fitted on
    # said, notes: lines about the tokenizers; what a reader of the scores must know
    said: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
