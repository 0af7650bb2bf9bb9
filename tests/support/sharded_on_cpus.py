"""FSDP2 in processes that have no GPU."""

import os

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin


def shard(environment: dict) -> None:
    """From here on FSDP2, with the settings that `accelerate launch` hands to its processes.

    On GPUs Accelerate does this when it starts. On CPUs it would quietly go on without.
    """
    os.environ.update(environment)
    plugin = FullyShardedDataParallelPlugin()
    for state in (AcceleratorState, PartialState):
        state._shared_state["distributed_type"] = DistributedType.FSDP
    AcceleratorState._shared_state["fsdp_plugin"] = plugin
