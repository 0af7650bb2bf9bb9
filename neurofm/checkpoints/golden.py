"""Golden outputs: what a checkpoint answers to a made-up recording, so that whoever loads it can
see that it still answers the same.

    golden.safetensors    the outputs; inputs are made anew from the contract

The inputs are noise with the spectrum of a brain at electrodes, coils or regions that the contract
allows: nobody's recording.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .. import artifacts
from ..pretrained import NeuroFMPreTrainedModel

FILE = "golden.safetensors"
TOLERANCE = 1e-4  # of the largest output


class GoldenMismatch(ValueError):
    """A checkpoint does not answer as it did when it was published."""


@torch.no_grad()
def answers(model: NeuroFMPreTrainedModel) -> dict[str, Tensor]:
    """Outputs of a model in evaluation mode on its made-up input."""
    model.eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model.answer(model.example())


def save(model: NeuroFMPreTrainedModel, folder: Path) -> None:
    save_file(answers(model), folder / FILE)
    artifacts.share(folder / FILE)


def check(model: NeuroFMPreTrainedModel, folder: Path) -> None:
    """Raise GoldenMismatch where the model does not answer as the file says."""
    expected, found = load_file(folder / FILE), answers(model)
    if expected.keys() != found.keys():
        raise GoldenMismatch(f"{folder / FILE}: wanted {', '.join(sorted(expected))}, the model "
                             f"gives {', '.join(sorted(found))}")
    for name, value in expected.items():
        if value.shape != found[name].shape:
            raise GoldenMismatch(f"{folder / FILE}: {name} was {list(value.shape)}, is "
                                 f"{list(found[name].shape)}")
        off = (value.double() - found[name].double()).abs().max().item()
        if not off <= TOLERANCE * max(1.0, value.double().abs().max().item()):
            raise GoldenMismatch(
                f"{folder / FILE}: {name} is off by {off:.3g}; the weights are not those that were "
                f"published, or this machine computes otherwise (torch {torch.__version__})")
