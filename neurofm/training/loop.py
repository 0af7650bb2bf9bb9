"""The one loop: it trains tokenizers, models, decoders and federated clients alike.

Plain PyTorch over Accelerate, to be read from top to bottom. A model's `forward(batch)` returns
its loss and its metrics, means over the windows, so nothing here knows what is being trained. What
else the loop asks of it: `neurofm.nn.trainable`.
"""

import math
import os
import time
from collections.abc import Iterable
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from .. import progress
from ..limits import Count, Positive, Share, ShareBelowOne, Text, limited
from ..nn.trainable import Trainable
from ..run import Stopped
from . import balance, finite, state, tracking
from .by_width import ByWidth
from .compute import autocast, by_blocks, has_bf16
from .feed import Feed
from .late import Late
from .log import Log, flat, named
from .pace import Pace
from .parts import Parts, batches_of
from .sampler import Order, StepData, WindowSource, steps
from .schedule import Schedule, Slope, parameter_groups
from .sharded import Saver
from .signals import StopRequest
from .spikes import Guard, read_lowest
from .tracking import Tracker

CHOSEN = "chosen.safetensors"  # weights where `choose` was lowest, beside the states


@dataclass
@limited
class TrainConfig:
    """How to train.

    Parameters
    ----------
    steps
        Optimizer steps of the whole run.
    batch_windows
        Windows per step, over all processes and micro-batches.
    accumulate
        Each step is cut into at least so many micro-batches of equal work (gradient
        accumulation), and into more where windows have different numbers of channels, so that
        little is padded. Codebooks of a tokenizer are updated once per micro-batch, so the result
        differs slightly from a larger batch.
    lr
        Peak learning rate of AdamW.
    warmup
        Share of the steps in which the learning rate rises.
    final_lr
        Learning rate at the end of the cosine, as a share of the peak.
    beta1
        Decay of the first moment of AdamW.
    beta2
        Decay of the second moment of AdamW.
    eps
        Epsilon of AdamW.
    weight_decay
        Weight decay of AdamW; matrices only.
    clip_norm
        Largest norm of the gradient; 0 = no clipping.
    precision
        Precision of the forward pass; "auto" = bf16 on a GPU that supports it, and for models that
        it makes faster on a CPU with AMX (brainomni), else float32. Weights, gradients and moments
        are float32.
    log_every
        Steps between lines of the log.
    validate_every
        Steps between validations; 0 = only at the end.
    save_every
        Steps between saved states.
    keep
        Number of saved states to keep.
    save
        "whole" = the main process writes the state, the training waits; "sharded" = each process
        writes its part while the training goes on; "auto" = sharded under FSDP.
    workers
        Loader processes per training process; 0 = load in the training process.
    seed
        Seed of weights, order of data and dropout.
    compile
        Compile the blocks of the model with torch.compile, for each shape of their inputs; "auto" =
        on a GPU. On a CPU that takes a minute or more before the first step.
    checkpointing
        Keep what goes into each block alone, and compute the rest again for the gradient: slower by
        about a third, much less memory.
    track
        Trackers that get what log.jsonl gets: tensorboard, wandb, trackio; auto = tensorboard if it
        is installed.
    keep_best
        Validation metric, such as val/loss: the weights of the validation where it was lowest are
        kept, not the last ones. "" = the last ones.
    spikes
        Robust deviations above the median of the last 64 steps beyond which a step's loss or
        gradient norm is a spike, such as 10; the step is skipped. 0 = no step is skipped. The
        process then waits for the GPU in each step.
    spikes_limit
        Spikes one after another that are skipped. After one more the run goes back to a saved
        state, and the batches since then are passed over.
    """

    steps: Count = 1000
    batch_windows: Count = 16
    accumulate: Count = 1
    lr: Positive = 1e-3
    warmup: Share = 0.1
    final_lr: Share = 0.05
    beta1: ShareBelowOne = 0.9
    beta2: ShareBelowOne = 0.95
    eps: Positive = 1e-8
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    log_every: Count = 20
    validate_every: int = 0
    save_every: Count = 500
    keep: Count = 2
    save: Literal["auto", "whole", "sharded"] = "auto"
    workers: int = 0
    seed: int = 0
    compile: bool | Literal["auto"] = "auto"
    checkpointing: bool = False
    track: list[Tracker] = field(default_factory=lambda: ["auto"])
    keep_best: Text = ""
    spikes: float = 0.0
    spikes_limit: Count = 3

    PREFIX = "train."

    def __post_init__(self):
        if self.batch_windows % self.accumulate:
            raise ValueError(f"train.batch_windows ({self.batch_windows}) must be a multiple of "
                             f"train.accumulate ({self.accumulate})")


