"""Plan a training: parameters, memory, arithmetic, hours and storage, before any data is there.

    neurofm plan --config configs/pretrain/brainomni_base.yaml --hours 10000 --gpus 8 --device h100

It takes every configuration of `neurofm pretrain`. The model is built with random weights and
measured on one and on two windows, shapes alone where its code allows it; the rest is arithmetic,
written down on the site's page "Plan a training".
"""

import dataclasses
import functools
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from neurofm import models
from neurofm.checkpoints.tokenizer import open_tokenizer
from neurofm.data.batch import Batch, Movable, Tokens
from neurofm.data.contract import EEG_MEG, InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.limits import Count, Positive, limited
from neurofm.models.protocol import Backbone, NeuroFMPreTrainedModel
from neurofm.nn import example
from neurofm.pretrained import NeuroFMConfig
from neurofm.run import OK, Command, Job
from neurofm.training.compute import autocast, has_amx
from neurofm.training.needs import needs, precision
from neurofm.training.sampler import check_batch

from . import estimate
from .estimate import GB, Device
from .plan_text import said
from .sources import architecture_of, open_data, windows_of
from .train import PretrainConfig

Like = TypeVar("Like", bound=Movable)
_EEG_S, _TOKENS_S, _SCAN_S = 10.0, 30.0, 600.0  # windows where none are told
_EEG_HZ, _SCAN_HZ = 256.0, 0.5
_EEG_CHANNELS, _REGIONS = 64, 100
_CAP = 64  # channels up to which they are electrodes, above coils; a window costs the same
_MEASURED_STEPS = 5


