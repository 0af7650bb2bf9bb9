"""How long a training took, from its log. Pauses between two lines that are out of proportion, of a
run that was stopped and continued, are not counted."""

import json
from pathlib import Path

import numpy as np

_PAUSE = 20  # times the median step between lines


def hours_of(log: Path) -> float | None:
    """None where there is no log, or it has fewer than three lines."""
    times = []
    for line in log.read_text().splitlines() if log.exists() else []:
        try:
            times.append(float(json.loads(line)["time"]))
        except (ValueError, KeyError):
            continue
    steps = np.diff(times)
    if len(steps) < 2:
        return None
    return float(steps[steps <= _PAUSE * np.median(steps)].sum() / 3600)
