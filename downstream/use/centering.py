"""Whose mean a re-centering decoder takes away; no label is needed for it.

Such a decoder compares a window with its person's others by the same device. They come from
recordings: the one that is decoded, or those of the same person that are named. In a stream they
are the windows that have come so far, and at first the training people's mean counts for most.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from neurofm.checkpoints.contracts import contract_of
from neurofm.data.batch import collate
from neurofm.data.recording import Recording
from neurofm.data.sensors import Sensors
from neurofm.models.protocol import WindowDecoder
from neurofm.preprocessing.standardize import Standardized, StandardizedScan
from neurofm.preprocessing.steps.band import Lacking
from neurofm.preprocessing.streaming import CausalStandardizer

from ..decoder import features
from ..decoder.embedding import of_recording
from ..decoder.labeled import sensors_of


@dataclass(frozen=True, eq=False)
class Center:
    """A person's mean feature."""

    value: Float[Tensor, " feature"]  # what is taken away from features
    windows: int  # windows, recordings: that it is the mean over
    recordings: tuple[str, ...]

    def doubt(self) -> list[str]:
        """What must be known where the mean is that of one recording."""
        if len(self.recordings) > 1:
            return []
        return ["Answers are relative to the average of this recording. If it holds mostly one "
                "state, they are wrong: name all recordings of the person with --center_on."]

    def in_words(self) -> str:
        names = ", ".join(Path(path).name for path in self.recordings[:4])
        more = f" and {len(self.recordings) - 4} more" if len(self.recordings) > 4 else ""
        return (f"Every window is compared with this person's average over {self.windows} windows "
                f"of {names}{more}. If these hold mostly one state, that state is taken for the "
                f"average, and answers are off: give recordings that hold all of them (center_on).")


@dataclass(frozen=True, eq=False)
class Seen:
    """What the head would see of each window of a recording, before re-centering; on the CPU."""

    sensors: Sensors
    pooled: Float[Tensor, "window *place feature"]


@torch.no_grad()
def seen(
    decoder: WindowDecoder, windows: Standardized | StandardizedScan, batch_windows: int
) -> Seen:
    """Of a recording as a whole."""
    device = next(decoder.parameters()).device
    return Seen(windows.sensors, torch.cat([decoder.pool(batch.to(device)).float().cpu()
                                            for batch in of_recording(windows, batch_windows)]))


@torch.no_grad()
def seen_live(decoder: WindowDecoder, recording: Recording, lacking: Lacking = "refuse") -> Seen:
    """Of the windows that a stream of this recording would have: filters that know only
    the past shift features a little, and the center with them."""
    standardizer = CausalStandardizer(recording, contract_of(decoder), lacking=lacking)
    contract = standardizer.contract
    device, parts = next(decoder.parameters()).device, []
    second = max(1, round(recording.sfreq))
    for start in range(0, recording.n_times, second):
        for window in standardizer.push(recording.signal[:, start : start + second]):
            if window.signal is not None:
                batch = collate([window.signal], [window.sensors], contract.geometry)
                parts.append(decoder.pool(batch.to(device)).float().cpu())
    if not parts:
        raise ValueError(f"{recording.source}: wanted at least one good window of "
                         f"{contract.window_s:g} s to center on, found none in "
                         f"{recording.duration_s:g} s; name another recording")
    return Seen(standardizer.sensors, torch.cat(parts))


def of(known: dict[str, Seen], sensors: Sensors) -> Center:
    """The center of a person for a recording with these sensors. known: path → what was seen of the
    person's recordings, by the same device; else ValueError."""
    other = [path for path, one in known.items() if not one.sensors.resembles(sensors)]
    if other:
        theirs = known[other[0]].sensors
        raise ValueError(f"center_on: {other[0]} has other sensors ({in_words(theirs)}) than what "
                         f"is decoded ({in_words(sensors)}), and another device sees the same "
                         f"person differently; name recordings of one device")
    together = torch.cat([one.pooled for one in known.values()])
    return Center(features.center(together), len(together), tuple(known))


def in_words(sensors: Sensors) -> str:
    """Such as "19 eeg (Fp1 … O2)"."""
    return f"{sensors_of(sensors)} ({sensors.names[0]} … {sensors.names[-1]})"


class Running:
    """A person's center while windows come in: the mean of theirs and of `prior_windows` that were
    the training people's mean."""

    def __init__(self, decoder: WindowDecoder, prior_windows: float):
        self.value, self.windows = decoder.center.clone(), prior_windows

    def after(self, pooled: Float[Tensor, "1 *place feature"]) -> Float[Tensor, " feature"]:
        """The center, now that this window has come too."""
        self.windows += 1
        self.value += (features.center(pooled) - self.value) / self.windows
        return self.value

    def in_words(self) -> str:
        return ("Every window was compared with this person's average over the windows up to it, "
                "in which at first the average of the training people counted for most: early "
                "answers rest on little of this person. Recordings given beforehand (center_on) "
                "do better.")
