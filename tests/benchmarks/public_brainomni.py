"""The public BrainOmni code, run beside ours: `BRAINOMNI_REPO` names a checkout of it.

It is imported as it stands; what it wants besides torch (DeepSpeed, einx) is not needed for one
process, and stands in as an empty module where it is not installed.
"""

import importlib
import json
import os
import sys
import tempfile
import types
from pathlib import Path

import torch
from torch import nn

from neurofm.models.brainomni import BrainOmni
from neurofm.published import brainomni as published

SIZES = {
    "window_length": 512, "n_filters": 32, "ratios": [8, 4, 2], "kernel_size": 5,
    "last_kernel_size": 5, "n_dim": 256, "n_head": 4, "n_neuro": 16, "dropout": 0.0,
    "codebook_dim": 256, "codebook_size": 512, "num_quantizers": 4, "rotation_trick": True,
    "quantize_optimize_method": "ema", "overlap_ratio": 0.25, "lm_dim": 256, "lm_head": 8,
    "lm_depth": 12, "lm_dropout": 0.1, "mask_ratio": 0.5, "num_quantizers_used": 4,
}


def checkout() -> Path | None:
    """Where `BRAINOMNI_REPO` points."""
    named = os.environ.get("BRAINOMNI_REPO", "")
    return Path(named) if named else None


def model(folder: Path) -> nn.Module:
    """The public BrainOmni-tiny with random weights; codes are random unit vectors, started."""
    for name, found in (("deepspeed.comm", {"is_initialized": lambda: False}),
                        ("einx", {"get_at": None})):
        try:
            importlib.import_module(name)
        except ImportError:
            for end in range(1, name.count(".") + 2):
                part = ".".join(name.split(".")[:end])
                sys.modules[part] = types.ModuleType(part)
            vars(sys.modules[name]).update(found)
            if "." in name:
                parent, child = name.rsplit(".", 1)
                setattr(sys.modules[parent], child, sys.modules[name])
    sys.path.insert(0, str(folder))
    made = importlib.import_module("brainomni.model").BrainOmni(**SIZES)
    with torch.no_grad():
        for layer in made.tokenizer.quantizer.rvq.layers:
            book = layer._codebook
            book.embed.normal_().div_(book.embed.norm(dim=1, keepdim=True))
            book.embed_avg.copy_(book.embed * 5)
            book.cluster_size.fill_(5)
            book.inited.fill_(1)
    return made


def ours(public: nn.Module) -> BrainOmni:
    """Our BrainOmni with the weights of the public one, by the way that `neurofm import` takes."""
    with tempfile.TemporaryDirectory() as folder:
        config, weights = Path(folder, "model_cfg.json"), Path(folder, "BrainOmni.pt")
        config.write_text(json.dumps(SIZES))
        torch.save(public.state_dict(), weights)
        found = published.read(config, weights)
    assert isinstance(found, BrainOmni)
    return found
