"""A `Stacked` decoder of labeled windows: what `neurofm finetune` trains by itself.

It learns from the training and the validation people. All that is chosen is chosen by folds over
them, so nobody has to be kept for that.
"""

import copy
from dataclasses import dataclass

import numpy as np

from neurofm.models.protocol import Backbone
from neurofm.models.stacked import Stacked

from .features import InMemory
from .labeled import Labeled
from .stack import Judged, fit_stack
from .stacked_build import build_stacked, measure

LEARNED = ("The decoder learned from training and validation subjects: penalties and weights are "
           "chosen by folds over them. Test subjects had no part in it.")
APART = ("Measured on the validation subjects with the same decoder fitted again on the training "
         "subjects alone, because the decoder itself has learned from validation subjects.")


@dataclass(frozen=True, eq=False)
class Trained:
    """A decoder, and what its windows measure."""

    model: Stacked
    judged: list[Judged]
    learned: np.ndarray  # training windows, ascending
    pooled: InMemory


def train(
    data: Labeled, backbone: Backbone | None = None, *, views: tuple[str, ...] = (), seed: int = 0,
    batch_windows: int = 16, device="cpu",
) -> Trained:
    """Build, measure all windows once, fit.

    views: names; none = all that fit the data.
    """
    learned = np.union1d(data.windows["train"], data.windows["validation"])
    model = build_stacked(data, learned, backbone, views=views)
    pooled = measure(model, data, data.all, batch_windows=batch_windows, device=device)
    return Trained(model.to("cpu"), _fit(model, data, pooled, learned, seed), learned, pooled)


def without_validation(found: Trained, data: Labeled, seed: int) -> Stacked:
    """The same fitted on the training people alone: for questions that only people whom a decoder
    has not learned from can answer, without a look at the test."""
    model = copy.deepcopy(found.model)
    _fit(model, data, found.pooled, data.windows["train"], seed)
    return model


def _fit(model, data, pooled, windows, seed) -> list[Judged]:
    table = data.corpus.windows.iloc[windows]
    return fit_stack(model.to("cpu"), pooled, windows, table["recording"].to_numpy(),
                     table["start_s"].to_numpy(), seed=seed, say=lambda text: None)
