"""How a step is computed: in which precision, compiled or not, what is kept for the gradient; and
how processes part."""

import time
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from torch import nn

from ..nn.trainable import Trainable

if TYPE_CHECKING:
    from .loop import TrainConfig

_GLOO_S = 0.2  # pause of `end`


def precision_of(config: "TrainConfig", device: torch.device, model: nn.Module) -> str:
    """"bf16" or "float32": what "auto" is on this machine for this model."""
    if config.precision != "auto":
        return config.precision
    if device.type == "cpu":
        faster = isinstance(model, Trainable) and model.bf16_on_cpu and has_amx()
    else:
        faster = device.type == "cuda" and has_bf16(device)
    return "bf16" if faster else "float32"


def autocast(config: "TrainConfig", device: torch.device, model: nn.Module) -> torch.autocast:
    """Forward passes in bfloat16 where the run wants it.

    Not left to Accelerate, which casts differently under FSDP (weights, but not our batches) than
    elsewhere: this way one process, DDP and FSDP compute the same.
    """
    wanted = precision_of(config, device, model) == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16; a CPU without AMX does so slowly."""
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def has_amx() -> bool:
    """Whether this CPU multiplies matrices in bfloat16 by itself (Intel AMX)."""
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return supported is not None and supported()


def by_blocks(model: Trainable, config: "TrainConfig", accelerator: Accelerator) -> nn.Module:
    """The model as it is trained: its blocks compiled, if the run wants that, and computed again
    for the gradient, if it wants that.

    One block is compiled for each shape of its inputs and used for all of them, so it takes as
    long as for a model of one block. What draws, counts and chooses stays outside.
    """
    if accelerator.ddp_handler is not None:
        accelerator.ddp_handler.find_unused_parameters = not model.uses_all
    blocks = model.blocks_of_one_kind()
    if config.checkpointing:
        if not blocks:
            raise ValueError(f"train.checkpointing: a {type(model).__name__} has no blocks that "
                             f"could be computed again; leave it out")
        model.checkpointing = True
    wanted = accelerator.device.type == "cuda" if config.compile == "auto" else config.compile
    if not wanted:
        return model
    if not blocks:  # auto is for models whose compiled form is tested
        return model if config.compile == "auto" else torch.compile(model)
    for block in blocks:
        block.compile(dynamic=False)
    return model


def end(accelerator: Accelerator) -> None:
    """Close logs and leave the other processes.

    A moment later: Gloo's threads outlive their group where there was DDP, and one that lets go of
    the last exchange's tensors while the interpreter ends aborts the process, whose work was done
    (pytorch/pytorch, pull 179291).
    """
    accelerator.end_training()
    if accelerator.num_processes > 1:
        time.sleep(_GLOO_S)
