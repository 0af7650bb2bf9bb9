"""FSDP2 on two processes, then on one, then on four: the losses of one process, with dropout."""

import contextlib
import os
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from neurofm.pretrain.sources import open_data
from neurofm.pretrain.train import PretrainConfig, build
from neurofm.run import Stopped
from neurofm.training import state
from neurofm.training.compute import end
from neurofm.training.loop import TrainConfig, accelerator_for, train
from tests.support import corpora
from tests.support.sharded_on_cpus import shard
from tests.training.test_distributed import launch_environment
from tests.training.test_resume import log

STEPS = 12
TRAIN = {"steps": STEPS, "batch_windows": 8, "log_every": 1, "lr": 3e-3, "precision": "float32",
         "save": "sharded", "validate_every": 4}


def part(settings: dict, out: Path, stop_after: int, fsdp: dict | None = None) -> None:
    """Train up to a step, on as many processes as this is one of."""
    run = PretrainConfig(**settings, out=str(out), train=TrainConfig(**TRAIN))
    accelerator = accelerator_for(run.train, out)
    if fsdp:
        shard(fsdp)
    data = open_data(run)
    windows = data.select("train")
    torch.manual_seed(0)
    model = build(run, data, windows)
    with contextlib.suppress(Stopped):
        train(model, data, windows, run.train, out, accelerator, stop_after=stop_after,
              validation=(data, data.select("validation")), say=lambda *_: None)
    if fsdp:
        cut = [each.to_local().shape[0] for each in model.blocks.parameters()]
        whole = [each.shape[0] for each in model.blocks.parameters()]
        assert sum(cut) < sum(whole) / accelerator.num_processes * 1.2
    end(accelerator)


def one_of(rank: int, world: int, port: int, *arguments) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
                   "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    part(*arguments)


def on(world: int, *arguments) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    mp.spawn(one_of, args=(world, port, *arguments), nprocs=world)


@pytest.mark.long
def test_distributed_resharding_two_one_four(tokens_folder, tokenizer_folder, tmp_path):
    settings = {"model": "brainomni", "data": str(tokens_folder),
                "tokenizer": str(tokenizer_folder),
                "architecture": {**corpora.BRAINOMNI, "dropout": 0.1}}
    fsdp = {name: value for name, value in launch_environment("fsdp.yaml").items()
            if name.startswith(("FSDP", "ACCELERATE_USE_FSDP"))}
    one, out = tmp_path / "one", tmp_path / "out"
    part(settings, one, STEPS)
    on(2, settings, out, 4, fsdp)
    part(settings, out, 8)
    on(4, settings, out, STEPS, fsdp)
    pairs = list(zip(log(one), log(out), strict=True))
    largest = max(abs(a[name] - b[name]) for a, b in pairs for name in ("loss", "val/loss")
                  if name in a)
    print("2 → 1 → 4 processes, FSDP2, dropout .1: largest difference of losses", largest)
    assert largest < 1e-6
    assert len([line for line in log(out) if "loss" in line]) == STEPS
    assert state.is_sharded(state.finished(out / "state")[-1])
