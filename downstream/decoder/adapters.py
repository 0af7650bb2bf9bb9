"""Low-rank adapters: small changes of a frozen transformer's matrices, merged once trained.

Source: LoRA (Hu et al. 2021, arXiv 2106.09685) and DoRA (Liu et al. 2024, arXiv 2402.09353), by
peft. What is saved is the merged model, so a checkpoint loads without peft and runs as fast as
before.
"""

import torch
from torch import nn

from neurofm import extras
from neurofm.models.decoder import Decoder


def attach(decoder: Decoder) -> None:
    """Put adapters of rank `config.rank` beside every matrix that the features depend on."""
    peft = extras.need("peft", "a decoder with adapters")

    used = decoder.backbone.used(decoder.config.pool)
    inside = {id(module) for part in used for module in part.modules()}
    names = [name for name, module in decoder.backbone.named_modules()
             if isinstance(module, nn.Linear) and id(module) in inside]
    config = peft.LoraConfig(
        r=decoder.config.rank, lora_alpha=2 * decoder.config.rank, target_modules=names,
        use_dora=decoder.config.mode == "dora", bias="none",
    )
    peft.inject_adapter_in_model(config, decoder.backbone)


@torch.no_grad()
def merge(decoder: Decoder) -> None:
    """Add what was learned to the matrices themselves, and take the adapters out."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(decoder.backbone.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            parent, _, last = name.rpartition(".")
            setattr(decoder.backbone.get_submodule(parent), last, module.get_base_layer())
    decoder.choose_trainable()
