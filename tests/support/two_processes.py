"""What the tests of test_distributed.py run in two processes, all in one launch (a start of Python
with torch costs seconds):

    accelerate launch --config_file configs/accelerate/cpu.yaml two_processes.py WORK

WORK/settings.json names the runs; each leaves its folder there, and each process what it saw.
"""

import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from sharded_on_cpus import shard  # beside this file, as the next
from spiky import STEPS, Spiky
from torch.distributed.tensor import DTensor

import neurofm.pretrain.sources
import neurofm.pretrain.train
from neurofm import config
from neurofm.pretrain.train import COMMAND, PretrainConfig, pretrain_on
from neurofm.run import Stopped
from neurofm.training.compute import end
from neurofm.training.finite import NotANumber
from neurofm.training.loop import accelerator_for, train


def run_of(settings: dict, name: str) -> PretrainConfig:
    path = Path(settings["work"]) / f"{name}.yaml"
    return config.parse(PretrainConfig, [f"--config={path}"], command="pretrain")


def keep_what_was_trained(work: Path, rank: int) -> None:
    """Each process writes the model it has ended with."""

    def kept(model, data, windows, settings, out, *args, **options):
        trained = train(model, data, windows, settings, out, *args, **options)
        tensors = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
        save_file(tensors, work / f"{out.name}-{rank}.safetensors")
        return trained

    neurofm.pretrain.train.train = kept


def guarded(run: PretrainConfig, work: Path, accelerator: Accelerator) -> None:
    """A run that skips steps and goes back; each process keeps what it said."""
    data, said = neurofm.pretrain.sources.open_data(run), []
    config = replace(run.train, steps=STEPS, save_every=8, validate_every=0, lr=1e-3, spikes=12.0)
    train(Spiky(poison=30), data, data.select("train"), config, work / "guarded", accelerator,
          say=said.append)
    told = [line.partition(" is ")[0] for line in said if "skipped" in line]
    (work / f"guarded-{accelerator.process_index}.json").write_text(json.dumps(told))


def there_and_back(run: PretrainConfig, accelerator: Accelerator) -> None:
    """The middle third of a run that one process begins and ends."""
    data = neurofm.pretrain.sources.open_data(run)
    windows = data.select("train")
    model = neurofm.pretrain.train.build(run, data, windows)
    with contextlib.suppress(Stopped):
        train(model, data, windows, run.train, Path(run.out), accelerator,
              validation=(data, data.select("validation")), stop_after=16)


def main(work: Path) -> None:
    settings = json.loads((work / "settings.json").read_text())
    run = run_of(settings, "tokenizer")
    accelerator = accelerator_for(run.train, Path(run.out))
    rank = accelerator.process_index
    (work / f"seen-{rank}.json").write_text(json.dumps({
        "processes": accelerator.num_processes, "type": str(accelerator.distributed_type),
    }))
    keep_what_was_trained(work, rank)
    command = replace(COMMAND, body=lambda run, job: pretrain_on(run, job, accelerator))
    command.run(run)
    command.run(run_of(settings, "without_phase"))
    for name in ("brainomni", "accumulated"):
        command.run(run_of(settings, name))
    try:
        command.run(run_of(settings, "spoilt"))
    except NotANumber as problem:
        (work / f"spoilt-{rank}.txt").write_text(str(problem))
    neurofm.pretrain.train.train = train
    guarded(run_of(settings, "brainomni"), work, accelerator)
    there_and_back(run_of(settings, "ddp"), accelerator)
    shard(settings["fsdp"])
    there_and_back(run_of(settings, "fsdp"), accelerator)
    run = run_of(settings, "sharded")
    data = neurofm.pretrain.sources.open_data(run)
    windows = data.select("train")
    for stop_after in (7, None):
        torch.manual_seed(run.train.seed)
        model = neurofm.pretrain.train.build(run, data, windows)
        try:
            train(model, data, windows, run.train, Path(run.out), accelerator,
                  validation=(data, data.select("validation")), stop_after=stop_after)
        except Stopped:
            local = {name: list(parameter.to_local().shape)
                     for name, parameter in model.named_parameters()
                     if isinstance(parameter, DTensor)}
            (work / f"local-{rank}.json").write_text(json.dumps(local))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    end(Accelerator())