@dataclass(frozen=True)
class Received:
    """What a federated client goes on with: weights from others, at the step where all of them are.
    """

    step: int  # finished steps
    weights: dict[str, Tensor]  # name → value, of those that are shared; the others stay its own


def accelerator_for(config: TrainConfig, out: Path) -> Accelerator:
    """The Accelerator of a run: as many processes as were launched. Trackers that are asked for and
    not installed are told here."""
    tracking.check(config.track)
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    accelerator = Accelerator(
        # Without a GPU, Accelerate would take each of several processes for a run of its own.
        cpu=several and not torch.accelerator.is_available(),
        mixed_precision="no",  # see `autocast`, whatever the launcher was told
        project_dir=str(out),
        # What a model leaves unused may change within a run (a quantizer not yet switched on).
        # Where nothing is left unused, torch remarks on it once; that is harmless.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if config.precision == "bf16" and not has_bf16(accelerator.device):
        raise ValueError(f"train.precision is bf16, which {accelerator.device} does not have: say "
                         f"float32, or auto to take bf16 where it is")
    return accelerator


def train(
    model: Trainable,
    source: WindowSource,
    windows: np.ndarray,
    config: TrainConfig,
    out: Path,
    accelerator: Accelerator,
    *,
    validation: tuple[WindowSource, np.ndarray] | None = None,
    target: np.ndarray | None = None,
    choose: str | None = None,
    stop_after: int | None = None,
    received: Received | None = None,
    schedule: Schedule | None = None,
    pace: Pace | None = None,
    parts: Parts | None = None,
    hyperparameters: dict | None = None,
    say=print,
) -> Trainable:
    """Train `model` on `windows` of `source` for `config.steps`, continuing a saved state in `out`.

    validation: source and windows never trained on; their metrics are logged with `val/` before
    the name. target: class or value of each of `windows`. choose: a validation metric
    ("val/loss"); the weights come back as they were where it was lowest, not as they ended.
    stop_after: stop, saved, after this step (what a signal does). received: continue with these
    weights from their step on, whatever step the newest state up to it is of. schedule: of the
    learning rate; None = that of `config` alone. pace: what a window is worth, for the log; None =
    not known. parts: of the windows of validation, whose losses are logged one by one.
    hyperparameters: of the run, for trackers; None = those of `config`. Raises `Stopped`,
    `finite.NotANumber`.
    """
    if choose and config.keep_best not in ("", choose):
        raise ValueError(f"train.keep_best is {config.keep_best!r}, but here weights are always "
                         f"chosen by {choose}: leave it out")
    choose = choose or config.keep_best or None
    if choose and validation is None:
        raise ValueError(f"train.keep_best is {choose!r}, but no validation split is held out: "
                         f"leave it out, or name data with one")
    schedule = schedule or Schedule([Slope(0, config.steps, config.lr, config.warmup,
                                           config.final_lr)])
    torch.manual_seed(config.seed + accelerator.process_index)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, config.weight_decay), lr=config.lr,
        betas=(config.beta1, config.beta2), eps=config.eps, fused=True,
    )  # fmt: skip
    if accelerator._optimizers:  # an earlier call has prepared some; it takes half a second
        accelerator.free_memory()
    # `model` stays the bare module, whose parameters the wrapped one shares: weights are saved and
    # loaded by its names, whatever DDP, FSDP or torch.compile put around it.
    wrapped, optimizer = accelerator.prepare(by_blocks(model, config, accelerator), optimizer)
    states, log, first = out / "state", Log(out, accelerator, say, config.steps, pace), 0
    gathered: dict = {}
    saver = Saver(states, model, optimizer.optimizer, accelerator, config)
    guard = Guard(config, states, accelerator, say, choose)
    guard.begin()
    if found := state.newest(states, accelerator, say, received.step if received else None):
        first, gathered, seen = state.load(found, model, optimizer.optimizer, accelerator)
        guard.load(seen)
        say(f"continuing at step {first} from {found}")
    if received:
        first = received.step
        state.put(model, received.weights)
    log.begin(first, gathered, hyperparameters or vars(config), config.track)
    lowest = min(log.lowest(choose), read_lowest(states))
    if choose and lowest < math.inf:
        state.read_weights(states / CHOSEN)  # if damaged, that is told now, not after the training
    by_width = ByWidth.of(windows, source.widths)
    order = Order(by_width, config.batch_windows, config.seed)
    balance.tell(by_width, config, model.work, accelerator, say)
    data = StepData(
        source, order, target=target, work=model.work, rank=accelerator.process_index,
        world=accelerator.num_processes, accumulate=config.accumulate,
    )
    cuda = accelerator.device.type == "cuda"
    feed = Feed(lambda a, b: steps(data, a, b, config.workers, pin=cuda), first, config.steps,
                guard.passed)
    if guard.on and first == 0:
        saver.save(0)
    wrapped.train()
    precision, late = autocast(config, accelerator.device, model), Late(accelerator, guard.on)
    alone = accelerator.num_processes == 1
    with closing(log), closing(saver), StopRequest() as asked:
        asked_for_data = time.perf_counter()
        for done, micro_batches in feed:
            began = time.perf_counter()
            model.anneal(schedule.progress(done - 1))
            rate = schedule.rate(done - 1)
            guard.remember(model)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["lr_scale"]

            losses: list[Tensor] = []
            metrics: dict[str, Tensor] = {}
            for number, batch in enumerate(micro_batches, start=1):
                batch = batch.to(accelerator.device, non_blocking=cuda)
                # Gradients travel between processes once a step, with the last micro-batch.
                last = number == len(micro_batches)
                # Every window counts alike, in whichever micro-batch and process it is.
                share = len(batch) * accelerator.num_processes / config.batch_windows
                with nullcontext() if last else accelerator.no_sync(wrapped):
                    with precision:
                        loss, terms = wrapped(batch)
                    accelerator.backward(loss * share)
                losses.append(loss.detach())
                for name, value in {"loss": loss, **terms}.items():
                    metrics[name] = metrics.get(name, 0) + value.detach() * share
            norm = accelerator.clip_grad_norm_(wrapped.parameters(), config.clip_norm or math.inf)
            metrics["grad_norm"] = norm.full_tensor() if isinstance(norm, DTensor) else norm
            wanted = asked.wanted
            metrics["stop"] = metrics["grad_norm"].new_full((), float(wanted))
            # The one exchange of a step besides the gradients': all processes see the same
            # numbers, so they log, stop and fail together. What is not due is looked at while the
            # next step is computed.
            late.put(done, accelerator.reduce(flat(metrics), "mean"), metrics, losses,
                     micro_batches, optimizer.optimizer)
            due = done == stop_after or (wanted and alone) or any(
                is_due(done, every, config.steps) for every in
                (config.log_every, config.save_every, config.validate_every if validation else 0))
            signaled = spiked = False
            for step in late.ready(due):
                means = named(step.numbers, step.like, model)
                if means.pop("stop") > 0:
                    signaled = True
                    late.hurry()
                if spiked := guard.spiked(step.done, means, step.batches):
                    continue
                if not (math.isfinite(means["loss"]) and math.isfinite(means["grad_norm"])):
                    raise finite.report(step.done, means, step.losses, step.batches, states,
                                        accelerator)
                log.count(means)
            stop = signaled or done == stop_after
            if spiked:
                saver.wait()  # it may go back to that state
            else:
                optimizer.step()
            optimizer.zero_grad()
            if guard.goes_back(done, model, optimizer.optimizer, log, feed):
                continue

            now = time.perf_counter()
            log.add(waited_s=began - asked_for_data, took_s=now - asked_for_data,
                    windows=config.batch_windows)
            if done % config.log_every == 0 or done == config.steps:
                log.flush(done, lr=rate)
            if validation and is_due(done, config.validate_every, config.steps):
                values = validate(wrapped, *validation, config, accelerator, parts)
                log.write(done, values)
                if choose and chosen_of(values, choose) < lowest:
                    lowest = values[choose]
                    state.save_weights(states / CHOSEN, model, accelerator)
            if stop or is_due(done, config.save_every, config.steps):
                saved = saver.save(done, log=log.gathered, guard=guard.saved(),
                                   also=guard.keeps(done))
            if stop and done < config.steps:
                saver.wait()
                raise Stopped(f"stopped after step {done} as asked; state saved in {saved}: "
                              f"run the same command again to continue", signaled)
            asked_for_data = time.perf_counter()
    saver.wait()
    if choose and lowest < math.inf:
        state.load_weights(states / CHOSEN, model)
    return model


