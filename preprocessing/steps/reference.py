"""Average reference: at every sample, the mean over the sensors of a kind is subtracted.

For EEG it replaces an arbitrary reference electrode; BrainOmni does the same to each kind of MEG
sensor (arXiv 2505.18185, app. B). Where parcels are made, only EEG is: a head model knows the
field at each coil, and an inverse of fields less their mean suppresses what it looks for.

A difference of two electrodes holds no reference electrode: it stays as it is, and is left out of
the mean of the others.
"""

import numpy as np

from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording
from neurofm.data.sensors import KINDS

from .step import PerWindow, Step

_PIECE = 2**15  # samples at a time: the piece stays in the cache, and memory is bounded


def apply(recording: Recording, contract: InputContract, quality: dict) -> Recording:
    if contract.reference == "none":
        return recording
    signal = recording.signal
    kind = recording.sensors.kind
    for each in np.unique(kind):
        if contract.parcels and KINDS[each] != "eeg":
            continue
        rows = np.flatnonzero((kind == each) & ~recording.sensors.is_difference)
        if len(rows) > 1:  # a channel alone would become zero
            for start in range(0, signal.shape[1], _PIECE):
                piece = slice(start, start + _PIECE)
                signal[rows, piece] -= signal[rows, piece].mean(0, keepdims=True)
    return recording


STEP = Step("reference", apply, live=PerWindow())
