"""Train a tokenizer on a corpus, or a model on tokens or signals.

    neurofm pretrain --config configs/pretrain/NAME.yaml --data corpus/ --out runs/tokenizer
    accelerate launch --config_file configs/accelerate/ddp.yaml -m neurofm.pretrain --config …

The second starts several processes, on one machine or many. What is trained is named by `model`;
its settings are `architecture`, its training is `train`. Interrupted, it continues from its last
state; finished, it does nothing and says so. Exit status: 85 = asked to stop, state saved, run the
same command again; 3 = the loss was not a number.
"""

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedType

from neurofm import artifacts, checkpoints, cli, config, models
from neurofm.checkpoints.contracts import check_contract
from neurofm.checkpoints.tokenizer import open_tokenizer
from neurofm.data.augment import ALL, By
from neurofm.data.brains import Brains
from neurofm.data.corpus import Corpus
from neurofm.data.scans import Scans
from neurofm.data.tokens import TokenSet
from neurofm.data.windows import SPLITS
from neurofm.limits import Count, Positive, Share, limited
from neurofm.models.protocol import Backbone, NeuroFMPreTrainedModel, Tokenizer
from neurofm.run import FAILED, OK, Job, Made, flat
from neurofm.training import spikes, state
from neurofm.training.compute import end, precision_of
from neurofm.training.finite import NotANumber
from neurofm.training.log import read_lines
from neurofm.training.loop import CHOSEN, TrainConfig, accelerator_for, train
from neurofm.training.pace import pace_of
from neurofm.training.parts import parts_of
from neurofm.training.sampler import check_batch

from . import history, report
from .frame import Pretrain, continued
from .history import History
from .sources import Source, architecture_of, augmented, open_data, windows_of

LOOKED_THROUGH = 2048  # training windows by which a vocabulary is ordered

# Settings that change where, how often or how fast, but not what is learned: a run may be continued
# with others.
FREE = frozenset({
    "watch", "train.log_every", "train.validate_every", "train.save_every", "train.keep",
    "train.save", "train.workers", "train.compile", "train.checkpointing", "train.track",
    "continue_with", "keep_state", "sweep", "sweep_limit",  # a leg, the last state, other runs
})  # fmt: skip


