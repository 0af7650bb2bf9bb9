"""States that each process writes its own part of, while the training goes on.

    state/step-00001000/
      shards/shard-00001-….safetensors   parts of parameters, buffers and moments, as
                                         'model/NAME' and 'optimizer/NAME/MOMENT'; the header says
                                         where each part begins in its whole
      random-RANK.safetensors, manifest.json   as in a whole state (`state`)

By torch.distributed.checkpoint, in its safetensors form, which has no pickle. Tensors are copied to
the CPU, written by a thread, and the state is sealed once every process has written: killed before,
the state before it is the newest. What is read is put together for any number of processes.
"""

import threading
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from accelerate import Accelerator, DistributedType
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)

from . import state

if TYPE_CHECKING:
    from .loop import TrainConfig

SHARDS = state.SHARDS


class Saver:
    """Saves the states of a run, whole ones at once, sharded ones in the background.

    Parameters
    ----------
    folder
        Where the states are.
    model
        The module itself, not its wrapper.
    optimizer
        Its optimizer.
    accelerator
        Of the run; every process takes part.
    config
        keep and save are used.
    """

    def __init__(self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer,
                 accelerator: Accelerator, config: "TrainConfig"):
        self.folder, self.model, self.optimizer = folder, model, optimizer
        self.accelerator, self.keep = accelerator, config.keep
        fsdp = accelerator.distributed_type == DistributedType.FSDP
        self.sharded = config.save == "sharded" or (config.save == "auto" and fsdp)
        # A group of its own: what its thread exchanges never meets what the step exchanges. Also of
        # one process that a launcher has started: its own group may have GPUs alone.
        launched = self.sharded and dist.is_available() and dist.is_initialized()
        self._group = dist.new_group(backend="gloo") if launched else None
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # one process, as meant
        self._thread: threading.Thread | None = None
        self._problem: list[BaseException] = []

    def save(self, step: int, *, log: dict | None = None, guard: dict | None = None,
             also: Collection[int] = ()) -> Path:
        """Save after `step` finished steps, see `state.save`. A sharded state is there once `wait`
        has returned, or later without it."""
        if not self.sharded:
            return state.save(self.folder, step, self.model, self.optimizer, self.accelerator,
                              keep=self.keep, log=log, guard=guard, also=also)
        self.wait()
        target = state.begun(self.folder, step, self.accelerator)
        writing: Any = dcp.async_save(
            _tensors(self.model, self.optimizer),
            storage_writer=HuggingFaceStorageWriter(str(target / SHARDS), save_distributed=True),
            process_group=self._group)

        def seal() -> None:
            state.seal(self.folder, target, step, keep=self.keep, log=log, guard=guard, also=also)

        self._thread = threading.Thread(
            target=self._finish, args=(writing, seal if self.accelerator.is_main_process else None))
        self._thread.start()
        return target

    def wait(self) -> None:
        """Until what is being written is sealed. Raises what went wrong meanwhile."""
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        # All processes wait here for each other, and fail alike: only one may have a problem.
        if reasons := gather_object([_reason(problem) for problem in self._problem]):
            raise OSError(f"a state could not be written to {self.folder}: "
                          f"{'; '.join(dict.fromkeys(reasons))}")

    def close(self) -> None:
        """Until nothing is being written any more; `wait` still says what has become of it."""
        if self._thread is not None:
            self._thread.join()

    def _finish(self, writing: Any, seal: Callable[[], None] | None) -> None:
        try:
            writing.result()  # of the main process: all have written
            if seal is not None:
                seal()
        except BaseException as problem:
            self._problem.append(problem)


def _reason(problem: BaseException) -> str:
    if isinstance(problem, CheckpointException):
        return "; ".join(f"process {rank}: {error}"
                         for rank, (error, _) in problem.failures.items())
    return str(problem)


def load(found: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Put a sharded state into a model, and its moments into the optimizer. However they are cut
    here and were there, each process reads what it needs."""
    reader = HuggingFaceStorageReader(str(found / SHARDS))
    stored = reader.read_metadata().state_dict_metadata
    own = {f"model/{name}": value for name, value in model.state_dict().items()}
    state.check_same(found, {name: list(each.size) for name, each in stored.items()
                             if name.startswith("model/")},
                     {name: list(value.shape) for name, value in own.items()})
    wanted = dict(own)
    for name, parameter in model.named_parameters() if optimizer is not None else ():
        for key in (each for each in stored if each.rpartition("/")[0] == f"optimizer/{name}"):
            scalar = key.endswith("/step")
            # Fused AdamW counts its steps where the parameter is.
            wanted[key] = (torch.zeros((), device=parameter.device) if scalar
                           else torch.zeros_like(parameter).detach())
    _read(wanted, reader)
    if optimizer is None:
        return
    optimizer.state.clear()
    for name, parameter in model.named_parameters():
        prefix = f"optimizer/{name}/"
        if found_here := {key.removeprefix(prefix): value for key, value in wanted.items()
                          if key.rpartition("/")[0] + "/" == prefix}:
            optimizer.state[parameter] = found_here


def whole(found: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(parameters and buffers, moments) of a sharded state, put together."""
    reader = HuggingFaceStorageReader(str(found / SHARDS))
    tensors = {name: torch.empty(each.size, dtype=each.properties.dtype)
               for name, each in reader.read_metadata().state_dict_metadata.items()}
    _read(tensors, reader)
    parts: list[dict[str, Tensor]] = [
        {name.removeprefix(prefix): value for name, value in tensors.items()
         if name.startswith(prefix)} for prefix in ("model/", "optimizer/")]
    return parts[0], parts[1]


def _read(into: dict[str, Tensor], reader: HuggingFaceStorageReader) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        dcp.load(into, storage_reader=reader, no_dist=True)


def _tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    # First: FSDP then puts back the parameters that the optimizer knows, after a validation.
    weights = {f"model/{name}": value for name, value in model.state_dict().items()}
    return weights | {f"optimizer/{name}": value
                      for name, value in state.moments_of(model, optimizer).items()}
