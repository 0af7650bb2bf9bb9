"""Stretches of a scan in which its EEG says nothing, and the volumes of fMRI which that costs."""

import numpy as np
from jaxtyping import Bool, Float

LOOKED_AT_S = 12.0  # of EEG before a volume: in them lies the whole rise of the response


def bad_samples(
    stretches_s: Float[np.ndarray, "stretch 2"], n_times: int, sfreq: float
) -> Bool[np.ndarray, " time"]:
    """Samples of bad stretches; of a joint (a stretch of no length) the sample after it.

    Parameters
    ----------
    stretches_s
        Begin and end of each stretch, s, `[stretch, 2]`.
    n_times
        Number of samples.
    sfreq
        Sampling rate, Hz.

    Returns
    -------
    ndarray
        True = bad, `[time]`.
    """
    bad = np.zeros(n_times, dtype=bool)
    for begin, end in np.round(np.asarray(stretches_s).reshape(-1, 2) * sfreq).astype(int):
        bad[max(begin, 0) : max(end, begin + 1)] = True
    return bad


def blind(
    bad: Bool[np.ndarray, " time"], sfreq: float, volume_s: Float[np.ndarray, " volume"]
) -> Bool[np.ndarray, " volume"]:
    """Volumes with more bad than good EEG in the `LOOKED_AT_S` before them.

    Time before the recording began is not bad: a scan that begins with it has no other.

    Parameters
    ----------
    bad
        True = bad, `[time]`.
    sfreq
        Sampling rate, Hz.
    volume_s
        Time of each volume from the first EEG sample, s, `[volume]`.

    Returns
    -------
    ndarray
        True = blind, `[volume]`.
    """
    so_far = np.concatenate([[0], np.cumsum(bad)])
    stop = np.clip(np.round(volume_s * sfreq).astype(int), 0, len(bad))
    first = np.clip(stop - round(LOOKED_AT_S * sfreq), 0, None)
    return so_far[stop] - so_far[first] > (stop - first) / 2