@dataclass
@limited
class PretrainConfig:
    """Train a tokenizer or model.

    Parameters
    ----------
    data
        A finished corpus or token set; or several of one contract, --data a b c, which are mixed;
        or, for models that read both, a corpus of fMRI and one of T1-weighted images.
        hf://org/name[@revision] is a published one, whose shards are downloaded when first read.
    out
        Folder of the run; it becomes the checkpoint.
    model
        Name of a tokenizer or model.
    architecture
        Settings of the model; those not given keep their defaults.
    tokenizer
        Checkpoint of the tokenizer, for models that read tokens.
    init
        Checkpoint of the same model to start from, such as for adaptation to other data.
        Architecture and tokenizer are then taken from it, except settings that no weight depends
        on, such as a longer context. "" = random weights.
    weights
        Share of each of several data sets in a pass, in any unit. A pass holds every window, those
        of a data set with a larger share several times. [] = by size, see temperature.
    temperature
        Shares of several data sets are as their numbers of windows to the power of 1/temperature:
        1 = by size; the larger, the more alike.
    splits
        Splits to train on: train, validation, test.
    watch
        Split whose metrics are logged during training, if the data has it. Nothing is selected by
        them.
    augment_share
        Share of the windows of a step that are augmented; 0 = none. Of signals of EEG and MEG.
    augment_by
        What is changed in them, each with probability 1/2: lowpass (band ends at 20 Hz or more),
        channels (down to 4 are left), reference, noise.
    continue_with
        Settings to change in a run that has begun or is finished, by dotted names, such as
        '{train.steps: 2000, train.lr: 1e-4}'; all others are repeated as they were. The learning
        rate then rises from where it was to train.lr, over train.warmup of the remaining steps,
        and decays again.
    keep_state
        Keep the last state in the finished run, so that it can be made longer with its optimizer.
    sweep
        YAML file, dotted name of a setting → list of values: writes a run for each combination
        into out, with a table and a Slurm script, and trains none.
    sweep_limit
        Largest number of runs of a sweep.
    train
        Training settings.
    """

    data: list[str] | str
    out: str
    model: str = field(metadata={"choices": models.pretrained_names})
    weights: list[Positive] = field(default_factory=list)
    temperature: Positive = 1.0
    splits: list[str] = field(default_factory=lambda: ["train"])
    watch: str = "validation"
    architecture: dict[str, Any] = field(default_factory=dict)
    tokenizer: str | None = None
    init: str = ""
    augment_share: Share = 0.0
    augment_by: list[By] = field(default_factory=lambda: list(ALL))
    continue_with: dict[str, Any] = field(default_factory=dict)
    keep_state: bool = False
    sweep: str = ""
    sweep_limit: Count = 64
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self):
        if not self.places:
            raise ValueError("data: wanted the folder of a corpus or token set")
        if len(set(self.places)) < len(self.places):
            raise ValueError(f"data: wanted each folder once, got {self.places}")
        if len(self.places) == 1 and (self.weights or self.temperature != 1):
            raise ValueError("weights and temperature are of several data sets: --data a b")
        if self.weights and self.temperature != 1:
            raise ValueError("weights say the shares, so temperature would be ignored: give one")
        for name in (*self.splits, self.watch):
            if name not in SPLITS:
                raise ValueError(f"splits and watch are of {', '.join(SPLITS)}; got {name!r}")
        if not self.splits or len(set(self.splits)) < len(self.splits):
            raise ValueError(f"splits must name whom to train on, each once; got {self.splits}")
        if self.model_class.needs_labels:
            raise ValueError(
                f"model {self.model!r} learns from labels, which is not pretraining: `neurofm "
                f"pretrain` a model without labels, such as a brainomni, then `neurofm finetune "
                f"--model` with what that made"
            )
        if self.init and self.tokenizer:
            raise ValueError("init brings its own tokenizer: leave tokenizer out, or init")
        needs = "no" if self.init else self.model_class.needs_tokenizer
        if needs == "required" and self.tokenizer is None:
            raise ValueError(f"model {self.model!r} reads tokens: name the checkpoint of the "
                             f"tokenizer that makes them, --tokenizer DIR")
        if needs == "no" and self.tokenizer is not None:
            raise ValueError(f"model {self.model!r} takes no tokenizer: leave --tokenizer out")
        architecture_of(self)  # an unknown key is told before a run
        if self.sweep and self.continue_with:
            raise ValueError("a sweep writes new runs, and continue_with changes one that has "
                             "begun: give one of them")
        if self.continue_with:
            self.continue_with = history.checked(
                self.continue_with, FREE, flat(config.resolved(self)))
            history.with_settings(replace(self, continue_with={}), self.continue_with)

    @property
    def places(self) -> list[str]:
        """Folders of the data."""
        return [self.data] if isinstance(self.data, str) else self.data

    @property
    def named(self) -> str:
        """The data, for messages and command lines."""
        return " ".join(self.places)

    @property
    def model_class(self) -> type[NeuroFMPreTrainedModel]:
        return models.find(self.model)


def pretrain(run: PretrainConfig, job: Job) -> int:
    """Train as `run` says, and seal the checkpoint."""
    accelerator = accelerator_for(run.train, job.out)
    try:
        return pretrain_on(run, job, accelerator)
    except NotANumber as problem:
        sys.stderr.write(f"neurofm pretrain: {problem}\n")  # of every process, each ends so
        return FAILED
    finally:
        end(accelerator)


