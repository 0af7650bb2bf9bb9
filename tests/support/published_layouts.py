"""Weights as others published them, drawn at random: loading is tested without the real ones.

published_layouts.json has the configs of the reference outputs and, of each tensor of their
weights, its shape, mean and standard deviation; masks and rotary frequencies, which are no weights,
are in published_masks.npz. Made by `python -m tests.support.published_layouts GOLDEN`.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
LAYOUTS, MASKS = HERE / "published_layouts.json", HERE / "published_masks.npz"
SYSTEMS = ("brainomni", "labram", "neurobolt", "meg_gpt")


def write(system: str, folder: Path) -> Path:
    """A folder as the reference's own: configs and weights.safetensors. The same every time."""
    layout, masks = json.loads(LAYOUTS.read_text())[system], np.load(MASKS)
    folder.mkdir(parents=True)
    for name, settings in layout["configs"].items():
        (folder / name).write_text(json.dumps(settings))
    random = torch.Generator().manual_seed(0)
    weights = {}
    for name, (shape, mean, std) in layout["tensors"].items():
        if mean is None:
            weights[name] = torch.from_numpy(masks[f"{system}/{name}"])
            continue
        if name.endswith(".pe"):
            weights[name] = sines(*shape[-2:]).reshape(shape)
            continue
        value = torch.randn(shape, generator=random) * std + mean
        weights[name] = value.abs() if "running_var" in name or "cluster_size" in name else value
    save_file(weights, folder / "weights.safetensors")
    return folder


def sines(n: int, dim: int) -> torch.Tensor:
    """The positional encoding of Vaswani et al. 2017."""
    angle = torch.arange(n)[:, None] * torch.exp(
        torch.arange(0, dim, 2) * -(math.log(10_000.0) / dim))
    table = torch.zeros(n, dim)
    table[:, 0::2], table[:, 1::2] = angle.sin(), angle.cos()
    return table


def measure(golden: Path) -> None:
    """Write both files from the reference outputs."""
    layouts, masks = {}, {}
    for system in SYSTEMS:
        tensors = {}
        for name, value in load_file(golden / system / "weights.safetensors").items():
            if value.dtype != torch.float32 or name.endswith(".freqs"):
                masks[f"{system}/{name}"] = value.numpy()
                tensors[name] = [list(value.shape), None, None]
                continue
            mean, std = value.mean().item(), value.std(unbiased=False).item()
            tensors[name] = [list(value.shape), round(mean, 4), round(std, 4)]
        configs = {path.name: json.loads(path.read_text()) for path in (golden / system).glob(
            "*.json") if path.name != "metrics.json"}
        layouts[system] = {"configs": configs, "tensors": tensors}
    lines = json.dumps(layouts, indent=None, separators=(",", ":")).replace("],", "],\n")
    LAYOUTS.write_text(lines + "\n")
    np.savez_compressed(MASKS, **masks)


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
