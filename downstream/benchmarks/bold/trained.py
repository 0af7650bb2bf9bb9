"""Networks: ours, whose read-out is solved on the training part; one trained by the one loop, its
step chosen by the validation loss.

    OUT/models/ours         a checkpoint of neurobolt_sequence, as `neurofm.load` opens it
    OUT/models/cnn          chosen.safetensors
    …/cnn_1, …              of further seeds

A training that was interrupted is continued; one that has finished is read back.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from neurofm import artifacts, checkpoints
from neurofm.data.scans import Scans
from neurofm.models.neurobolt_sequence import NeuroBOLTSequence, NeuroBOLTSequenceConfig
from neurofm.training import state
from neurofm.training.loop import CHOSEN, TrainConfig, accelerator_for, train

from ...protocol.scans import Part, Roles
from .channels import CommonScans
from .cnn import FrameConvNet

_AT_ONCE = 4  # scans in memory


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network and the scans as it reads them."""

    model: nn.Module
    reads: Callable[[Part], Scans]

    @torch.no_grad()
    def predict(self, part: Part, scan: int) -> Float[np.ndarray, "volume roi"]:
        """Values of regions at the volumes that count."""
        device = next(self.model.parameters()).device
        batch = self.reads(part).batch(np.array([scan])).to(device)
        first, last = part.bounds(scan)
        found = self.model.eval().predict(batch)[0, first:last]
        return found.double().cpu().numpy()


def as_they_are(part: Part) -> Scans:
    return part.data


def ours(
    roles: Roles, architecture: dict, tokenizer, parents: dict[str, str], folder: Path, say=print,
) -> Network:
    """NeuroBOLTSequence, its read-out solved on the training scans, left in `folder` as a
    checkpoint. tokenizer: a BrainTokenizer whose features it reads besides, or None. parents:
    fingerprints of what it is made from."""
    if artifacts.is_sealed(folder):
        return Network(checkpoints.load(folder), as_they_are)
    data, scans = roles.train.data, roles.train.scans
    shape = NeuroBOLTSequenceConfig(**architecture).knowing(data, scans)
    model = NeuroBOLTSequence(shape, tokenizer=tokenizer).eval()
    say(model.finish(data.batch(scans[k : k + _AT_ONCE]) for k in range(0, len(scans), _AT_ONCE)))
    model.contract = data.contract.for_networks()
    checkpoints.save_checkpoint(
        model, folder, parents=parents, ledger=checkpoints.training_ledger(data, {"train": scans}),
        metrics={}, config={"architecture": architecture, "protocol": roles.kind},
    )
    return Network(model, as_they_are)


@dataclass(frozen=True, eq=False)
class OneByOne:
    """A model for each region, none of which knows of the others."""

    models: list[Network]

    def predict(self, part: Part, scan: int) -> Float[np.ndarray, "volume roi"]:
        """Values of regions at the volumes that count."""
        return np.concatenate([model.predict(part, scan) for model in self.models], axis=1)


def one_by_one(roles: Roles, architecture: dict, say=print) -> OneByOne:
    """NeuroBOLTSequence for each region by itself, each with a penalty of its own."""
    data, scans, found = roles.train.data, roles.train.scans, []
    for k, name in enumerate(data.pairs.rois.names):
        shape = NeuroBOLTSequenceConfig(**architecture).knowing(data, scans).to_dict()
        model = NeuroBOLTSequence(NeuroBOLTSequenceConfig(**{**shape, "rois": (name,)})).eval()
        batches = (data.batch(scans[at : at + 1]) for at in range(len(scans)))
        say(f"{name}: " + model.finish(replace(batch, target=batch.target[..., k : k + 1])
                                       for batch in batches))
        found.append(Network(model, as_they_are))
    return OneByOne(found)


def cnn(
    roles: Roles, names: list[str], settings: TrainConfig, folder: Path, say=print
) -> Network:
    """The convolutional baseline over the channels of these names."""
    data = roles.train.data

    def build() -> FrameConvNet:
        return FrameConvNet(len(names), len(data.pairs.rois), data.contract.sfreq)

    def reads(part: Part) -> Scans:
        return CommonScans(part.data.pairs, part.data.parts, part.data._targets, tuple(names))

    if (folder / CHOSEN).exists():
        model = build()
        state.load_weights(folder / CHOSEN, model)
        return Network(_placed(model, settings, folder), reads)
    model = _fit(build, roles, reads, settings, folder, say)
    accelerator = accelerator_for(settings, folder)
    state.save_weights(folder / CHOSEN, model, accelerator)
    shutil.rmtree(folder / "state", ignore_errors=True)
    return Network(model, reads)


def _fit(
    build: Callable[[], nn.Module], roles: Roles, reads: Callable[[Part], Scans],
    settings: TrainConfig, folder: Path, say,
) -> nn.Module:
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():  # what is drawn later does not depend on what was trained
        torch.manual_seed(settings.seed)
        accelerator = accelerator_for(settings, folder)
        try:
            return train(
                build(), reads(roles.train), roles.train.scans, settings, folder, accelerator,
                validation=(reads(roles.validation), roles.validation.scans), choose="val/loss",
                say=say,
            ).eval()
        finally:
            accelerator.end_training()


def _placed(model: nn.Module, settings: TrainConfig, folder: Path) -> nn.Module:
    return model.to(accelerator_for(settings, folder).device)


def of_seed(settings: TrainConfig, number: int) -> TrainConfig:
    """The same training from other random weights."""
    return replace(settings, seed=settings.seed + number)