def pretrain_on(run: PretrainConfig, job: Job, accelerator: Accelerator) -> int:
    """The same, on processes that have found each other already. Raises NotANumber."""
    out = job.out
    if "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        job.say("one process, although a launcher was told of several: on machines without a GPU, "
                "`accelerate launch` starts them only with --config_file "
                "configs/accelerate/cpu.yaml")
    if os.environ.get("ACCELERATE_USE_FSDP") == "true" and (
        accelerator.distributed_type != DistributedType.FSDP
    ):
        job.say("FSDP was asked for, but cuts models over several GPUs only: here each process "
                "holds the whole model")
    told = continued(run, job, accelerator)
    begun_with, run = run, told.effective(run)
    data = open_data(run)
    windows = windows_of(run, data, job.say)
    watched = run.watch not in run.splits and bool((data.recordings["split"] == run.watch).any())
    held_out = data.select(run.watch) if watched else None
    torch.manual_seed(run.train.seed)
    model = build(run, data, windows)
    if accelerator.is_main_process:
        config.save(replace(begun_with, continue_with={}), out)
        told.write(out / "state")
    n_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    precision = precision_of(run.train, accelerator.device, model)
    job.say(f"{type(model).__name__}: {n_trained / 1e6:.2f} M parameters to train; "
            f"{len(windows)} windows of {len(set(data.subjects(windows)))} subjects; "
            f"{accelerator.num_processes} process(es) on {accelerator.device.type}, {precision}")
    if held_out is None:
        job.say("no validation split is held out: no metric of unseen subjects is logged")
    if n_trained:
        check_batch("train.batch_windows", run.train.batch_windows, len(windows))
        train(
            model, augmented(run, data, model), windows, run.train, out, accelerator,
            validation=None if held_out is None else (data, held_out),
            schedule=told.schedule(), pace=pace_of(model, data, windows, accelerator, job.say),
            parts=None if held_out is None else parts_of(data, held_out),
            hyperparameters=flat(config.resolved(run)) | {"train.precision": precision},
            say=job.say,
        )
    if accelerator.is_main_process:
        job.seal(checkpoint(run, job, data, windows, told))
        job.say(f"checkpoint {checkpoints.fingerprint(out)} in {out}")
        if isinstance(model, Tokenizer):
            job.say(f"to see what it keeps: neurofm evaluate reconstruction --data {run.named} "
                    f"--model {out} --out reconstruction")
            job.say(f"next: neurofm pretrain --model meg_gpt --data {run.named} --tokenizer {out} "
                    f"--out model" if model.of_samples else
                    f"next: neurofm tokenize --data {run.named} --model {out} --out tokens")
        elif isinstance(model, Backbone):
            job.say(f"next: neurofm finetune --data LABELED_CORPUS --model {out} --out decoder")
    accelerator.wait_for_everyone()
    return OK


COMMAND = Pretrain(
    "pretrain", PretrainConfig, pretrain, makes="checkpoint", reads=("data",),
    models=("tokenizer", "init"), free=FREE, leaves=("state",),
    begun=lambda out: bool(state.finished(out / "state")),
)
main = COMMAND


def build(run: PretrainConfig, data: Source, windows: np.ndarray) -> NeuroFMPreTrainedModel:
    """A new model with random weights, its contract that of the data. windows: to be trained on."""
    if isinstance(data, Brains) and not run.model_class.reads_images:
        raise ValueError(f"model {run.model!r} reads no T1-weighted images, which {run.named} "
                         f"holds beside the scans: give the corpus of fMRI alone")
    if run.init:
        return _begun(run, data)
    architecture = architecture_of(run).knowing(data, windows)
    of_scans = isinstance(data, Scans)
    if of_scans != (run.model_class.learns_from != "signals"):
        raise ValueError(f"model {run.model!r} learns from "
                         f"{'other data than ' if of_scans else ''}EEG with fMRI (neurofm pair), "
                         f"which {run.named} {'is' if of_scans else 'is not'}: choose another "
                         f"model, or other data")
    if (wanted := run.model_class.modality) != data.contract.modality:
        raise ValueError(f"model {run.model!r} learns from {wanted}, but {run.named} holds "
                         f"{data.contract.modality}: choose another model, or ingest other "
                         f"recordings")
    if run.tokenizer is None:
        if isinstance(data, TokenSet):
            raise ValueError(f"model {run.model!r} learns from signals, but {run.named} holds "
                             f"tokens: name the corpus they were made from")
        model = run.model_class(architecture)
    else:
        tokenizer = open_tokenizer(run.tokenizer)
        _check_tokenizer(run.tokenizer, tokenizer, data)
        of_tokens: Callable[..., NeuroFMPreTrainedModel] = run.model_class
        model = of_tokens(architecture, tokenizer=tokenizer)
    if isinstance(data, Corpus) and model.reads_places:
        data.check_places(f"model {run.model!r}")
    model.contract = data.contract.for_networks() if model.reads_places else data.contract
    return model


