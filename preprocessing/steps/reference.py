"""Average reference: at every sample, the mean over the sensors of a kind is subtracted.

For EEG it replaces an arbitrary reference electrode; BrainOmni does the same to each kind of MEG
sensor (arXiv 2505.18185, app. B).
"""

import numpy as np

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    if contract.reference == "none":
        return recording
    signal = recording.signal
    kind = recording.sensors.kind
    for each in np.unique(kind):
        rows = np.flatnonzero(kind == each)
        if len(rows) > 1:  # a channel alone would become zero
            part = slice(rows[0], rows[-1] + 1) if _contiguous(rows) else rows
            signal[part] -= signal[part].mean(0, keepdims=True)
    return recording


def _contiguous(rows: np.ndarray) -> bool:
    return len(rows) == rows[-1] - rows[0] + 1
