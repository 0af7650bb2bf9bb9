"""The one loop: it trains tokenizers, models, decoders and federated clients alike.

Plain PyTorch over Accelerate, to be read from top to bottom. A model's `forward(batch)` returns
its loss and its metrics, so nothing here knows what is being trained.
"""

import json
import math
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from . import state
from .sampler import Order, StepData, WindowSource, steps
from .schedule import learning_rate, parameter_groups


@dataclass
class TrainConfig:
    """How to train.

    steps: optimiser steps of the whole run.
    batch_windows: windows a step over all processes and micro-batches.
    accumulate: micro-batches a step (gradient accumulation).
    lr, warmup, final_lr: peak learning rate; share of the run spent rising to it; where the cosine
        ends, as a share of the peak.
    beta1, beta2, eps, weight_decay: AdamW. clip_norm: largest gradient norm; 0 = no clipping.
    precision: "auto" = bf16 where the device has it, else float32.
    validate_every: steps between passes over the validation split; 0 = only at the end.
    save_every, keep: steps between saved states, and how many stay.
    workers: loader processes for each training process; 0 = load in the training process.
    seed: of everything random. compile: torch.compile the model.
    """

    steps: int = 1000
    batch_windows: int = 16
    accumulate: int = 1
    lr: float = 1e-3
    warmup: float = 0.1
    final_lr: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    log_every: int = 20
    validate_every: int = 0
    save_every: int = 500
    keep: int = 2
    workers: int = 0
    seed: int = 0
    compile: bool = False

    def __post_init__(self):
        for name in ("steps", "batch_windows", "accumulate", "log_every", "save_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"train.warmup is a share of the run, 0 … 1, got {self.warmup}")


class Stopped(Exception):
    """The run was asked to stop (SIGTERM, SIGUSR1) and has saved its state."""


class NotANumber(ValueError):
    """The loss became NaN or infinite."""


def accelerator_for(config: TrainConfig, out: Path) -> Accelerator:
    """The Accelerator of a run: precision where the device has it, TensorBoard in `out`."""
    bf16 = config.precision == "bf16" or (
        config.precision == "auto" and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    )
    return Accelerator(
        mixed_precision="bf16" if bf16 else "no",
        log_with="tensorboard",
        project_dir=str(out),
    )


def train(
    model: nn.Module,
    source: WindowSource,
    windows: np.ndarray,
    config: TrainConfig,
    out: Path,
    accelerator: Accelerator,
    *,
    validation: tuple[WindowSource, np.ndarray] | None = None,
    target: np.ndarray | None = None,
    stop_after: int | None = None,
    say=print,
) -> nn.Module:
    """Train `model` on `windows` of `source` for `config.steps`, continuing a saved state in `out`.

    validation: source and windows never trained on; their metrics are logged with `val/` before
    the name. target: class or value of each of `windows`. stop_after: stop, saved, after this step
    (what a signal does). Raises `Stopped`, `NotANumber`.
    """
    torch.manual_seed(config.seed + accelerator.process_index)
    states, log = out / "state", _Log(out, accelerator, say)
    groups = parameter_groups(model, config.weight_decay)
    if config.compile:
        model = torch.compile(model)
    optimizer = torch.optim.AdamW(
        groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps
    )
    prepared, optimizer = accelerator.prepare(model, optimizer)
    plain = accelerator.unwrap_model(prepared)
    first = 0
    if found := state.finished(states):
        first = state.load(found[-1], prepared, optimizer.optimizer, accelerator)
        log.cut(first)
        say(f"continuing at step {first} from {found[-1]}")
    order = Order(windows, source.widths(windows), config.batch_windows, config.seed)
    data = StepData(
        source, order, target=target, rank=accelerator.process_index,
        world=accelerator.num_processes, accumulate=config.accumulate,
    )
    cuda = accelerator.device.type == "cuda"
    asked = _StopRequest()
    prepared.train()
    asked_for_data = time.perf_counter()
    for step, micro_batches in enumerate(
        steps(data, first, config.steps, config.workers, pin=cuda), start=first
    ):
        began = time.perf_counter()
        if hasattr(plain, "anneal"):
            plain.anneal(step / config.steps)
        rate = learning_rate(step, config.steps, config.lr, config.warmup, config.final_lr)
        for group in optimizer.param_groups:
            group["lr"] = rate
        metrics: dict[str, torch.Tensor] = {}
        for number, batch in enumerate(micro_batches):
            batch = batch.to(accelerator.device, non_blocking=cuda)
            last = number == config.accumulate - 1
            # Gradients travel between processes once a step, with the last micro-batch.
            with _sync(accelerator, prepared, last), accelerator.autocast():
                loss, terms = prepared(batch)
                accelerator.backward(loss / config.accumulate)
            for name, value in {"loss": loss.detach(), **terms}.items():
                metrics[name] = metrics.get(name, 0.0) + value.detach() / config.accumulate
        norm = accelerator.clip_grad_norm_(
            prepared.parameters(), config.clip_norm if config.clip_norm > 0 else math.inf
        )
        metrics["grad_norm"] = torch.as_tensor(norm).detach()
        _stop_on_nan(metrics, step, micro_batches, states, accelerator)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        done = step + 1
        log.step(done, metrics, rate, waited=began - asked_for_data,
                 took=time.perf_counter() - asked_for_data, windows=config.batch_windows)
        if done % config.log_every == 0 or done == config.steps:
            log.flush(done)
        if validation and (
            done == config.steps or (config.validate_every and done % config.validate_every == 0)
        ):
            log.write(done, validate(prepared, *validation, config, accelerator))
        stop = asked.on_any_process(accelerator) or done == stop_after
        if done % config.save_every == 0 or stop or done == config.steps:
            saved = state.save(states, done, prepared, optimizer.optimizer, accelerator,
                               config.keep)
        if stop and done < config.steps:
            accelerator.end_training()
            raise Stopped(f"stopped after step {done} as asked; state saved in {saved}: "
                          f"run the same command again to continue")
        asked_for_data = time.perf_counter()
    accelerator.end_training()
    asked.restore()
    return plain


@torch.no_grad()
def validate(
    model: nn.Module, source: WindowSource, windows: np.ndarray, config: TrainConfig,
    accelerator: Accelerator,
) -> dict[str, float]:
    """Mean metrics over all of `windows`, weighted by window, as `val/NAME`; every process a part.

    Seeds are those of the windows' places, so that two evaluations hide the same channels.
    """
    model.eval()
    share = max(1, config.batch_windows // (accelerator.num_processes * config.accumulate))
    by_width = np.argsort(source.widths(windows), kind="stable")
    mine = by_width[accelerator.process_index :: accelerator.num_processes]
    sums: dict[str, torch.Tensor] = {}
    for start in range(0, len(mine), share):
        part = mine[start : start + share]
        batch = source.batch(windows[part], part.astype(np.int64)).to(accelerator.device)
        with accelerator.autocast():
            loss, terms = model(batch)
        for name, value in {"loss": loss, **terms}.items():
            sums[name] = sums.get(name, 0.0) + value.detach().double() * len(part)
    model.train()
    count = torch.tensor(float(len(mine)), dtype=torch.float64, device=accelerator.device)
    total = accelerator.reduce(count)
    return {f"val/{name}": (accelerator.reduce(value) / total).item()
            for name, value in sums.items()}


def _sync(accelerator: Accelerator, model: nn.Module, last: bool):
    from contextlib import nullcontext

    return nullcontext() if last else accelerator.no_sync(model)


def _stop_on_nan(metrics, step: int, micro_batches, states: Path, accelerator) -> None:
    """Stop on every process, saying where the bad step came from, before the weights are spoilt."""
    finite = all(torch.isfinite(metrics[name]).item() for name in ("loss", "grad_norm"))
    mine = torch.tensor(0.0 if finite else 1.0, device=accelerator.device)
    if accelerator.reduce(mine).item() == 0:
        return
    sources = [name for batch in micro_batches for name in batch.source]
    good = state.finished(states)
    raise NotANumber(
        f"step {step + 1}: loss {metrics['loss'].item()}, gradient norm "
        f"{metrics['grad_norm'].item()} on process {accelerator.process_index}; its windows: "
        f"{'; '.join(sources)}. Weights were not changed by this step. Last good state: "
        f"{good[-1] if good else 'none yet'}. Look at these recordings, or lower train.lr"
    )


class _StopRequest:
    """Set by SIGTERM or SIGUSR1 (what schedulers send before the limit)."""

    def __init__(self):
        self.wanted = False
        self.before = {}
        for number in (signal.SIGTERM, signal.SIGUSR1):
            try:
                self.before[number] = signal.signal(number, self._ask)
            except ValueError:  # not in the main thread: a caller's own signals stay as they are
                return

    def _ask(self, *_):
        self.wanted = True

    def on_any_process(self, accelerator: Accelerator) -> bool:
        if accelerator.num_processes == 1:
            return self.wanted
        mine = torch.tensor(float(self.wanted), device=accelerator.device)
        return accelerator.reduce(mine).item() > 0

    def restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


class _Log:
    """Averages since the last line → console, `log.jsonl` and TensorBoard."""

    def __init__(self, out: Path, accelerator: Accelerator, say):
        self.path, self.accelerator, self.say = out / "log.jsonl", accelerator, say
        out.mkdir(parents=True, exist_ok=True)
        self._clear()

    def _clear(self):
        self.sums, self.count, self.took, self.waited, self.windows = {}, 0, 0.0, 0.0, 0

    def cut(self, step: int) -> None:
        """Drop lines beyond `step`: they are of steps that are about to be done again."""
        if self.accelerator.is_main_process and self.path.exists():
            lines = self.path.read_text().splitlines()
            kept = [line for line in lines if json.loads(line)["step"] <= step]
            self.path.write_text("".join(line + "\n" for line in kept))

    def step(self, step, metrics, rate, *, waited, took, windows) -> None:
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.rate, self.count = rate, self.count + 1
        self.took, self.waited, self.windows = (
            self.took + took, self.waited + waited, self.windows + windows
        )

    def flush(self, step: int) -> None:
        means = {
            name: (self.accelerator.reduce(torch.as_tensor(value), "mean") / self.count).item()
            for name, value in self.sums.items()
        }
        speed = {
            "lr": self.rate,
            "windows_per_s": self.windows / max(self.took, 1e-9),
            "data_wait": self.waited / max(self.took, 1e-9),
        }
        self.write(step, {**means, **speed})
        self._clear()

    def write(self, step: int, values: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, "time": time.time(), **values}) + "\n")
        self.accelerator.log(values, step=step)
        self.say(f"step {step:>6}  " + "  ".join(f"{k} {v:.4g}" for k, v in values.items()))
