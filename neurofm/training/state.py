"""Everything that a run needs to go on as if it had never stopped, without pickle.

    state/step-00001000/
      model.safetensors        parameters and buffers (codebooks, their counts …)
      optimizer.safetensors    moments, as 'parameter name/moment'
      random-RANK.safetensors  torch's generators of each process
      manifest.json            written last; holds what the log had gathered since its last line,
                               and what the guard against spikes has seen

Tensors are whole on disk, what FSDP has cut is gathered when it is saved; or each process writes
its own part (`sharded`). Either is cut again when it is loaded, so a state goes on under any
wrapper and on any number of processes.
"""

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from .. import artifacts
from . import sampler

SHARDS = "shards"  # folder in a state whose processes wrote their own parts
_DIGEST = "sha256"  # in the header of weights that no manifest lists
_AGAIN = "delete the folder that it is in and run the same command again"


def save(
    folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer,
    accelerator: Accelerator, *, keep: int, log: dict | None = None, guard: dict | None = None,
    also: Collection[int] = (),
) -> Path:
    """Save after `step` finished steps; the newest `keep` states and those of the steps in `also`
    stay. Every process takes part.

    model: the module itself, not its DDP or compiled wrapper. log: see `Log.gathered`. guard: see
    `spikes.Guard.saved`.
    """
    target, main = begun(folder, step, accelerator), accelerator.is_main_process
    for name, tensors in (("model", model.state_dict()),
                          ("optimizer", moments_of(model, optimizer))):
        whole = _whole(tensors, keep=main)
        if main:
            write(whole, target / f"{name}.safetensors")
    accelerator.wait_for_everyone()
    if main:
        seal(folder, target, step, keep=keep, log=log, guard=guard, also=also)
    accelerator.wait_for_everyone()
    return target


def begun(folder: Path, step: int, accelerator: Accelerator) -> Path:
    """The folder of a new state, with the generators of each process. Every process takes part."""
    target = folder / f"step-{step:08d}"
    if accelerator.is_main_process:
        remove(target)  # of an earlier attempt that was killed, perhaps on more processes
        target.mkdir(parents=True)
    accelerator.wait_for_everyone()
    write(_random_state(), target / f"random-{accelerator.process_index}.safetensors")
    accelerator.wait_for_everyone()
    return target


def moments_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments, as 'parameter name/moment'."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def seal(folder: Path, target: Path, step: int, *, keep: int, log: dict | None,
         guard: dict | None, also: Collection[int]) -> None:
    """Declare a state complete, and remove those that need not stay. By the main process."""
    files = [str(path.relative_to(target)) for path in target.rglob("*.safetensors")]
    artifacts.seal(target, "state", files=files, code=False,
                   config={"step": step, "log": log or {}, "guard": guard or {},
                           "order": sampler.KIND})
    staying = finished(folder)[-keep:]
    for old in folder.glob("step-*"):
        if old not in staying and step_of(old) not in also:
            remove(old)


def begin(folder: Path, step: int, weights: dict[str, Tensor]) -> None:
    """Write a state after `step` steps that has weights alone: the optimizer begins anew. By one
    process."""
    target = folder / f"step-{step:08d}"
    remove(target)
    target.mkdir(parents=True)
    write({name: value.contiguous().clone() for name, value in weights.items()},
           target / "model.safetensors")
    write({}, target / "optimizer.safetensors")
    artifacts.seal(target, "state", files=["model.safetensors", "optimizer.safetensors"],
                   config={"step": step, "log": {}, "guard": {}, "weights_alone": True,
                           "order": sampler.KIND}, code=False)


def weights_alone(state: Path) -> bool:
    """Whether `begin` wrote it."""
    return artifacts.open_sealed(state, "state").config.get("weights_alone", False)


def finished(folder: Path) -> list[Path]:
    """Complete states, oldest first."""
    return sorted(path for path in folder.glob("step-*") if artifacts.is_sealed(path))


def step_of(state: Path) -> int:
    """Steps that were finished when a state was saved."""
    return int(state.name.removeprefix("step-"))


def newest(folder: Path, accelerator: Accelerator, say=print, at_most: int | None = None
           ) -> Path | None:
    """The newest state (of step `at_most` or before, if given) whose files are as they were
    written: a machine that went down may have left damaged ones. Decided by the main process, for
    all."""
    found: list[Path | None] = [None]
    if accelerator.is_main_process:
        complete = [state for state in finished(folder)
                    if at_most is None or step_of(state) <= at_most]
        for state in reversed(complete):
            try:
                artifacts.open_sealed(state, "state", hashes=True)
            except artifacts.ArtifactError as problem:
                say(f"{problem}; looking for an older state")
            else:
                found = [state]
                break
        else:
            if complete:
                say("no valid state is left: starting from the beginning")
    return broadcast_object_list(found)[0]


def load(
    state: Path, model: nn.Module, optimizer: torch.optim.Optimizer, accelerator: Accelerator
) -> tuple[int, dict, dict]:
    """Put a state back; returns the number of finished steps, and `log` and `guard` as they were
    saved. Raises ArtifactError where the run was begun with another order of the data."""
    saved = artifacts.open_sealed(state, "state").config
    if saved.get("order") != sampler.KIND:
        raise artifacts.ArtifactError(
            f"{state} was saved by an earlier version of neurofm, which took windows in another "
            f"order, so this run cannot be continued exactly: finish it with the version that "
            f"began it, or train into another folder")
    if is_sharded(state):
        from . import sharded

        sharded.load(state, model, optimizer)
    else:
        _load_whole(state, model, optimizer)
    own = state / f"random-{accelerator.process_index}.safetensors"
    if own.exists():  # absent when resumed on more processes; windows carry seeds of their own
        _set_random_state(load_file(own))
    return saved["step"], saved["log"], saved.get("guard", {})