@dataclass(kw_only=True)
@limited
class PlanConfig(PretrainConfig):
    """Plan a training: parameters, memory of a process, arithmetic, hours, storage.

    Parameters
    ----------
    data
        Corpora or token sets whose widest windows are planned with; "" = windows of `channels`, as
        many as `hours` hold.
    out
        JSON file for the plan; "" = none.
    model
        Name of a tokenizer or model.
    architecture
        Settings of the model; those not given keep their defaults.
    tokenizer
        Checkpoint of the tokenizer, for models that read tokens; else one with default settings.
    splits, weights, temperature
        Splits and shares of `data`, as in pretrain.
    watch, init, augment_share, augment_by, continue_with, keep_state, sweep, sweep_limit
        As in a configuration of pretrain; they change nothing here.
    hours
        Hours of recording.
    channels
        Channels of a recording; 0 = 64, or 100 regions of fMRI.
    window_s
        Length of a window, s; 0 = 30 of tokens, 10 of signals, 600 of fMRI.
    sfreq
        Sampling rate, Hz; 0 = 256, or .5 of fMRI.
    gpus
        Number of processes, each with one GPU.
    device
        Name of a GPU, such as h100 or a100; cpu = this machine's processors. Of others tflops and
        memory_gb must be given.
    tflops
        Peak of the device's matrix products, TFLOP/s; 0 = by its data sheet.
    memory_gb
        Memory of the device, GB; 0 = by its data sheet.
    utilization
        Share of the peak that a training reaches: an assumption, unless it was measured.
    measure
        Windows of a few steps that are timed on this machine, for the hours on machines such as
        this; 0 = none, hours by `utilization`.
    train
        Training settings.
    """

    data: list[str] | str = ""
    out: str = ""
    hours: Positive = 1000.0
    channels: int = 0
    window_s: float = 0.0
    sfreq: float = 0.0
    gpus: Count = 1
    device: str = "h100"
    tflops: float = 0.0
    memory_gb: float = 0.0
    utilization: Positive = 0.3
    measure: int = 0
    architecture: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if self.utilization > 1:
            raise ValueError(f"utilization is a share of the peak, up to 1; got {self.utilization}")
        for name in ("channels", "window_s", "sfreq", "tflops", "memory_gb", "measure"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if self.out and (Path(self.out).is_dir() or not self.out.endswith(".json")):
            raise ValueError(f"out is the JSON file of the plan, such as plan.json; got "
                             f"{self.out!r}")
        if self.model_class.needs_labels:
            raise ValueError(f"model {self.model!r} learns from labels: plan models of `neurofm "
                             f"pretrain`")
        architecture_of(self)


@dataclass(frozen=True)
class Windows:
    """What is planned with. batch(n): n windows. values: samples of one over all channels. ids: its
    tokens' ids, 0 = it is read as signal."""

    batch: Any
    n: int
    hours: float
    values: int
    ids: int
    words: str


def plan(run: PlanConfig, job: Job) -> int:
    """Print the plan, and write it to `out`."""
    found = planned(run)
    job.say(said(found))
    if run.out:
        Path(run.out).parent.mkdir(parents=True, exist_ok=True)
        Path(run.out).write_text(json.dumps(found, indent=1) + "\n")
    return OK


COMMAND = Command("plan", PlanConfig, plan, verifies=False)
main = COMMAND


def planned(run: PlanConfig) -> dict[str, Any]:
    """The plan, as numbers."""
    device = _device(run)
    windows, architecture = planned_windows(run, settings_of(run))
    check_batch("train.batch_windows", run.train.batch_windows, windows.n)

    def build() -> NeuroFMPreTrainedModel:
        return run.model_class(architecture)

    amx = device.kind == "cpu" and run.model_class.bf16_on_cpu and has_amx()
    auto = "bf16" if amx and run.train.precision == "auto" else run.train.precision
    found = needs(build, windows.batch, lambda: precision(auto, device.kind))
    layout = estimate.suggested(found, device, run.gpus, run.train.batch_windows)
    parts = estimate.memory(found, layout)
    step_flops = estimate.step_flops(found, layout)
    utilization, seconds = run.utilization, 0.0
    if run.measure:
        seconds = measured_s(build, windows.batch(run.measure), run)
        utilization = found.step_flops.of(run.measure) / seconds / (device.tflops * 1e12)
    step_s = estimate.step_s(found, layout, device, utilization)
    passes = run.train.steps * layout.batch_windows / windows.n
    return {
        "model": run.model, "parameters": found.parameters, "trained": found.trained,
        "window": windows.words, "windows": windows.n, "hours_of_recording": windows.hours,
        "flops_forward": found.forward_flops.each, "flops_window": found.step_flops.each,
        "shapes_alone": not found.computed,
        "device": device.name, "peak_tflops": device.tflops, "memory_gb": device.memory / GB,
        "precision": run.train.precision, "processes": layout.processes,
        "parallel": layout.parallel, "micro_batch": layout.micro, "accumulate": layout.accumulate,
        "batch_windows": layout.batch_windows, "wanted_batch_windows": run.train.batch_windows,
        "checkpointing": layout.checkpointing,
        "bytes": parts, "bytes_of_process": sum(parts.values()),
        "activations_window": found.activations.each,
        "activations_window_checkpointed": found.checkpointed.each,
        "utilization": utilization, "utilization_measured": bool(run.measure),
        "measured_s": seconds, "steps": run.train.steps, "passes": passes,
        "flops": step_flops * run.train.steps, "step_s": step_s,
        "hours": step_s * run.train.steps / 3600,
        "gpu_hours": step_s * run.train.steps / 3600 * layout.processes,
        "storage": estimate.storage(found, windows.n, windows.values, windows.ids, run.train.keep),
    }


def settings_of(run: PlanConfig) -> NeuroFMConfig:
    """Settings of the model, with those of its tokenizer."""
    found = architecture_of(run)
    if run.tokenizer:
        inner = open_tokenizer(run.tokenizer).config
        return type(found)(**{**run.architecture, "tokenizer": inner})
    return found


def planned_windows(run: PlanConfig, architecture: NeuroFMConfig) -> tuple[Windows, NeuroFMConfig]:
    """Windows of the data, or such as are told; and the architecture, knowing the data."""
    if any(run.places):
        return _of_data(run, architecture)
    if run.model_class.learns_from != "signals":
        raise ValueError(f"model {run.model!r} learns from EEG with fMRI: name the pairs, --data "
                         f"DIR")
    tokens = run.model_class.prepare if issubclass(run.model_class, Backbone) else None
    reads_tokens = tokens is not None and tokens is not Backbone.prepare
    fmri = run.model_class.modality != EEG_MEG
    sfreq = run.sfreq or (_SCAN_HZ if fmri else _EEG_HZ)
    window_s = run.window_s or (_SCAN_S if fmri else _TOKENS_S if reads_tokens else _EEG_S)
    with torch.device("meta"):
        bound = run.model_class(architecture)
    n_channels = bound.n_channels or run.channels or (_REGIONS if fmri else _EEG_CHANNELS)
    n_times = bound.n_times or round(window_s * sfreq)
    contract = FMRIContract() if fmri else InputContract(
        sfreq=sfreq, lowpass_hz=None, notch_hz=(), window_s=n_times / sfreq,
        kinds=("eeg",) if n_channels <= _CAP else ("mag",), reference="none")

    def signals(n: int, channels: int = n_channels) -> Batch:
        return _repeated(example.windows(contract, bound.ch_names, channels, n_times), n)

    one, ids = signals(1), 0
    words = f"{one.signal.shape[1]} channels, {window_s:g} s at {sfreq:g} Hz"
    batch: Callable[[int], Movable] = signals
    if reads_tokens:
        found = _tokens(architecture, signals(1, 1))
        ids = found.ids[0].numel()
        words += f", as {' × '.join(map(str, found.ids.shape[1:]))} ids (source, frame, level)"

        batch = functools.partial(_repeated, found)

    n = max(1, int(run.hours * 3600 / window_s))
    return Windows(batch, n, run.hours, one.signal[0].numel(), ids, words), architecture


def _of_data(run: PlanConfig, architecture: NeuroFMConfig) -> tuple[Windows, NeuroFMConfig]:
    data = open_data(run)
    chosen = windows_of(run, data, lambda _: None)
    widest = chosen[np.argsort(-np.asarray(data.widths(chosen)), kind="stable")]

    def batch(n: int) -> Movable:
        return data.batch(np.resize(widest, n), np.arange(n, dtype=np.int64))

    one: Any = batch(1)
    of_ids = one.ids[0] if isinstance(one, Tokens) else None
    shape = one.ids.shape[1:] if isinstance(one, Tokens) else one.signal.shape[1:]
    hours = float(np.nansum(data.recordings["duration_s"])) / 3600
    return Windows(
        batch, len(chosen), hours, 0 if of_ids is not None else int(np.prod(shape)),
        0 if of_ids is None else of_ids.numel(),
        f"the widest of {run.named}, {' × '.join(map(str, shape))}",
    ), architecture.knowing(data, chosen)


def _tokens(architecture: Any, batch: Movable) -> Tokens:
    """What the tokenizer makes of a window; of one channel, for the number of ids is the same."""
    kinds = models.register_auto_classes()
    tokenizer = kinds[architecture.tokenizer.model_type](architecture.tokenizer).eval()
    with torch.no_grad():
        return tokenizer.encode(batch)


def _repeated(batch: Like, n: int) -> Like:
    """`n` windows like the first, with seeds."""
    made: dict[str, Any] = {}
    for each in dataclasses.fields(batch):
        value = getattr(batch, each.name)
        if isinstance(value, Tensor):
            value = value[:1].expand(n, *value.shape[1:]).clone()
        made[each.name] = value[:1] * n if isinstance(value, list) else value
    return type(batch)(**{**made, "seed": torch.arange(n)})


def _device(run: PlanConfig) -> Device:
    if run.device.lower() != "cpu":
        return estimate.device_of(run.device, run.tflops, run.memory_gb)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    return estimate.device_of("cpu", run.tflops or _peak_here(), run.memory_gb or memory)


def _peak_here() -> float:
    """TFLOP/s of a float32 matrix product on this machine's processors."""
    x, seconds = torch.randn(1024, 1024), []
    for _ in range(4):
        began = time.perf_counter()
        x @ x
        seconds.append(time.perf_counter() - began)
    return 2 * 1024**3 / min(seconds) / 1e12


def measured_s(build, batch: Movable, run: PlanConfig) -> float:
    """Seconds of a step on this machine: median of a few, after one that is not counted."""
    here = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, batch = build().to(here).train(), batch.to(here)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    seconds = []
    for _ in range(1 + _MEASURED_STEPS):
        began = time.perf_counter()
        with autocast(run.train, here, model):
            loss, _ = model(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        float(loss.detach())  # a GPU is waited for
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])

