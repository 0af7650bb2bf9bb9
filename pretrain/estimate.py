"""Memory, hours and storage of a training, by arithmetic alone; the site's page "Plan a training"
has the same formulas.

Bytes are of one process (a rank), float32 weights, gradients and moments. P = parameters, T = those
that are trained, n = processes, m = windows of a micro-batch.
"""

import math
from dataclasses import dataclass

from neurofm.training.machine import PEAKS
from neurofm.training.needs import BYTES, Needs

GB = 1e9
# Name → (name in `PEAKS`, bytes of memory by the data sheet).
DEVICES = {
    "a10": ("A10", 24 * GB), "a100": ("A100", 80 * GB), "a100-40": ("A100", 40 * GB),
    "a30": ("A30", 24 * GB), "b200": ("B200", 180 * GB), "gh200": ("GH200", 96 * GB),
    "h100": ("H100", 80 * GB), "h200": ("H200", 141 * GB), "l4": ("L4", 24 * GB),
    "l40s": ("L40S", 48 * GB), "mi300x": ("MI300X", 192 * GB), "rtx4090": ("RTX 4090", 24 * GB),
}
FREE = 0.1  # share of the memory that is left to CUDA, to NCCL and to gaps between tensors
_SAMPLE, _ID = 4, 2  # bytes: float32 of a corpus, int16 of tokens


@dataclass(frozen=True)
class Device:
    """tflops: peak of matrix products; memory: bytes; kind: "cpu" or "cuda"."""

    name: str
    tflops: float
    memory: float
    kind: str


@dataclass(frozen=True)
class Layout:
    """How a step is spread. parallel: "one", "ddp" or "fsdp". micro: windows of a micro-batch."""

    parallel: str
    processes: int
    micro: int
    accumulate: int
    checkpointing: bool

    @property
    def batch_windows(self) -> int:
        """Windows of a step."""
        return self.processes * self.micro * self.accumulate


def device_of(name: str, tflops: float = 0.0, memory_gb: float = 0.0) -> Device:
    """A device by its name, or by what is told of it. Raises ValueError for one not known."""
    key = name.lower()
    if key in DEVICES:
        peak, memory = DEVICES[key]
        return Device(name, tflops or PEAKS[peak], memory_gb * GB or memory, "cuda")
    if tflops and memory_gb:
        return Device(name, tflops, memory_gb * GB, "cpu" if key == "cpu" else "cuda")
    raise ValueError(f"device {name!r}: known are {', '.join(sorted(DEVICES))}; of another one "
                     f"give --tflops and --memory_gb too")


def memory(needs: Needs, layout: Layout) -> dict[str, float]:
    """Bytes of a process, by part."""
    n = layout.processes if layout.parallel == "fsdp" else 1
    kept = needs.checkpointed if layout.checkpointing else needs.activations
    exchanged = {"one": 0, "ddp": BYTES * needs.trained,  # DDP's buckets are copies
                 "fsdp": 2 * BYTES * needs.largest_block}[layout.parallel]
    return {
        "weights": BYTES * needs.trained / n + needs.frozen_bytes,
        "gradients": BYTES * needs.trained / n,
        "moments": 2 * BYTES * needs.trained / n,
        "exchange": exchanged,
        "activations": kept.of(layout.micro),
        "batch": needs.batch_bytes.of(layout.micro),
    }


def step_flops(needs: Needs, layout: Layout) -> float:
    """Floating-point operations of a step, over all processes; what checkpointing computes again is
    part of it."""
    passes = layout.processes * layout.accumulate
    again = needs.again_flops.of(layout.micro) if layout.checkpointing else 0.0
    return passes * (needs.step_flops.of(layout.micro) + again)


def step_s(needs: Needs, layout: Layout, device: Device, utilization: float) -> float:
    """Seconds of a step where `utilization` of the peak is reached."""
    return step_flops(needs, layout) / (layout.processes * device.tflops * 1e12 * utilization)


def suggested(needs: Needs, device: Device, processes: int, batch_windows: int) -> Layout:
    """The layout with the fewest passes that fits: whole models before cut ones (FSDP exchanges
    three times as much), without checkpointing before with it (a third more arithmetic), and as few
    micro-batches as possible.

    batch_windows: of a step; where it is no multiple of the processes, the next one is taken.
    """
    share = math.ceil(batch_windows / processes)
    blocks = needs.largest_block > 0
    spread = ["ddp", *["fsdp"] * blocks] if processes > 1 else ["one"]
    for parallel in spread:
        for checkpointing in (False, *[True] * blocks):
            for accumulate in (each for each in range(1, share + 1) if share % each == 0):
                layout = Layout(parallel, processes, share // accumulate, accumulate, checkpointing)
                if sum(memory(needs, layout).values()) <= (1 - FREE) * device.memory:
                    return layout
    smallest = Layout(spread[-1], processes, 1, share, blocks)
    wanted = sum(memory(needs, smallest).values()) / (1 - FREE)
    raise ValueError(f"this does not fit: with one window at once"
                     f"{' and activation checkpointing' * blocks} a process needs "
                     f"{wanted / GB:.1f} GB, {device.name} has {device.memory / GB:.0f} GB: take "
                     f"more GPUs, larger ones, or shorter windows")


def storage(needs: Needs, n_windows: int, values: int, ids: int, keep: int) -> dict[str, float]:
    """Bytes on disk. values: samples of a window over all channels. ids: token ids of a window, 0 =
    no tokens. keep: states that are kept, and one that is being written."""
    weights = BYTES * needs.parameters
    return {"corpus": _SAMPLE * n_windows * values, "tokens": _ID * n_windows * ids,
            "states": (keep + 1) * (weights + 2 * BYTES * needs.trained), "checkpoint": weights}
