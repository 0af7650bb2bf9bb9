"""Training steps on a GPU: how near they come to what it can do, eager and compiled.

    python -m tests.benchmarks.gpu                        under six minutes
    python -m tests.benchmarks.gpu --device cpu --quick   the same in small, to see that it runs

Needs torch, transformers, accelerate, safetensors, einops and jaxtyping, nothing else. BrainOmni
learns from tokens of 30 s, BrainTokenizer from 10 s of 64 channels, both in bfloat16. A pass is
forward and backward. Share of peak: of the dense bfloat16 rate that the maker states, where the
GPU is known, else of a large matrix product, which is printed in either case.

What should come out (issue 22): no wait for the GPU in a step, at most 400 kernels a pass compiled,
at least 40 % of peak for the base model at its best batch.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from neurofm.data.batch import Batch, Tokens
from neurofm.models.brainomni import BrainOmni, BrainOmniConfig
from neurofm.tokenizers.brain_tokenizer import BrainTokenizer, BrainTokenizerConfig

STATED = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "B200": 2250e12, "L40S": 362e12}
SOURCES, FRAMES, CHANNELS, SFREQ, SECONDS = 16, 160, 64, 256, 10
SMALL = {"tokenizer": {"n_filters": 4, "dim": 32, "n_codes": 16}, "dim": 32, "n_heads": 4,
         "n_blocks": 2}
BUDGET_S = 330
COLUMNS = ("what", "how", "batch", "windows/s", "of peak", "GB", "waits", "kernels")


class Operations(TorchDispatchMode):
    """Counts operations, and those for which the host would wait for a GPU: what can be told of
    kernels and waits without one."""

    WAITS = ("_local_scalar_dense", "nonzero", "bincount", "masked_select", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.n = self.waits = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.n += 1
        self.waits += func.overloadpacket.__name__ in self.WAITS
        return func(*args, **(kwargs or {}))


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable, device: torch.device, repeats: int) -> float:
    """Median time of what is already warm."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        synchronize(device)
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def product_rate(device: torch.device) -> float:
    """FLOP/s of a large product of matrices in bfloat16."""
    n = 8192 if device.type == "cuda" else 1024
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16)
    a @ a
    return 2 * n**3 / seconds(lambda: a @ a, device, 5)


def brainomni_flops(model: BrainOmni) -> float:
    """FLOPs of a window, forward and backward: products of matrices alone."""
    frames, dim = SOURCES * FRAMES, model.config.dim
    inside = sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2)
    chosen = round(model.config.masked * frames) / frames
    head = sum(p.numel() for p in model.head.parameters() if p.ndim == 2) * chosen
    looked = 2 * dim / 2 * (FRAMES + SOURCES) * len(model.blocks)  # scores, and what they weigh
    return 3 * 2 * frames * (inside + head + looked)


def stepper(model: nn.Module, batch: Batch | Tokens, device: torch.device) -> tuple[Callable, ...]:
    """(one training step, one pass)"""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4,
                                  fused=True)

    def one_pass() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss, _ = model(batch)
        loss.backward()

    def step() -> None:
        one_pass()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step, one_pass


def counts(step: Callable, one_pass: Callable, device: torch.device) -> tuple[int, int]:
    """(waits of a step, kernels of a pass; on a CPU operations)."""
    if device.type != "cuda":
        with Operations() as waits:
            step()
        with Operations() as all_of_them:
            one_pass()
        return waits.waits, all_of_them.n
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        one_pass()
        torch.cuda.synchronize()
    return (sum("synchroniz" in str(each.message) for each in told),
            sum(event.device_type.name == "CUDA" for event in found.events()))