@torch.no_grad()
def validate(
    model: nn.Module, source: WindowSource, windows: np.ndarray, config: TrainConfig,
    accelerator: Accelerator, parts: Parts | None = None,
) -> dict[str, float]:
    """Mean metrics over all of `windows`, weighted by window, as `val/NAME`; every process a part.

    parts: of the windows, whose losses are told one by one; no batch holds windows of two. Seeds
    are those of the windows' places, so that two evaluations hide the same channels.
    """
    model.eval()
    of = np.zeros(len(windows), dtype=np.int64) if parts is None else parts.of
    by_part = torch.zeros(1 if parts is None else len(parts.names), 2, dtype=torch.float64)
    at_once = max(1, config.batch_windows // config.accumulate)
    sums = weights = torch.zeros(())
    batches = batches_of(source.widths(windows), of, at_once)
    shown: Iterable[np.ndarray] = batches
    if accelerator.is_main_process:
        shown = progress.each(batches, len(batches), "validation")
    for batch_of_all in shown:
        part = np.array_split(batch_of_all, accelerator.num_processes)[accelerator.process_index]
        weight = len(part)
        # A process without a window takes one that does not count: DDP and FSDP exchange buffers
        # and weights in each forward pass, so all must go along.
        part = part if weight else batch_of_all[:1]
        batch = source.batch(windows[part], part.astype(np.int64)).to(accelerator.device)
        with autocast(config, accelerator.device, accelerator.unwrap_model(model)):
            loss, terms = model(batch)
        metrics = {"loss": loss, **terms}
        values = flat(metrics).cpu().double()
        here = weight * (~values.isnan()).double()
        sums = sums + torch.where(here > 0, weight * values, 0.0)
        weights = weights + here
        if weight:  # the loss stands first
            by_part[of[part[0]]] += torch.tensor([weight * values[0].item(), weight])
    model.train()
    pairs = torch.stack([sums, weights]).to(accelerator.device, torch.float32)
    totals, counts = accelerator.reduce(pairs)
    means = named(totals / counts, metrics, accelerator.unwrap_model(model))
    found = {f"val/{name}": value for name, value in means.items()}  # NaN where nothing else was
    if parts is not None:
        found |= parts.means(accelerator.reduce(by_part.to(accelerator.device, torch.float32)))
    return found


def chosen_of(values: dict[str, float], name: str) -> float:
    """The metric of a validation by which weights are chosen. Raises ValueError for another."""
    if name not in values:
        raise ValueError(f"train.keep_best is {name!r}, which is no metric of the validation; "
                         f"there are {', '.join(values)}")
    return values[name]


def is_due(done: int, every: int, steps: int) -> bool:
    """After step `done`: at multiples of `every` (0 = never), and at the end."""
    return done == steps or (every > 0 and done % every == 0)
