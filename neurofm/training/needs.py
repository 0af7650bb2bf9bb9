"""What training a model needs, measured on one and on two windows: memory and arithmetic.

Both grow linearly with the number of windows, so two measurements tell any number. Where the code
of a model allows it, tensors are fake (they have shapes and no values), so that a model larger than
this machine is measured in seconds; else a forward and a backward pass are computed.
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers.initialization import no_init_weights

from ..data.batch import Movable
from ..models.flops import counter
from ..nn.trainable import Trainable

BYTES = 4  # of a weight, a gradient and each moment: float32


@dataclass(frozen=True)
class Linear:
    """A quantity of n windows: fixed + each · n."""

    fixed: float
    each: float

    def of(self, n: int) -> float:
        """Value for `n` windows."""
        return self.fixed + self.each * n

    @classmethod
    def through(cls, one: float, two: float) -> "Linear":
        """By its values for one and for two windows."""
        return cls(max(0.0, 2 * one - two), two - one)


@dataclass(frozen=True)
class Needs:
    """Of a model and windows of one shape.

    Parameters
    ----------
    parameters
        Number of parameters.
    trained
        Those that are trained.
    frozen_bytes
        Bytes of parameters that are not trained, and of buffers.
    forward_flops
        Floating-point operations of a forward pass.
    step_flops
        The same with the backward pass.
    activations
        Bytes that the forward pass keeps for the backward pass.
    checkpointed
        The same where each block keeps its input alone, and computes the rest again.
    again_flops
        Floating-point operations of computing it again.
    largest_block
        Parameters of the largest block; 0 = it has no blocks, so that neither activation
        checkpointing nor FSDP can take them one by one.
    batch_bytes
        Bytes of the batch itself.
    computed
        Whether the passes were computed (True), or their shapes alone (False).
    """

    parameters: int
    trained: int
    frozen_bytes: int
    forward_flops: Linear
    step_flops: Linear
    activations: Linear
    checkpointed: Linear
    again_flops: Linear
    largest_block: int
    batch_bytes: Linear
    computed: bool


def needs(build: Callable[[], Trainable], batch: Callable[[int], Movable],
          autocast: Callable[[], contextlib.AbstractContextManager]) -> Needs:
    """Measure a model.

    Parameters
    ----------
    build
        Makes the model, on the CPU.
    batch
        batch(n): n windows, as it is trained on.
    autocast
        The precision of its forward pass.

    Returns
    -------
    Needs
        What n windows need.
    """
    batches = [batch(1), batch(2)]
    try:
        # Drawing first weights looks at values; they are not needed.
        with FakeTensorMode(allow_non_fake_inputs=True) as mode, no_init_weights():
            return _needs(build(), [_faked(each, mode) for each in batches], autocast, False)
    except Exception:  # code that looks at values: torch has a kind of error for each way
        return _needs(build(), batches, autocast, True)


def batch_bytes(batch: Movable) -> float:
    """Bytes of a batch's tensors."""
    values = [getattr(batch, each.name) for each in fields(batch)]
    return float(sum(each.nbytes for each in values if isinstance(each, Tensor)))


def _needs(model: Trainable, batches: list[Movable], autocast, computed: bool) -> Needs:
    model.train()
    if computed:
        with torch.no_grad():
            model(batches[1])  # a quantizer starts by k-means, once
    one, two = (_pass(model, each, autocast) for each in batches)
    through = {name: Linear.through(one[name], two[name]) for name in one}
    parameters = list(model.parameters())
    trained = sum(each.numel() for each in parameters if each.requires_grad)
    frozen = [*(each for each in parameters if not each.requires_grad), *model.buffers()]
    return Needs(
        parameters=sum(each.numel() for each in parameters), trained=trained,
        frozen_bytes=sum(each.numel() * each.element_size() for each in frozen),
        largest_block=max((sum(p.numel() for p in block.parameters())
                           for block in model.blocks_of_one_kind()), default=0),
        batch_bytes=Linear.through(*map(batch_bytes, batches)), computed=computed, **through)


def _pass(model: Trainable, batch: Movable, autocast) -> dict[str, float]:
    """Bytes kept and operations of a forward and backward pass."""
    own = {_storage(each) for each in [*model.parameters(), *model.buffers()]}
    kept: dict[int, tuple[int, int]] = {}  # storage → bytes, number of the block (0 = none)
    inside = [0]
    inputs: dict[int, int] = defaultdict(int)
    held = []  # a storage that was freed could lend its address to the next

    def pack(tensor: Tensor) -> Tensor:
        key = _storage(tensor)
        if key not in own and key not in kept:
            kept[key] = (tensor.untyped_storage().nbytes(), inside[-1])
            held.append(tensor)
        return tensor

    def enter(number: int):
        def hook(_, arguments):
            inside.append(number)
            inputs[number] += sum(each.nbytes for each in arguments
                                  if isinstance(each, Tensor) and each.requires_grad)
        return hook

    hooks = []
    for number, block in enumerate(model.blocks_of_one_kind(), start=1):
        hooks += [block.register_forward_pre_hook(enter(number)),
                  block.register_forward_hook(lambda *_: inside.pop() and None)]
    forward, whole = counter(), counter()
    try:
        with whole, torch.autograd.graph.saved_tensors_hooks(pack, lambda each: each):
            with forward, autocast():
                loss, _ = model(batch)
            loss.backward()
    finally:
        for hook in hooks:
            hook.remove()
    model.zero_grad()
    total = sum(size for size, _ in kept.values())
    of_block: dict[int, int] = defaultdict(int)
    for size, number in kept.values():
        of_block[number] += size
    names = {id(block): name for name, block in model.named_modules()}
    counts = forward.get_flop_counts()
    again = sum(sum(counts.get(f"{type(model).__name__}.{names[id(block)]}", {}).values())
                for block in model.blocks_of_one_kind())
    largest = max((size for number, size in of_block.items() if number), default=0)
    return {
        "forward_flops": float(forward.get_total_flops()),
        "step_flops": float(whole.get_total_flops()),
        "activations": float(total), "again_flops": float(again),
        "checkpointed": float(min(total, of_block[0] + sum(inputs.values()) + largest)),
    }


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _faked(batch: Movable, mode: FakeTensorMode) -> Movable:
    made: dict[str, Any] = {each.name: getattr(batch, each.name) for each in fields(batch)}
    return type(batch)(**{name: mode.from_tensor(value) if isinstance(value, Tensor) else value
                          for name, value in made.items()})


@contextlib.contextmanager
def precision(name: str, device: str) -> Iterator[None]:
    """Forward passes as `train.precision` asks for on a kind of device ("cpu", "cuda")."""
    wanted = name == "bf16" or (name == "auto" and device != "cpu")
    with torch.autocast("cpu", torch.bfloat16, enabled=wanted):
        yield