def measured(what: str, how: str, model: nn.Module, batch: Batch | Tokens, n: int, flops: float,
             peak: float, device: torch.device, repeats: int) -> dict[str, str]:
    """A row of the table."""
    step, one_pass = stepper(model, batch, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    step(), step()
    synchronize(device)
    took = seconds(step, device, repeats)
    gigabytes = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None
    # A compiled block is not looked into on a CPU.
    waits, kernels = ((0, 0) if how == "compiled" and device.type == "cpu"
                      else counts(step, one_pass, device))
    return dict(zip(COLUMNS, (
        what, how, str(n), f"{n / took:.1f}", f"{flops * n / took / peak:.1%}" if flops else "",
        "" if gigabytes is None else f"{gigabytes:.1f}", str(waits), str(kernels or ""),
    ), strict=True))


def tokens_of(n: int, n_codes: int, device: torch.device) -> Tokens:
    ids = torch.randint(n_codes, (n, SOURCES, FRAMES, 4), device=device)
    return Tokens(ids, seed=torch.arange(n, device=device))


def signals_of(n: int, device: torch.device) -> Batch:
    return Batch(
        torch.randn(n, CHANNELS, SECONDS * SFREQ, device=device),
        torch.randn(n, CHANNELS, 6, device=device),
        torch.zeros(n, CHANNELS, dtype=torch.int64, device=device),
        torch.ones(n, CHANNELS, dtype=torch.bool, device=device),
        seed=torch.arange(n, device=device),
    )


def rows(device: torch.device, quick: bool, peak: float, until: float) -> list[dict[str, str]]:
    """All measurements for which there is time and memory."""
    sizes = ({"small": lambda: BrainOmniConfig(**SMALL)} if quick else
             {"tiny": BrainOmniConfig, "base": BrainOmniConfig.base})
    batches, repeats = ((2,), 1) if quick else ((16, 64, 128, 256), 5)
    modes = ("eager",) if quick else ("eager", "compiled")
    found = []
    for size, config in sizes.items():
        for how in modes:
            torch._dynamo.reset()
            torch.manual_seed(0)
            model = BrainOmni(config()).to(device).train()
            if how == "compiled":
                for block in model.blocks_of_one_kind():
                    block.compile(dynamic=False)
            flops = brainomni_flops(model)
            for n in batches:
                if time.perf_counter() > until:
                    return found
                try:
                    batch = tokens_of(n, model.config.tokenizer.n_codes, device)
                    found.append(measured(f"BrainOmni {size}", how, model, batch, n, flops, peak,
                                          device, repeats))
                except torch.OutOfMemoryError:
                    torch.cuda.empty_cache()
                    break
                show(found[-1])
    for spatial in ("attention", "leadfield"):
        if time.perf_counter() > until:
            return found
        changes = SMALL["tokenizer"] if quick else {}
        tokenizer = BrainTokenizer(BrainTokenizerConfig(spatial=spatial, **changes))
        n = 1 if quick else 32
        found.append(measured(f"BrainTokenizer {spatial}", "eager", tokenizer.to(device).train(),
                              signals_of(n, device), n, 0, peak, device, repeats))
        show(found[-1])
    return found


def show(row: dict[str, str]) -> None:
    values = list(row.values())
    print(f"{values[0]:<26}{values[1]:<10}" + "".join(f"{value:>11}" for value in values[2:]),
          flush=True)


def main(arguments: list[str] | None = None) -> list[dict[str, str]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small models, one batch")
    chosen = parser.parse_args(arguments)
    device, until = torch.device(chosen.device), time.perf_counter() + BUDGET_S
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    reached = product_rate(device)
    peak = next((rate for part, rate in STATED.items() if part in name), reached)
    print(f"{name}, torch {torch.__version__}; a matrix product reaches {reached / 1e12:.2f} "
          f"TFLOP/s; peak taken as {peak / 1e12:.2f}"
          f"{'' if device.type == 'cuda' else '; kernels are operations here'}")
    show(dict(zip(COLUMNS, COLUMNS, strict=True)))
    return rows(device, chosen.quick, peak, until)


if __name__ == "__main__":
    main()