def is_sharded(state: Path) -> bool:
    """Whether processes wrote their own parts of it."""
    return (state / SHARDS).is_dir()


def load_model(state: Path, model: nn.Module) -> None:
    """Put the weights of a state into a model."""
    if is_sharded(state):
        from . import sharded

        sharded.load(state, model)
    else:
        load_weights(state / "model.safetensors", model)


def _load_whole(state: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    load_weights(state / "model.safetensors", model)
    moments: dict[str, dict[str, Tensor]] = {}
    for name, value in load_file(state / "optimizer.safetensors").items():
        parameter, _, key = name.rpartition("/")
        moments.setdefault(parameter, {})[key] = value
    optimizer.state.clear()
    for name, parameter in model.named_parameters():
        if name in moments:  # absent where a parameter has never had a gradient
            optimizer.state[parameter] = {
                key: (value.to(parameter.device) if key == "step"
                      else _put(torch.empty_like(parameter), value))
                for key, value in moments[name].items()
            }


def save_weights(path: Path, model: nn.Module, accelerator: Accelerator) -> None:
    """Write the weights alone, with their digest; the file appears when it is complete. Every
    process takes part."""
    weights = _whole(model.state_dict(), keep=accelerator.is_main_process)
    if accelerator.is_main_process:
        temporary = path.with_name(f".{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(weights, temporary, {_DIGEST: digest_of(weights)})
        temporary.replace(path)
    accelerator.wait_for_everyone()


def load_weights(path: Path, model: nn.Module) -> None:
    """Put weights back that `save` or `save_weights` wrote; all must be there, and no others.
    Raises ArtifactError where those of `save_weights` are not what it wrote."""
    stored, own = read_weights(path), model.state_dict()
    check_same(path, *({name: list(value.shape) for name, value in each.items()}
                       for each in (stored, own)))
    for name, tensor in own.items():
        _put(tensor, stored[name])


def check_same(path: Path, stored: dict[str, list[int]], own: dict[str, list[int]]) -> None:
    """Raise ValueError where names or shapes differ."""
    if stored.keys() != own.keys():
        raise ValueError(f"{path} is of another architecture: only one of the two has "
                         f"{sorted(stored.keys() ^ own.keys())[:5]}; train into another folder")
    for name, shape in own.items():
        if stored[name] != shape:
            raise ValueError(f"{path} is of another architecture: {name} is {stored[name]}, wanted "
                             f"{shape}; train into another folder")


def read_weights(path: Path) -> dict[str, Tensor]:
    """What `save` or `save_weights` wrote. Raises ArtifactError where it is damaged: of a state
    its manifest tells, of weights alone the digest in their file."""
    try:
        with safe_open(path, "pt") as file:
            told = (file.metadata() or {}).get(_DIGEST)
        stored = load_file(path)
    except (SafetensorError, OSError) as problem:
        raise artifacts.ArtifactError(f"{path}: cannot be read ({problem}); {_AGAIN}") from problem
    if told is not None and told != digest_of(stored):
        raise artifacts.ArtifactError(f"{path}: is damaged, its weights are not those that were "
                                      f"written; {_AGAIN}")
    return stored


def digest_of(weights: dict[str, Tensor]) -> str:
    """sha256 of names, types, shapes and values."""
    found = hashlib.sha256()
    for name, value in sorted(weights.items()):
        found.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        found.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def put(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy some weights, given by name, into a model. Raises ValueError for one that it lacks or
    has in another shape."""
    own = model.state_dict()
    for name, value in weights.items():
        if name not in own or own[name].shape != value.shape:
            raise ValueError(f"wanted weights that the model has; {name} {list(value.shape)} came, "
                             f"it has {list(own[name].shape) if name in own else 'none'} there")
    for name, value in weights.items():
        _put(own[name], value)


def _whole(tensors: dict[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """The tensors on the CPU, what is cut gathered: every process takes part, not all `keep` it."""
    found = {}
    for name, tensor in tensors.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if keep:
            found[name] = full.detach().cpu().contiguous()
    return found


@torch.no_grad()
def _put(tensor: Tensor, value: Tensor) -> Tensor:
    """Copy `value` into `tensor`, or this process's part of it."""
    if isinstance(tensor, DTensor):
        value = distribute_tensor(
            value.to(tensor.device), tensor.device_mesh, tensor.placements
        )
    return tensor.copy_(value)


def write(tensors: dict[str, Tensor], path: Path, about: dict[str, str] | None = None) -> None:
    """Write, for the group too, and wait until the disk has it."""
    try:
        save_file(tensors, path, metadata=about)
    except SafetensorError as problem:  # such as a full disk; it does not say which file
        raise OSError(f"{path} could not be written: {problem}") from problem
    artifacts.share(path)
    artifacts.flush(path)


def remove(state: Path) -> None:
    """Delete a state. Unseal first: a half-removed state must not look finished."""
    if state.exists():
        artifacts.unseal(state)
        shutil.rmtree(state)


def _random_state() -> dict[str, Tensor]:
    states = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _set_random_state(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
