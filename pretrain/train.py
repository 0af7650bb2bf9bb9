"""Train a tokenizer from a corpus, or a model from tokens (or signals).

    neurofm pretrain --config configs/pretrain/NAME.yaml --data corpus/ --out runs/tokenizer
    accelerate launch -m pretrain.train --config …          several processes or machines

What is trained is named by `model`; its settings are `architecture`, its training is `train`.
Interrupted, it continues from its last state; finished, it does nothing and says so.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurofm import artifacts, config, hub, models
from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from neurofm.training.loop import NotANumber, Stopped, TrainConfig, accelerator_for, train

EXIT_STOPPED = 85  # asked to stop, state saved: the batch scripts put the job back in the queue
EXIT_NOT_A_NUMBER = 3


@dataclass
class PretrainConfig:
    """A pretraining run.

    data: a sealed corpus or token set. out: folder of the run, which becomes the checkpoint.
    model: name of a tokenizer or model (`neurofm.models.INDEX`).
    architecture: fields of its config class; those left out keep their defaults.
    tokenizer: checkpoint of the tokenizer that made the tokens, for models over tokens.
    splits: whose recordings are trained on. The validation split is watched unless named here.
    train: see `neurofm.training.loop.TrainConfig`.
    """

    data: str
    out: str
    model: str
    splits: list[str] = field(default_factory=lambda: ["train"])
    architecture: dict[str, Any] = field(default_factory=dict)
    tokenizer: str | None = None
    train: TrainConfig = field(default_factory=TrainConfig)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    run = config.parse(PretrainConfig, argv, command="pretrain")
    try:
        return pretrain(run)
    except Stopped as stop:
        print(stop)
        return EXIT_STOPPED
    except NotANumber as problem:
        sys.stderr.write(f"neurofm pretrain: {problem}\n")
        return EXIT_NOT_A_NUMBER


def pretrain(run: PretrainConfig) -> int:
    """Train as `run` says and seal the checkpoint; returns the exit status."""
    out = Path(run.out)
    if artifacts.is_sealed(out):
        print(f"{out} is finished ({hub.fingerprint(out)}): nothing to do")
        return 0
    accelerator = accelerator_for(run.train, out)
    say = accelerator.print
    data = open_data(run.data)
    windows = np.concatenate([data.select(split) for split in run.splits])
    watched = "validation" not in run.splits and _has(data, "validation")
    held_out = data.select("validation") if watched else None
    torch.manual_seed(run.train.seed)
    model = build(run, data)
    accelerator.init_trackers("tensorboard")
    n_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    say(f"{type(model).__name__}: {n_trained / 1e6:.2f} M parameters to train; "
        f"{len(windows)} windows of {len(set(data.subjects(windows)))} subjects; "
        f"{accelerator.num_processes} process(es) on {accelerator.device.type}")
    if held_out is None:
        say("no validation split is held out: no metric of unseen subjects is logged")
    model = train(
        model, data, windows, run.train, out, accelerator,
        validation=None if held_out is None else (data, held_out), say=say,
    )
    if accelerator.is_main_process:
        _seal(model, run, data, windows, held_out, out)
        say(f"checkpoint {hub.fingerprint(out)} in {out}")
    accelerator.wait_for_everyone()
    return 0


def open_data(folder: str) -> Corpus | TokenSet:
    """A corpus or token set, whichever the folder is."""
    kind = artifacts.open_sealed(folder).kind
    if kind not in ("corpus", "tokens"):
        raise ValueError(f"{folder}: wanted a corpus or tokens to train on, this is a {kind}")
    return Corpus.open(folder) if kind == "corpus" else TokenSet.open(folder)


def build(run: PretrainConfig, data: Corpus | TokenSet):
    """A new model with random weights, its contract that of the data."""
    model_class = models.find(run.model)
    architecture = model_class.config_class(**run.architecture)
    if isinstance(data, TokenSet):
        if run.tokenizer is None:
            raise ValueError(f"{run.data} holds tokens: name the checkpoint of the tokenizer that "
                             f"made them, --tokenizer DIR")
        made_by = hub.fingerprint(run.tokenizer)
        if made_by != data.tokenizer:
            raise ValueError(
                f"{run.data} was made by tokenizer {data.tokenizer}, but {run.tokenizer} is "
                f"{made_by}: its codes mean other things; tokenize again or name the right one"
            )
        model = model_class(architecture, tokenizer=hub.load(run.tokenizer))
    else:
        model = model_class(architecture)
    model.contract = data.contract
    return model


def _has(data: Corpus | TokenSet, split: str) -> bool:
    return bool((data.recordings["split"] == split).any())


def _seal(model, run: PretrainConfig, data, windows: np.ndarray, held_out, out: Path) -> None:
    parents = {"data": data.fingerprint}
    parent_ledger = None
    if run.tokenizer:
        parents["tokenizer"] = hub.fingerprint(run.tokenizer)
        parent_ledger = hub.read_ledger(run.tokenizer)
    used = {"train": windows} | ({} if held_out is None else {"validation": held_out})
    last: dict[str, float] = {}
    for line in (out / "log.jsonl").read_text().splitlines():
        last |= json.loads(line)
    metrics = {name: value for name, value in last.items() if name.startswith("val/")}
    hub.save_checkpoint(
        model, out, config=config.resolved(run), parents=parents,
        ledger=hub.training_ledger(data, used, parent_ledger), metrics=metrics,
    )


if __name__ == "__main__":
    sys.exit(main())
