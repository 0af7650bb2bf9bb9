"""Train a decoder and test it on held-out subjects.

    neurofm finetune --data labeled/ --out runs/decoder
    neurofm finetune … --model runs/brainomni       features of a pretrained model are one more view
    neurofm finetune … --protocol.kind sessions     for people whose earlier sessions are known
    neurofm finetune … --decoder network --model runs/brainomni     a head on the pretrained model
    neurofm finetune … --decoder network … --mode full              the transformer trains along
    neurofm finetune … --decoder network … --random_weights true    without pretraining
    neurofm finetune … --decoder network … --augment_copies 2       for recordings of other devices

The corpus's own split decides, or a fold of a protocol. The automatic decoder learns from training
and validation subjects, among whom folds choose everything (`decoder.stack`). A network trains on
train and takes the step where the validation subjects' loss was lowest. Both report on test.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from neurofm import checkpoints
from neurofm.checkpoints.contracts import check_contract
from neurofm.checkpoints.robustness import Robustness
from neurofm.data.augment import ALL, By
from neurofm.data.corpus import Corpus
from neurofm.limits import Count, Signed, limited
from neurofm.models.protocol import WindowDecoder
from neurofm.models.stacked_config import NETWORK, RECENTERED
from neurofm.pages import page as pages
from neurofm.pages import table as tables
from neurofm.pages import words
from neurofm.pages.page import Page
from neurofm.pages.words import contract_in_words
from neurofm.preprocessing.steps.band import Lacking
from neurofm.results import Results, score
from neurofm.run import Command, Job, Made
from neurofm.training.loop import TrainConfig, accelerator_for
from neurofm.training.sampler import check_batch

from . import tasks
from .decoder import auto, features, lacking
from .decoder.augmented import copies
from .decoder.build import build, open_backbone
from .decoder.fit import fit
from .decoder.labeled import Labeled, checked, labeled
from .decoder.recipes import full_training, head_training
from .protocol.windows import SAME_PEOPLE, Protocol, folds, said_of_whom
from .scoring import robustness, robustness_figure, weights
from .scoring.predictions import judge, predict, save_test, table_of
from .use import findings

FIGURE, WEIGHTS = "robustness.png", "weights.png"


@dataclass
@limited
class FinetuneConfig:
    """Train a decoder and test it on held-out subjects.

    Parameters
    ----------
    data
        A finished corpus with labels.
    model
        Checkpoint folder or Hub repository of a model with features, or of a decoder (its encoder
        is used). The automatic decoder needs none.
    out
        Folder of the run; it becomes the checkpoint.
    decoder
        "auto" solves a linear model on each of several views of the signals (band power,
        covariances, …, features of the model) and weighs them by folds over the training and
        validation subjects; seconds to a minute. "network" trains a head on the pretrained model;
        mode, architecture, tokens, random_weights, augment_copies and train belong to it.
    views
        Views of the automatic decoder; NAME_recentered subtracts each subject's mean. Of EEG
        and MEG: power, covariance, filter_bank, spatial_patterns, network; at events also
        evoked_50ms, evoked_200ms, evoked_covariance. Of fMRI: mean, variance, correlation,
        connectivity, network. Default: all that fit the data.
    mode
        "frozen" trains only the head. "full" then also trains the encoder (head first,
        because a random head distorts features; Kumar et al. 2022, arXiv 2202.10054).
        "lora" and "dora" train low-rank adapters instead of the encoder.
    protocol
        Which subjects train, select and test, as in `neurofm evaluate decoding`.
    fold
        Number of the fold, from 0; -1 = the last.
    task
        What is decoded; a numeric task, such as age, gives a regression
    random_weights
        Train the same network without pretraining, for comparison. Use a higher learning rate in
        train_full (`neurofm evaluate decoding` does so itself).
    classes
        Labels to decode; empty = all.
    only
        Column or attribute of recordings and the value it must have, such as --only.task=motor.
    architecture
        Further settings of the decoder (pool, recentered, head, rank, layer_decay …), such as
        --architecture.recentered=true to subtract each subject's mean.
    tokens
        Token set of this corpus by the tokenizer of the model; default: encode here.
    lacking
        Recordings of the corpus that lack part of the contract's band: "accept" (the score tells
        what that costs) or "refuse" them.
    min_subjects
        Minimum number of training subjects per class.
    augment_copies
        Augmented copies of each training window: worse recordings are decoded better. 0 = none.
    augment_by
        What is changed in copies, each with probability 1/2: lowpass (band ends at 20 Hz or
        more), channels (down to 4 are left), reference, noise.
    robustness
        Measure on the validation subjects how the score falls with less band, fewer channels and
        artifacts; `neurofm decode` needs it for recordings that lack some of these.
    batch_windows
        Windows per batch when encoding.
    train
        Training of the head. Its seed is the seed of the run.
    train_full
        Training of the encoder with the head.
    """

    data: str
    out: str
    model: str | None = None
    decoder: Literal["auto", "network"] = "auto"
    views: list[str] = field(default_factory=list)
    mode: Literal["frozen", "full", "lora", "dora"] = "frozen"
    task: str = field(default="labels", metadata={"choices": tasks.names})
    protocol: Protocol = field(default_factory=Protocol)
    fold: Signed = 0
    random_weights: bool = False
    classes: list[str] = field(default_factory=list)
    only: dict[str, str] = field(default_factory=dict)
    architecture: dict[str, Any] = field(default_factory=dict)
    tokens: str | None = None
    lacking: Lacking = "accept"
    min_subjects: Count = 2
    augment_copies: int = 0
    augment_by: list[By] = field(default_factory=lambda: list(ALL))
    robustness: bool = True
    batch_windows: Count = 16
    train: TrainConfig = field(default_factory=head_training)
    train_full: TrainConfig = field(default_factory=full_training)

    def __post_init__(self):
        if self.decoder == "network" and self.model is None:
            raise ValueError("--decoder network needs --model, the pretrained model it stands on; "
                             "give it, or leave --decoder out for the automatic decoder")
        if self.decoder == "network" and self.views:
            raise ValueError("views are those of --decoder auto; leave --views or --decoder out")
        network = {name.removesuffix(RECENTERED) for name in self.views} & {NETWORK}
        if self.views and bool(network) != (self.model is not None) and self.decoder == "auto":
            raise ValueError(f"view {NETWORK} is the features of --model: wanted both, or none, "
                             f"got {f'--model {self.model}' if self.model else 'no --model'} and "
                             f"--views {', '.join(self.views)}")
        if self.decoder == "auto" and (given := self._of_networks()):
            raise ValueError(f"{', '.join(given)}: only a network has this; add --decoder network, "
                             f"or leave it out")
        if self.augment_copies and self.tokens:
            raise ValueError("augment_copies makes signals worse before they are tokens: leave "
                             "--tokens out, or --augment_copies")

    def _of_networks(self) -> list[str]:
        """Options that are given and that the automatic decoder would not use."""
        usual: dict[str, Any] = {
            "mode": "frozen", "architecture": {}, "tokens": None, "random_weights": False,
            "augment_copies": 0, "augment_by": list(ALL), "train_full": full_training(),
            "train": dataclasses.replace(head_training(), seed=self.train.seed)}
        return [f"--{name}" for name, value in usual.items() if getattr(self, name) != value]


@dataclass(frozen=True, eq=False)
class Trained:
    """A decoder, and what is told of it."""

    model: WindowDecoder
    probability: np.ndarray  # of test windows
    about: str
    apart: WindowDecoder | None  # has not learned from the validation people; None = not asked for
    views: pd.DataFrame | None = None  # what weighs how much
    notes: tuple[str, ...] = ()


def finetune(run: FinetuneConfig, job: Job) -> Made:
    """Train, judge on test people, write the checkpoint."""
    corpus, task = Corpus.open(run.data), tasks.find(run.task)
    every = labeled(corpus, run.classes or task.classes, run.only, number=task.number)
    data = checked(one_fold(every, run, task), 1 if run.protocol.kind in SAME_PEOPLE
                   else run.min_subjects, whole=run.protocol.kind == "stored")
    pretrained = open_backbone(run.model) if run.model else None
    if pretrained is not None:
        check_contract(pretrained, str(run.model), corpus)
    lacks = lacking.of_corpus(corpus, run.lacking)
    accelerator = accelerator_for(run.train, job.out)
    if run.decoder == "network":
        assert pretrained is not None, "see FinetuneConfig"
        found = _network(run, data, pretrained, accelerator, job)
    else:
        found = _auto(run, data, pretrained, accelerator.device, job)
    ledger = None if run.random_weights or not run.model else checkpoints.read_ledger(run.model)
    table, decoder = table_of(data, found.probability, ledger), found.model
    metrics = judge(table, data.classes)
    remarks = said_of_whom(run.protocol)
    metrics["same_people"] = bool(remarks)
    remarks = [*remarks, *lacks, *found.notes]
    name, drawn = run.mode if run.decoder == "network" else "auto", []
    worse = _robustness(run, found.apart, data, accelerator.device, job) if job.is_main else None
    files = _written(decoder.to("cpu"), data, table, metrics, ledger, job) if job.is_main else []
    if found.views is not None and job.is_main:
        weights.draw(job.out / WEIGHTS, found.views, len(data.classes))
        drawn = [WEIGHTS]
    text, _ = findings.score_in_words(metrics)
    rows = [] if found.views is None else weights.scores(found.views, len(data.classes))
    results = Results(
        "finetune", data=run.data, model=run.model, methods=[name],
        protocol=dataclasses.asdict(run.protocol), seeds=[run.train.seed],
        subjects=metrics["subjects"], scores=[*_scores(metrics, name), *rows], summary=text,
        notes=[*remarks, *(doubt for doubt in (findings.NO_BETTER, findings.TOO_FEW)
                           if doubt in text)])
    return Made(
        [*files, *drawn, *([FIGURE] if worse else [])], results=results,
        page=_page(run, found, data, metrics, text, worse, job.out),
        judged=None if run.random_weights else corpus.recordings.iloc[data.recordings("test")],
        said=[f"decoder in {job.out}; predictions in {job.out / 'test'}"],
        next=_next(decoder, data, job.out))


def _auto(run: FinetuneConfig, data: Labeled, pretrained, device, job: Job) -> Trained:
    """Views, solved and weighed by folds over training and validation subjects."""
    job.say(f"automatic decoder of {' / '.join(data.classes) or 'a number'}\n{data.describe()}")
    _say_left_out(data, job)
    found = auto.train(data, pretrained, views=tuple(run.views), seed=run.train.seed,
                       batch_windows=run.batch_windows, device=device,
                       keep=job.out / "state" if job.is_main else None)
    n = len(data.classes)
    table = weights.table(found.judged, found.pooled, found.learned, n)
    job.say("\n".join([*weights.said(table, n), auto.LEARNED]))
    probability = predict(found.model, found.pooled, data.windows["test"], "cpu")
    apart = auto.without_validation(found, data, run.train.seed) if run.robustness else None
    about = (f"automatic decoder of {' / '.join(data.classes) or 'a number'}: "
             f"{len(table)} views, weighed by folds over {_people(data, found.learned)}")
    return Trained(found.model, probability, about, apart, table, (auto.LEARNED,))


def _people(data: Labeled, windows: np.ndarray) -> str:
    return words.count(len(np.unique(data.corpus.subjects(windows))), "subject")


def _say_left_out(data: Labeled, job: Job) -> None:
    if data.left_out:
        job.say(f"{data.left_out} windows with other labels or none are left out")


def _network(run: FinetuneConfig, data: Labeled, pretrained, accelerator, job: Job) -> Trained:
    """A head on the pretrained model, which trains along where the mode says so. A tokenizer is
    frozen, so signals are encoded once."""
    corpus = data.corpus
    n_copies = (1 + run.augment_copies) * len(data.windows["train"])
    check_batch("train.batch_windows", run.train.batch_windows, n_copies,
                head_training().batch_windows)
    check_batch("train_full.batch_windows", run.train_full.batch_windows, n_copies,
                full_training().batch_windows)
    decoder = build(pretrained, data, run.mode, run.architecture, run.train.seed,
                    random_weights=run.random_weights)
    trained = sum(p.numel() for p in decoder.parameters() if p.requires_grad)
    about = (f"{run.mode} decoder of {' / '.join(data.classes) or 'a number'}: {trained:,} of "
             f"{decoder.num_parameters():,} parameters train")
    job.say(f"{about}\n{data.describe()}")
    _say_left_out(data, job)
    training, change = data.windows["train"], None
    if run.augment_copies:
        training, change = copies(data, decoder, run.augment_copies, run.augment_by,
                                  run.train.seed)
    if run.tokens and not run.random_weights:
        source = features.read_tokens(run.tokens, str(run.model), corpus, data.all, data.target)
    else:
        source = features.prepared(decoder, corpus, np.union1d(data.all, training), data.target,
                                   batch_windows=run.batch_windows, device=accelerator.device,
                                   change=change)
    pooled = fit(decoder, source, training, data.windows["validation"], run.train,
                 run.train_full, job.out, accelerator, say=job.say)
    probability = predict(decoder, pooled, data.windows["test"], accelerator.device)
    return Trained(decoder, probability, about, decoder if run.robustness else None)


def _next(decoder, data: Labeled, out: Path) -> str:
    """The command that decodes a recording. Where recordings hold one class each, a decoder that
    re-centers needs several of the person."""
    if not decoder.recentered or not data.one_class_a_recording:
        return f"neurofm decode RECORDING --model {out} --out decoded"
    return (f"neurofm decode RECORDING --center_on '[ALL, RECORDINGS, OF, THE, PERSON]' --model "
            f"{out} --out decoded (each recording here holds one class, and answers are relative "
            f"to the average of the person's recordings)")


COMMAND = Command(
    "finetune", FinetuneConfig, finetune, makes="checkpoint", reads=("data", "tokens"),
    models=("model",), leaves=("state", "head", "again"),
    free=frozenset({"batch_windows", "train.log_every", "train_full.log_every"}),
)
main = COMMAND


def one_fold(data: Labeled, run: FinetuneConfig, task: tasks.Task) -> Labeled:
    """The fold of the protocol that is asked for."""
    if run.protocol.kind == "stored":
        return data
    found = folds(data, run.protocol, run.min_subjects, task.trial)
    if not -len(found) <= run.fold < len(found):
        raise ValueError(f"fold must be 0 … {len(found) - 1} (or -1 for the last): the protocol "
                         f"{run.protocol.kind} has {len(found)} here, got {run.fold}")
    return found[run.fold]


def _robustness(run: FinetuneConfig, decoder: WindowDecoder | None, data: Labeled, device,
                job: Job) -> Robustness | None:
    """Measure, write and draw how the score falls on worse recordings.

    decoder: has not learned from the validation people. The automatic one has, so a second one
    without them is measured: people whom it knows would make worse recordings look better.
    """
    found = robustness.measure(
        decoder, data.corpus, data.windows["validation"], data.target, say=job.say,
        batch_windows=run.batch_windows, device=device, seed=run.train.seed,
    ) if decoder is not None else None
    if found is not None:
        found.save(job.out)
        robustness_figure.draw(job.out / FIGURE, found)
    return found


def _written(decoder, data: Labeled, table: pd.DataFrame, metrics: dict, ledger, job: Job
             ) -> list[str]:
    """Write checkpoint and predictions; returns the names of the checkpoint's files."""
    save_test(job.out, table, metrics, config=job.config, parents=job.parents)
    used = {split: data.windows[split] for split in ("train", "validation")}
    return checkpoints.write_checkpoint(
        decoder, job.out, config=job.config,
        ledger=checkpoints.training_ledger(data.corpus, used, ledger),
        metrics={f"test/{name}": value for name, value in metrics.items()})


