"""Train a tokenizer from a corpus, or a model from tokens (or signals).

    neurofm pretrain --config configs/pretrain/NAME.yaml --data corpus/ --out runs/tokenizer
    accelerate launch --config_file configs/accelerate/ddp.yaml -m neurofm.pretrain --config …

The second starts several processes, on one machine or many. What is trained is named by `model`;
its settings are `architecture`, its training is `train`. Interrupted, it continues from its last
state; finished, it does nothing and says so. Exit status: 85 = asked to stop, state saved, run the
same command again; 3 = the loss was not a number.
"""

import functools
import inspect
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedType

from neurofm import artifacts, checkpoints, cli, config, models
from neurofm.checkpoints.contracts import check_contract
from neurofm.checkpoints.tokenizer import open_tokenizer
from neurofm.data.corpus import Corpus
from neurofm.data.pairs import Pairs
from neurofm.data.scans import Scans
from neurofm.data.tokens import TokenSet
from neurofm.data.volume_windows import VolumeWindows
from neurofm.data.windows import SPLITS
from neurofm.training import state
from neurofm.training.finite import NotANumber
from neurofm.training.log import read_lines
from neurofm.training.loop import Stopped, TrainConfig, accelerator_for, end, train

EXIT_STOPPED = 85  # asked to stop, state saved: the batch scripts put the job back in the queue
EXIT_NOT_A_NUMBER = 3
LOOKED_THROUGH = 2048  # training windows by which a vocabulary is ordered

# Settings that change where, how often or how fast, but not what is learned: a run may be continued
# with others. (Paths are compared by the fingerprints of what lies there.)
FREE = frozenset({
    "data", "out", "tokenizer", "init", "watch", "train.log_every", "train.validate_every",
    "train.save_every", "train.keep", "train.workers", "train.compile",
})  # fmt: skip


@dataclass
class PretrainConfig:
    """A pretraining run.

    Parameters
    ----------
    data
        A sealed corpus or token set.
    out
        Folder of the run, which becomes the checkpoint.
    model
        Name of a tokenizer or model (`neurofm.models.INDEX`).
    architecture
        Fields of its config class; those left out keep their defaults.
    tokenizer
        Checkpoint of the tokenizer, for models over tokens.
    init
        Checkpoint of the same model whose weights training begins with, as for unlabelled
        adaptation to other data; architecture and tokenizer are then its own, but for fields of
        architecture on which no weight depends (a longer context). "" = random weights.
    splits
        Whose recordings are trained on, of train, validation and test.
    watch
        Split whose metrics are logged on the way, if the data has it; nothing is chosen by
        them.
    train
        See `neurofm.training.loop.TrainConfig`.
    """

    data: str
    out: str
    model: str
    splits: list[str] = field(default_factory=lambda: ["train"])
    watch: str = "validation"
    architecture: dict[str, Any] = field(default_factory=dict)
    tokenizer: str | None = None
    init: str = ""
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self):
        for name in (*self.splits, self.watch):
            if name not in SPLITS:
                raise ValueError(f"splits and watch are of {', '.join(SPLITS)}; got {name!r}")
        if not self.splits or len(set(self.splits)) < len(self.splits):
            raise ValueError(f"splits must name whom to train on, each once; got {self.splits}")
        made_from = inspect.signature(self.model_class.__init__).parameters.keys()
        if lacking := made_from - {"self", "config", "tokenizer", "labram"}:
            raise ValueError(
                f"model {self.model!r} stands on another ({', '.join(sorted(lacking))}) and learns "
                f"from labels, which is not pretraining: `neurofm pretrain` a brainomni, then "
                f"`neurofm finetune --model` with what that made"
            )
        if self.init and self.tokenizer:
            raise ValueError("init brings its own tokenizer: leave tokenizer out, or init")
        wants_tokenizer = "tokenizer" in made_from and not self.init
        optional = getattr(self.model_class, "tokenizer_is_optional", False)
        if wants_tokenizer and self.tokenizer is None and not optional:
            raise ValueError(f"model {self.model!r} reads tokens: name the checkpoint of the "
                             f"tokenizer that makes them, --tokenizer DIR")
        if self.tokenizer is not None and not wants_tokenizer:
            raise ValueError(f"model {self.model!r} takes no tokenizer: leave --tokenizer out")
        _architecture(self)  # an unknown key is told before a run

    @property
    def model_class(self) -> type:
        return models.find(self.model)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    run = config.parse(PretrainConfig, argv, command="pretrain")
    accelerator = accelerator_for(run.train, Path(run.out))
    say = functools.partial(print, flush=True) if accelerator.is_main_process else _say_nothing
    try:
        return pretrain(run, accelerator, say)
    except Stopped as stop:
        say(stop)
        return EXIT_STOPPED
    except NotANumber as problem:
        sys.stderr.write(f"neurofm pretrain: {problem}\n")
        return EXIT_NOT_A_NUMBER
    finally:
        end(accelerator)


