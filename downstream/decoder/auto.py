"""A `Stacked` decoder of labeled windows: what `neurofm finetune` trains by itself.

It learns from the training and the validation people. All that is chosen is chosen by folds over
them, so nobody has to be kept for that.
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from neurofm.models.protocol import Backbone
from neurofm.models.stacked import Stacked

from .features import InMemory, OfCorpus
from .kept import Kept
from .labeled import Labeled
from .stack import Judged, fit_stack
from .stacked_build import build_stacked, measure

LEARNED = ("The decoder learned from training and validation subjects: penalties and weights are "
           "chosen by folds over them. Test subjects had no part in it.")
APART = ("Measured on the validation subjects with the same decoder fitted again on the training "
         "subjects alone, because the decoder itself has learned from validation subjects.")

TOGETHER = 16  # batches that are kept as one piece


@dataclass(frozen=True, eq=False)
class Trained:
    """A decoder, and what its windows measure."""

    model: Stacked
    judged: list[Judged]
    learned: np.ndarray  # training windows, ascending
    pooled: InMemory
    keep: Path | None  # folder of unfinished work


def train(
    data: Labeled, backbone: Backbone | None = None, *, views: tuple[str, ...] = (), seed: int = 0,
    batch_windows: int = 16, device="cpu", keep: Path | None = None,
) -> Trained:
    """Build, measure all windows once, fit.

    views: names; none = all that fit the data. keep: where what is found stays until the work is
    done, so that it is not found again after an interruption.
    """
    learned = np.union1d(data.windows["train"], data.windows["validation"])
    model = build_stacked(data, learned, backbone, views=views, everybody=data.all)
    pooled = _measured(model, data, batch_windows, device, keep)
    judged = _fit(model.to("cpu"), data, pooled, learned, seed, keep)
    return Trained(model, judged, learned, pooled, keep)


def without_validation(found: Trained, data: Labeled, seed: int) -> Stacked:
    """The same fitted on the training people alone: for questions that only people whom a decoder
    has not learned from can answer, without a look at the test."""
    model = copy.deepcopy(found.model)
    _fit(model, data, found.pooled, data.windows["train"], seed, found.keep)
    return model


def _measured(
    model: Stacked, data: Labeled, batch_windows: int, device, keep: Path | None
) -> InMemory:
    """What all windows measure, found in pieces."""
    windows, size = data.all, TOGETHER * batch_windows
    known = {} if keep is None else Kept(keep, *_decisive(model), data.corpus.fingerprint, windows,
                                         batch_windows)
    for start in range(0, len(windows), size):
        if (name := f"measured-{start}") not in known:
            found = measure(model, data, windows[start : start + size],
                            batch_windows=batch_windows, device=device)
            known[name] = found.values.numpy()
    values = torch.from_numpy(np.concatenate([known[f"measured-{start}"] for start in
                                              range(0, len(windows), size)]))
    assert model.contract is not None
    return OfCorpus(data.corpus, windows, data.target, model.contract.geometry).with_(values)


def _fit(model, data, pooled, windows, seed, keep) -> list[Judged]:
    table = data.corpus.windows.iloc[windows]
    known = None if keep is None else Kept(
        keep, *_decisive(model), data.corpus.fingerprint, windows, pooled.target.numpy(), seed)
    return fit_stack(model, pooled, windows, table["recording"].to_numpy(),
                     table["start_s"].to_numpy(), seed=seed, outputs_of=known,
                     say=lambda text: None)


def _decisive(model: Stacked) -> list:
    """What of a decoder that is not fitted decides what it measures. The pretrained model is one of
    the run's parents, which the folder is claimed for."""
    return [model.config.to_json_string(), *(each.cpu().numpy() for each in (
        model.geometry, model.basis, model.least))]