def _scores(metrics: dict, mode: str) -> list[dict]:
    """Rows of results.json."""
    n = metrics["subjects"]
    if "mae" in metrics:
        return [score(mode, name, metrics[name], n=n) for name in ("mae", "r2", "pearson_r")]
    row = score(mode, "balanced_accuracy", metrics["balanced_accuracy"], n=n)
    more = ("low", "high", "chance", "chance_high", "p_chance", "exchanges")
    return [{**row, **{name: metrics[name] for name in more}}]


def _page(run: FinetuneConfig, found: Trained, data: Labeled, metrics: dict, text: str,
          worse: Robustness | None, out: Path) -> Page:
    network = run.decoder == "network"
    return Page("Decoder", found.about, [
        ("", pages.paragraph(text, "lead")),
        ("Test subjects", tables.pairs(_measured(metrics))),
        ("What weighs how much", "" if found.views is None else weights.section(
            found.views, len(data.classes), out / WEIGHTS)),
        ("Worse recordings", "" if worse is None else "\n".join([
            robustness_figure.section(worse, out / FIGURE),
            "" if network else pages.paragraph(auto.APART)])),
        ("Data", pages.bullets(data.describe().splitlines())),
        ("Input", tables.pairs(contract_in_words(data.contract))),
        ("Model", tables.pairs([
            ("Pretrained model", run.model or "none"), ("Decoder", run.decoder),
            *([("Mode", run.mode), ("Pretrained weights", "no" if run.random_weights else "yes")]
              if network else [])])),
    ])


def _least_p(metrics: dict) -> str:
    """What bounds p from below where there are few subjects."""
    ways = metrics["exchanges"]
    return f" (with so few subjects p is {1 / ways:.2g} or more)" if 0 < ways <= 20 else ""


def _measured(metrics: dict) -> list[tuple[str, str]]:
    """The scores of the test subjects for people."""
    rows = {name.replace("_", " "): f"{value:.4g}" for name, value in metrics.items()
            if isinstance(value, int | float) and not isinstance(value, bool)}
    if "balanced accuracy" in rows:
        for name in ("low", "high", "chance high", "exchanges", "p chance"):
            rows.pop(name, None)
        value = words.estimate(metrics["balanced_accuracy"], metrics["low"], metrics["high"])
        between = "95 % interval over subjects" if "[" in value else "one subject: no interval"
        rows |= {"balanced accuracy": f"{value}, {between}",
                 "chance": f"{words.number(metrics['chance'])}, 95 % range up to "
                           f"{words.number(metrics['chance_high'])}; "
                           f"{words.p_is(metrics['p_chance'])}{_least_p(metrics)}"}
    return list(rows.items())
