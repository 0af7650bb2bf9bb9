"""Stretches of a scan in which its EEG says nothing, and the volumes of fMRI which that costs."""

import numpy as np
from jaxtyping import Bool, Float

LOOKED_AT_S = 12.0  # of EEG before a volume: in them lies the whole rise of the response


def bad_samples(
    stretches_s: Float[np.ndarray, "stretch 2"], n_times: int, sfreq: float
) -> Bool[np.ndarray, " time"]:
    """Which samples are bad. Of a joint (a stretch of no length) it is the first after it."""
    bad = np.zeros(n_times, dtype=bool)
    for begin, end in np.round(np.asarray(stretches_s).reshape(-1, 2) * sfreq).astype(int):
        bad[max(begin, 0) : max(end, begin + 1)] = True
    return bad


def blind(
    bad: Bool[np.ndarray, " time"], sfreq: float, volume_s: Float[np.ndarray, " volume"]
) -> Bool[np.ndarray, " volume"]:
    """Which volumes have more bad than good EEG in the `LOOKED_AT_S` before they were measured.

    Time before the recording began is not bad: of scans that begin together it is all there is.
    volume_s: from the EEG's first sample.
    """
    so_far = np.concatenate([[0], np.cumsum(bad)])
    stop = np.clip(np.round(volume_s * sfreq).astype(int), 0, len(bad))
    first = np.clip(stop - round(LOOKED_AT_S * sfreq), 0, None)
    return so_far[stop] - so_far[first] > (stop - first) / 2
