"""Trials cut already (MNE's epochs, arrays with a trial axis) → one signal with its events.

Trials are laid end to end with a cut at each joint, so that neither filters nor windows run from
one into the next.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float32, Num

from neurofm.data.recording import Events

from .. import memory
from ..segments import CUT


def end_to_end(
    trials: Num[np.ndarray, "trial channel time"], sfreq: float, labels: list[str | None],
    zero_s: float = 0.0,
) -> tuple[Float32[np.ndarray, "channel time"], Events]:
    """The signal, and its events: a cut where a trial begins, and the trial's label.

    labels: one a trial; None = nothing is known of it but the cut. zero_s: where in a trial its
    label stands, seconds from the trial's first sample.
    """
    n, n_channels, n_times = trials.shape
    signal = memory.empty((n_channels, n * n_times))
    signal.reshape(n_channels, n, n_times)[:] = trials.transpose(1, 0, 2)
    start_s = np.arange(n) * n_times / sfreq
    named = [row for row, label in enumerate(labels) if label is not None]
    said = [label for label in labels if label is not None]
    onset_s = np.concatenate([start_s, start_s[named] + zero_s])
    return signal, Events(onset_s, np.zeros(len(onset_s)),
                          (*[CUT] * n, *said))


def as_text(values: Iterable) -> list[str | None]:
    """Labels as text: 1, 1.0 and "1" are "1"; None where a value is missing (None, NaN, "")."""
    return [_text(value) for value in values]


def _text(value) -> str | None:
    if value is None or value != value:  # NaN, and pandas's NaT
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)  # MATLAB's numbers are all float
    return str(value).strip() or None