def _begun(run: PretrainConfig, data: Source) -> NeuroFMPreTrainedModel:
    """The model of `run.init`, to be trained on."""
    model = checkpoints.load(run.init)
    if not isinstance(model, run.model_class):
        raise ValueError(f"init {run.init} is a {type(model).__name__}, wanted a "
                         f"{run.model_class.__name__} (model: {run.model})")
    if isinstance(data, Corpus):
        check_contract(model, run.init, data, same_geometry=True)
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


def _check_tokenizer(path: str, tokenizer: Tokenizer, data: Source) -> None:
    """The tokenizer must be the one that made the tokens, or take signals such as the corpus's."""
    if isinstance(data, TokenSet):
        made_by = checkpoints.fingerprint(path)
        if made_by != data.tokenizer:
            raise ValueError(
                f"{data.folder} was made by tokenizer {data.tokenizer}, but {path} is {made_by}: "
                f"its codes mean other things; tokenize again or name the right one"
            )
    elif isinstance(data, Corpus):
        check_contract(tokenizer, path, data, same_geometry=True)


def checkpoint(run: PretrainConfig, job: Job, data: Source, windows: np.ndarray, told: History
               ) -> Made:
    """Make the checkpoint out of the last state: its weights are whole, while those of the model
    just trained may be spread over processes. A model that looks through training windows once
    more at the end (`finish`: to order its vocabulary) does so here."""
    model, out = build(run, data, windows), job.out
    last: dict[str, Any] = {}
    if states := state.finished(out / "state"):
        guard = artifacts.open_sealed(states[-1], "state").config.get("guard", {})
        told.note([*spikes.read_spikes(out / "state"), *guard.get("skipped", [])],
                  [list(pair) for pair in spikes.read_passed(out / "state")])
        key, best = run.train.keep_best, out / "state" / CHOSEN
        last = last_values(read_lines(out / "log.jsonl"), key,
                           spikes.read_lowest(out / "state"))
        if key and best.exists():
            state.load_weights(best, model)
        else:
            state.load_model(states[-1], model)
            if key:
                job.say(f"{key} was never a number: the last weights are kept")
    told.write(out)
    chosen = np.random.default_rng(run.train.seed).permutation(windows)[:LOOKED_THROUGH]
    if said := model.eval().finish(data.batch(np.sort(chosen[i : i + 16]))
                                   for i in range(0, len(chosen), 16)):
        job.say(said)
    before = run.tokenizer or run.init
    ledger = checkpoints.training_ledger(
        data, {"train": windows}, checkpoints.read_ledger(before) if before else None)
    begun_with = history.with_settings(replace(run, continue_with={}), told.legs[0].settings)
    settings = config.resolved(begun_with)
    if len(told.legs) > 1:
        ledger["legs"] = told.told()
    files = checkpoints.write_checkpoint(
        model, out, config=settings, ledger=ledger,
        metrics={name: value for name, value in last.items() if name.startswith("val/")})
    held_out = (data.select(run.watch) if run.watch not in run.splits and
                (data.recordings["split"] == run.watch).any() else None)
    return Made(files, page=report.page(model, out, settings, told, ledger, data, held_out))


def last_values(lines: list[dict], best: str, lowest: float = math.inf) -> dict[str, Any]:
    """The last value of each number of a log; of validations only the one where `best` was lowest,
    if it is named. lowest: its lowest value among lines that were cut (`spikes.read_lowest`)."""
    found: dict[str, Any] = {best: lowest} if best and lowest < math.inf else {}
    for line in lines:
        if best and not line.get(best, math.inf) < found.get(best, math.inf):
            line = {name: value for name, value in line.items() if not name.startswith("val/")}
        found |= line
    return found


if __name__ == "__main__":
    sys.exit(cli.main(["pretrain", *sys.argv[1:]]))
