"""Everything that a run needs to go on as if it had never stopped, without pickle.

    state/step-00001000/
      model.safetensors        parameters and buffers (codebooks, their counts …)
      optimizer.safetensors    moments, by parameter name: the same for one process, DDP and FSDP
      random-RANK.safetensors  torch, CUDA, numpy and Python generators of each process
      manifest.json            written last
"""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from .. import artifacts

_FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)


def save(folder: Path, step: int, model, optimizer, accelerator, keep: int) -> Path:
    """Save after `step` finished steps; the newest `keep` states stay."""
    target = folder / f"step-{step:08d}"
    target.mkdir(parents=True, exist_ok=True)
    weights = get_model_state_dict(model, options=_FULL)
    moments = get_optimizer_state_dict(model, optimizer, options=_FULL)
    save_file(_random_state(), target / f"random-{accelerator.process_index}.safetensors")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        save_file({k: v.contiguous().clone() for k, v in weights.items()},
                  target / "model.safetensors")
        tensors, scalars = _flatten(moments)
        save_file(tensors, target / "optimizer.safetensors",
                  metadata={"scalars": json.dumps(scalars)})
        files = sorted(p.name for p in target.glob("*.safetensors"))
        artifacts.seal(target, "state", config={"step": step}, files=files)
        for old in sorted(finished(folder))[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return target


def finished(folder: Path) -> list[Path]:
    """Complete states, oldest first."""
    return sorted(p for p in folder.glob("step-*") if artifacts.is_sealed(p))


def load(target: Path, model, optimizer, accelerator) -> int:
    """Put a state back; returns the number of finished steps."""
    manifest = artifacts.open_sealed(target, "state", hashes=True)
    set_model_state_dict(model, load_file(target / "model.safetensors"), options=_FULL)
    moments = _unflatten(target / "optimizer.safetensors")
    set_optimizer_state_dict(model, optimizer, moments, options=_FULL)
    own = target / f"random-{accelerator.process_index}.safetensors"
    if own.exists():  # absent when resumed on more processes: windows carry their own seeds
        _set_random_state(load_file(own))
    return manifest.config["step"]


def _flatten(moments: dict) -> tuple[dict[str, torch.Tensor], dict]:
    """Optimiser state → tensors by 'parameter/name', and the scalar settings of the groups."""
    tensors = {
        f"{parameter}/{name}": value.contiguous().clone()
        for parameter, entry in moments["state"].items()
        for name, value in entry.items()
    }
    return tensors, {"param_groups": moments["param_groups"]}


def _unflatten(path: Path) -> dict:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        scalars = json.loads(file.metadata()["scalars"])
        state: dict[str, dict] = {}
        for key in file.keys():  # noqa: SIM118 (a safetensors file is not a dictionary)
            parameter, _, name = key.rpartition("/")
            state.setdefault(parameter, {})[name] = file.get_tensor(key)
    return {"state": state, **scalars}


def _random_state() -> dict[str, torch.Tensor]:
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    assert kind == "MT19937"
    python = random.getstate()
    tensors = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(keys.astype(np.int64)),
        "numpy_rest": torch.tensor([position, has_gauss, gauss], dtype=torch.float64),
        "python": torch.tensor(python[1], dtype=torch.int64),
    }
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    return tensors


def _set_random_state(tensors: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(tensors["torch"])
    position, has_gauss, gauss = tensors["numpy_rest"].tolist()
    keys = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))  # noqa: NPY002
    random.setstate((3, tuple(tensors["python"].tolist()), None))
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
