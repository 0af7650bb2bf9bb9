"""Whose mean a re-centring decoder takes away; no label is needed for it.

Such a decoder compares a window with its person's others. They come from recordings: the one that
is decoded, or those of the same person that are named. In a stream they are the windows that have
come so far, and at first the training people's mean counts for most.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from neurofm.data.batch import collate
from neurofm.data.recording import Recording
from neurofm.models.decoder import Decoder
from preprocessing.standardize import Standardized
from preprocessing.streaming import CausalStandardizer

from .. import features
from ..embed import of_recording


@dataclass(frozen=True, eq=False)
class Centre:
    """value: what is taken away from features. windows, recordings: that it is the mean over."""

    value: Float[Tensor, " feature"]
    windows: int
    recordings: tuple[str, ...]

    def in_words(self) -> str:
        names = ", ".join(Path(path).name for path in self.recordings[:4])
        more = f" and {len(self.recordings) - 4} more" if len(self.recordings) > 4 else ""
        return (f"Every window is compared with this person's average over {self.windows} windows "
                f"of {names}{more}. If these hold mostly one state, that state is taken for the "
                f"average, and answers are off: give recordings that hold all of them (centre_on).")


@torch.no_grad()
def pooled(decoder: Decoder, windows: Standardized, batch_windows: int) -> Tensor:
    """What the head would see of each window of a recording, before re-centring; on the CPU."""
    device = next(decoder.parameters()).device
    return torch.cat([decoder.pool(batch.to(device)).float().cpu()
                      for batch in of_recording(windows, batch_windows)])


@torch.no_grad()
def pooled_live(decoder: Decoder, recording: Recording) -> Tensor:
    """The same of the windows that a stream of this recording would have: filters that know only
    the past shift features a little, and the centre with them."""
    standardizer = CausalStandardizer(recording, decoder.contract)
    device, parts = next(decoder.parameters()).device, []
    second = max(1, round(recording.sfreq))
    for start in range(0, recording.n_times, second):
        for window in standardizer.push(recording.signal[:, start : start + second]):
            if window.signal is not None:
                batch = collate([window.signal], [window.sensors], decoder.contract.geometry)
                parts.append(decoder.pool(batch.to(device)).float().cpu())
    if not parts:
        raise ValueError(f"{recording.source}: wanted at least one good window of "
                         f"{decoder.contract.window_s:g} s to centre on, found none in "
                         f"{recording.duration_s:g} s; name another recording")
    return torch.cat(parts)


def of(seen: dict[str, Tensor]) -> Centre:
    """The centre of a person. seen: recording → what `pooled` gives of it."""
    together = torch.cat(list(seen.values()))
    return Centre(features.centre(together), len(together), tuple(seen))


class Running:
    """A person's centre while windows come in: the mean of theirs and of `prior_windows` that were
    the training people's mean."""

    def __init__(self, decoder: Decoder, prior_windows: float):
        self.value, self.windows = decoder.head.centre.clone(), prior_windows

    def after(self, pooled: Float[Tensor, "1 *place feature"]) -> Float[Tensor, " feature"]:
        """The centre, now that this window has come too."""
        self.windows += 1
        self.value += (features.centre(pooled) - self.value) / self.windows
        return self.value

    def in_words(self) -> str:
        return ("Every window was compared with this person's average over the windows up to it, "
                "in which at first the average of the training people counted for most: early "
                "answers rest on little of this person. Recordings given beforehand (centre_on) "
                "do better.")