def pretrain(run: PretrainConfig, accelerator: Accelerator, say=print) -> int:
    """Train as `run` says and seal the checkpoint; returns the exit status."""
    out = Path(run.out)
    if artifacts.is_sealed(out):
        _refuse_other_settings(run, out)
        if accelerator.is_main_process and (out / "state").exists():  # killed after it was sealed
            shutil.rmtree(out / "state")
        say(f"{out} is finished ({checkpoints.fingerprint(out)}): nothing to do")
        return 0
    if "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        say("one process, although a launcher was told of several: on machines without a GPU, "
            "`accelerate launch` starts them only with --config_file configs/accelerate/cpu.yaml")
    if os.environ.get("ACCELERATE_USE_FSDP") == "true" and (
        accelerator.distributed_type != DistributedType.FSDP
    ):
        say("FSDP was asked for, but cuts models over several GPUs only: here each process holds "
            "the whole model")
    data = open_data(run.data)
    if isinstance(data, Scans) and getattr(run.model_class, "reads_volumes", False):
        data = VolumeWindows(data, _architecture(run).n_times)
    windows = np.concatenate([data.select(split) for split in run.splits])
    watched = run.watch not in run.splits and _has(data, run.watch)
    held_out = data.select(run.watch) if watched else None
    torch.manual_seed(run.train.seed)
    model = build(run, data, windows)
    parents = {"data": data.fingerprint}
    if run.tokenizer:
        parents["tokenizer"] = checkpoints.fingerprint(run.tokenizer)
    if run.init:
        parents["init"] = checkpoints.fingerprint(run.init)
    made_from = {**parents, **_decisive(config.resolved(run))}
    if state.finished(out / "state"):
        artifacts.check_claim(out, made_from)  # by all processes, so that all end here
    elif accelerator.is_main_process:
        (out / artifacts.CLAIM).unlink(missing_ok=True)  # nothing is there that could be mixed in
    if accelerator.is_main_process:
        artifacts.claim(out, made_from)
        config.save(run, out)
    n_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    say(f"{type(model).__name__}: {n_trained / 1e6:.2f} M parameters to train; "
        f"{len(windows)} windows of {len(set(data.subjects(windows)))} subjects; "
        f"{accelerator.num_processes} process(es) on {accelerator.device.type}")
    if held_out is None:
        say("no validation split is held out: no metric of unseen subjects is logged")
    if n_trained:
        train(
            model, data, windows, run.train, out, accelerator,
            validation=None if held_out is None else (data, held_out),
            hyperparameters=flat(config.resolved(run)), say=say,
        )
    if accelerator.is_main_process:
        _seal(run, data, windows, parents, out, say)
        say(f"checkpoint {checkpoints.fingerprint(out)} in {out}")
    accelerator.wait_for_everyone()
    return 0


def open_data(folder: str) -> Corpus | TokenSet | Scans:
    """A corpus, a token set or scans of EEG with fMRI, whichever the folder is."""
    kind = artifacts.open_sealed(folder).kind
    if kind == "pairs":
        return Scans(Pairs.open(folder))
    if kind not in ("corpus", "tokens"):
        raise ValueError(f"{folder}: wanted a corpus, tokens or pairs to train on, this is a "
                         f"{kind}")
    return Corpus.open(folder) if kind == "corpus" else TokenSet.open(folder)


def build(run: PretrainConfig, data: Corpus | TokenSet | Scans, windows: np.ndarray):
    """A new model with random weights, its contract that of the data. windows: to be trained on."""
    if run.init:
        return _begun(run, data)
    architecture = _architecture(run)
    if hasattr(architecture, "knowing"):  # what only the data knows: people, regions
        architecture = architecture.knowing(data, windows)
    of_scans = isinstance(data, Scans | VolumeWindows)
    if of_scans != getattr(run.model_class, "reads_scans", False):
        raise ValueError(f"model {run.model!r} learns from "
                         f"{'other data than ' if of_scans else ''}EEG with fMRI (neurofm pair), "
                         f"which {run.data} {'is' if of_scans else 'is not'}: choose another "
                         f"model, or other data")
    if (wanted := run.model_class.modality) != data.contract.modality:
        raise ValueError(f"model {run.model!r} learns from {wanted}, but {run.data} holds "
                         f"{data.contract.modality}: choose another model, or ingest other "
                         f"recordings")
    if run.tokenizer is None:
        if isinstance(data, TokenSet):
            raise ValueError(f"model {run.model!r} learns from signals, but {run.data} holds "
                             f"tokens: name the corpus they were made from")
        model = run.model_class(architecture)
    else:
        tokenizer = open_tokenizer(run.tokenizer)
        _check_tokenizer(run, data, tokenizer)
        model = run.model_class(architecture, tokenizer=tokenizer)
    reads_places = getattr(model, "reads_places", True)
    if isinstance(data, Corpus) and reads_places:
        data.check_places(f"model {run.model!r}")
    model.contract = data.contract.for_networks() if reads_places else data.contract
    return model


