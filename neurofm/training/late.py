"""Numbers of a step, looked at while the next one is computed: no step waits for a GPU.

A step whose loss or gradient is not finite must not reach the weights all the same. The fused
optimizer is told so by a number on the GPU (`found_inf`), and then changes nothing.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor

from ..data.batch import Movable

ON_CPU = False  # a CPU's numbers are there at once; tests look at them late all the same


@dataclass(frozen=True)
class Step:
    """A step of which the numbers may still be on their way.

    numbers: on the CPU, complete after `arrived`. like: the metrics that they are of, by name.
    losses: of this process's micro-batches.
    """

    done: int
    numbers: Tensor
    arrived: torch.cuda.Event | None
    like: dict[str, Tensor]
    losses: list[Tensor]
    batches: list[Movable]


class Late:
    """Steps in order, of which the last may wait until the next has been computed.

    at_once: the run decides by each step's numbers before the next one.
    """

    def __init__(self, accelerator: Accelerator, at_once: bool):
        on_cpu = accelerator.device.type == "cpu" and not ON_CPU
        # FSDP cuts the moments, which a whole `found_inf` does not fit.
        cut = accelerator.distributed_type == DistributedType.FSDP
        self.at_once = at_once or on_cpu or cut
        self._waiting: deque[Step] = deque()
        self._all = False

    def put(self, done: int, numbers: Tensor, like: dict[str, Tensor], losses: list[Tensor],
            batches: list[Movable], optimizer: torch.optim.Optimizer) -> None:
        """Take a step. numbers: of all processes, loss first and gradient norm behind the metrics;
        where one of these two is not finite, `optimizer` will change nothing."""
        arrived = None
        if not self.at_once:
            names = list(like)
            at = [0, sum(like[name].numel() for name in names[: names.index("grad_norm")])]
            finite = torch.stack([numbers[i] for i in at]).isfinite().all()
            optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        if numbers.device.type == "cuda":
            numbers = numbers.to("cpu", non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        self._waiting.append(Step(done, numbers, arrived, like, losses, batches))

    def ready(self, due: bool) -> Iterator[Step]:
        """Steps to look at now: all, if that is `due`, else all but the last."""
        self._all = self.at_once or due
        while self._waiting and (self._all or len(self._waiting) > 1):
            step = self._waiting.popleft()
            if step.arrived is not None:
                step.arrived.synchronize()
            yield step

    def hurry(self) -> None:
        """Inside `ready`: the last step must be looked at, too."""
        self._all = True
