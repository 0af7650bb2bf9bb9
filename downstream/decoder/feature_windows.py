"""A recording as windows to be embedded: of its whole length, or of each of its epochs.

An epoch that is no longer than the contract's window is one window. A longer one is cut into
windows with the contract's stride, of which the last ends with the epoch. An epoch that is shorter
than what the model encodes together is refused. One that is longer than a multiple of that by one
sample loses it: `mne.Epochs` hold the sample at tmax too, and a window of zeros would follow it.
"""

from dataclasses import dataclass, replace
from math import floor

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from neurofm.checkpoints.contracts import contract_of
from neurofm.data.contract import InputContract
from neurofm.data.recording import Recording
from neurofm.preprocessing import segments
from neurofm.preprocessing.standardize import (
    ContractError,
    Done,
    standardize,
)
from neurofm.preprocessing.steps import band
from neurofm.pretrained import NeuroFMPreTrainedModel

from .feature_files import DROPPED
from .lacking import Lacking, standardized, worth


@dataclass(frozen=True, eq=False)
class Cut:
    """A recording that meets the model's contract, and what each window is."""

    windows: Done
    epoch: Int64[np.ndarray, " window"]  # −1: the recording is continuous
    times: Float64[np.ndarray, "window 2"]  # start and end, s; of epochs relative to their event
    dropped: pd.DataFrame  # see `Features.dropped`
    said: tuple[str, ...] = ()  # what the recording lacks, and what that costs


def cut(
    recording: Recording, model: NeuroFMPreTrainedModel, place: str, lacking: Lacking
) -> Cut:
    """Windows of a recording as the model's contract wants them.

    place: folder or repository of the model, "" where it is not known. Raises ContractError (a
    ValueError) where the recording cannot meet the contract, or lacks what `lacking` asks for.
    """
    found = _cut(recording, model, standardized(lacking))
    return replace(found, said=worth(found.windows, model, place, lacking).said)


def _cut(recording: Recording, model: NeuroFMPreTrainedModel, taken: band.Lacking) -> Cut:
    contract = contract_of(model)
    if recording.n_epochs and isinstance(contract, InputContract):
        return _of_epochs(recording, contract, max(model.window_length, model.n_times), taken)
    windows = standardize(recording, contract, lacking=taken)
    times = np.stack([windows.start_s, windows.stop_s], axis=1).round(6)
    stretches = [(each.what, "", each.start_s, each.stop_s, each.reason)
                 for each in windows.left_out]
    return Cut(windows, np.full(len(windows), -1), times,
               _table(recording, [*_channels(recording, windows), *stretches]))


def _of_epochs(
    recording: Recording, contract: InputContract, shortest: int, taken: band.Lacking
) -> Cut:
    n_times = recording.n_times // recording.n_epochs
    length = floor(n_times / recording.sfreq * contract.sfreq + 1e-6)
    if length > shortest and length % shortest <= contract.sfreq / recording.sfreq:
        length -= length % shortest
    window = min(length, contract.window_samples)
    if window < shortest:
        raise ContractError(
            recording.source, f"epochs of at least {shortest / contract.sfreq:g} s, which this "
            f"model encodes together", f"they last {n_times / recording.sfreq:g} s",
            "cut longer ones: mne.Epochs(raw, events, tmin=…, tmax=…)")
    if window < contract.window_samples:
        contract = contract.with_(window_s=window / contract.sfreq, stride_s=None)
    offset = [*range(0, length - window + 1, contract.stride_samples)]
    offset += [length - window] if offset[-1] != length - window else []
    first = [segments.first_sample(number * n_times / recording.sfreq, contract.sfreq)
             for number in range(recording.n_epochs)]
    onset = np.add.outer(first, offset).ravel()
    windows = standardize(recording, contract, onsets_s=onset / contract.sfreq, lacking=taken)
    start_s = np.array(offset)[windows.onset % len(offset)] / contract.sfreq
    times = (recording.epoch_tmin_s + start_s)[:, None] + [0.0, contract.window_s]
    epoch = windows.onset // len(offset)
    lost, kept = {}, {*epoch.tolist()}
    for each in windows.left_out:
        number, at = divmod(each.onset, len(offset))
        whole = number not in kept
        begin_s = recording.epoch_tmin_s + (0 if whole else offset[at] / contract.sfreq)
        end_s = begin_s + (n_times / recording.sfreq if whole else contract.window_s)
        reason = ("not all of it was recorded"
                  if each.reason in (segments.BEYOND, segments.JOINED) else each.reason)
        lost[number, at * (not whole)] = ("epoch" if whole else "window", str(number),
                                          round(begin_s, 6), round(end_s, 6), reason)
    return Cut(windows, epoch, times.round(6),
               _table(recording, [*_channels(recording, windows), *lost.values()]))


def _channels(recording: Recording, windows: Done
              ) -> list[tuple[str, str, float, float, str]]:
    """Channels of the file that no window has."""
    quality, sensors = windows.quality, recording.sensors
    reasons = {name: "outside the image, or too small" for name in quality["left_out"]}
    reasons |= dict(recording.left_out)
    reasons |= dict.fromkeys(quality["without_position"], "no known place") | quality["bads"]
    if windows.sensors.kinds != ("roi",) * len(windows.sensors):  # else parcels were made of them
        reasons = {name: f"of kind {kind}, which the model does not take"
                   for name, kind in zip(sensors.names, sensors.kinds, strict=True)
                   if kind not in windows.contract.kinds} | reasons
    return [("channel", name, np.nan, np.nan, reason) for name, reason in reasons.items()
            if name not in {*windows.sensors.names, *quality["interpolated"]}]


def _table(recording: Recording, rows: list[tuple[str, str, float, float, str]]) -> pd.DataFrame:
    return pd.DataFrame([(recording.source, *row) for row in rows], columns=[*DROPPED])