def _begun(run: PretrainConfig, data: Corpus | TokenSet):
    """The model of `run.init`, to be trained on."""
    model = checkpoints.load(run.init)
    if not isinstance(model, run.model_class):
        raise ValueError(f"init {run.init} is a {type(model).__name__}, wanted a "
                         f"{run.model_class.__name__} (model: {run.model})")
    if isinstance(data, Corpus):
        check_contract(model, data)
    if not run.architecture:
        return model
    other = run.model_class(type(model.config)(**{**model.config.to_dict(), **run.architecture}))
    try:
        other.load_state_dict(model.state_dict())
    except RuntimeError as problem:
        raise ValueError(f"init {run.init}: architecture {run.architecture} changes the shape of "
                         f"weights, which can then not be begun with: leave those fields out "
                         f"({' '.join(str(problem).split())[:200]})") from problem
    other.contract = model.contract
    return other


def _architecture(run: PretrainConfig):
    """The config of the model; its class checks the fields one by one and together."""
    made = run.model_class.config_class
    try:
        return made(**run.architecture)
    except TypeError as problem:  # a text where a number was wanted, one number for a list …
        fields = [str(field) for name, field in inspect.signature(made).parameters.items()
                  if name in run.architecture]
        raise ValueError(f"architecture {run.architecture} does not fit {made.__name__}, which "
                         f"wants {'; '.join(fields)} ({problem})") from problem


def _check_tokenizer(run: PretrainConfig, data: Corpus | TokenSet, tokenizer) -> None:
    """The tokenizer must be the one that made the tokens, or take signals such as the corpus's."""
    if isinstance(data, TokenSet):
        made_by = checkpoints.fingerprint(run.tokenizer)
        if made_by != data.tokenizer:
            raise ValueError(
                f"{run.data} was made by tokenizer {data.tokenizer}, but {run.tokenizer} is "
                f"{made_by}: its codes mean other things; tokenize again or name the right one"
            )
    else:
        check_contract(tokenizer, data)


def flat(settings: dict, above: str = "") -> dict:
    """{"train": {"lr": 1}} → {"train.lr": 1}."""
    found = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= flat(value, f"{above}{name}.")
        else:
            found[above + name] = value
    return found


def _decisive(resolved: dict) -> dict:
    return {name: value for name, value in flat(resolved).items() if name not in FREE}


def _refuse_other_settings(run: PretrainConfig, out: Path) -> None:
    """A finished run that was made otherwise, or of other data, is not what is being asked for."""
    manifest = artifacts.open_sealed(out, "checkpoint")
    made = {**manifest.parents, **_decisive(manifest.config)}
    wanted = {**manifest.parents, **_decisive(config.resolved(run))}
    if Path(run.data).exists():  # the data of a finished run may lie elsewhere by now
        wanted["data"] = open_data(run.data).fingerprint
    if run.tokenizer and Path(run.tokenizer).exists():
        wanted["tokenizer"] = checkpoints.fingerprint(run.tokenizer)
    differing = [f"{name}: {made.get(name)}, wanted {wanted.get(name)}"
                 for name in sorted(made.keys() | wanted.keys())
                 if made.get(name) != wanted.get(name)]
    if differing:
        raise ValueError(f"{out} is finished, but was made with other settings "
                         f"({'; '.join(differing)}): choose another --out")


def _say_nothing(*_) -> None:
    """What the processes besides the first say."""


def _has(data: Corpus | TokenSet, split: str) -> bool:
    return bool((data.recordings["split"] == split).any())


def _seal(run: PretrainConfig, data, windows: np.ndarray, parents: dict, out: Path, say):
    """Make the checkpoint out of the last state: its weights are whole, while those of the model
    just trained may be spread over processes. A model that looks through the training windows once
    more at the end (`finish`: to order its vocabulary) does so here."""
    model, last = build(run, data, windows), {}
    if states := state.finished(out / "state"):
        state.load_weights(states[-1] / "model.safetensors", model)
        for line in read_lines(out / "log.jsonl"):
            last |= line
    if hasattr(model, "finish"):
        chosen = np.random.default_rng(run.train.seed).permutation(windows)[:LOOKED_THROUGH]
        say(model.eval().finish(data.batch(np.sort(chosen[i : i + 16]))
                                for i in range(0, len(chosen), 16)))
    checkpoints.save_checkpoint(
        model, out, config=config.resolved(run), parents=parents,
        ledger=checkpoints.training_ledger(
            data, {"train": windows},
            checkpoints.read_ledger(run.tokenizer or run.init)
            if run.tokenizer or run.init else None
        ),
        metrics={name: value for name, value in last.items() if name.startswith("val/")},
    )
    shutil.rmtree(out / "state", ignore_errors=True)


if __name__ == "__main__":
    sys.exit(cli.main(["pretrain", *sys.argv[1:]]))
