"""What an evaluation needs, opened and checked before anything trains."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from accelerate import Accelerator

from neurofm import checkpoints
from neurofm.checkpoints.contracts import check_contract
from neurofm.data.corpus import Corpus
from neurofm.training.sampler import check_batch

from ... import baselines, tasks
from ...decoder import features, lacking
from ...decoder.build import open_backbone
from ...decoder.labeled import Labeled, checked, labeled
from ...decoder.recipes import head_training
from ...protocol.choice import Diverged, in_words
from ...protocol.windows import SAME_PEOPLE, folds
from ...scoring import covariates
from ...scoring.predictions import table_of
from . import automatic, methods
from .automatic import Automatic
from .fitted import Baselines, Networks
from .jobs import Job
from .settings import EvaluateConfig


@dataclass(frozen=True, eq=False)
class Setup:
    """Folds, methods and jobs."""

    out: Path
    task: tasks.Task
    corpus: Corpus
    parts: list[Labeled]  # parts, narrow: folds of networks and of baselines
    narrow: list[Labeled]
    networks: Networks
    simple: Baselines | None  # None where no baseline is compared
    automatic: Automatic
    ledgers: dict[str, dict | None]  # of the models, by name; "" is the one evaluated
    jobs: list[Job]

    def describe(self) -> str:
        more = f"\n… and {len(self.parts) - 1} more folds" if len(self.parts) > 1 else ""
        return f"{self.task.question}\n{self.parts[0].describe()}{more}"

    def answered(self, job: Job) -> pd.DataFrame:
        """A job's predictions."""
        if methods.is_network(job.method):
            folder = self.out / "runs" / job.file.removesuffix(".parquet")
            answers, setting = self.networks.answers(job.method, job.fold, job.seed, folder)
            shutil.rmtree(folder, ignore_errors=True)
            what = methods.network(job.method)
            ledger = None if what.random else self.ledgers[what.model]
        elif methods.is_automatic(job.method):
            answers, setting = self.automatic.answers(job.method, job.fold, job.seed)
            model = methods.automatic_model(job.method, self.ledgers)
            ledger = None if model is None else self.ledgers[model]
        else:
            assert self.simple is not None  # there is a baseline among the methods
            answers, setting = self.simple.answers(job.method, job.fold, job.seed)
            ledger = None
        if not np.isfinite(answers).all():
            raise Diverged(f"with {in_words(setting)}: answers to test windows are NaN or "
                           f"infinite, though those to validation windows were not")
        table = table_of(job.fold, answers, ledger)
        table.insert(1, "method", job.method)
        table.insert(2, "seed", job.seed)
        table["setting"] = in_words(setting) if setting else ""
        return table


def prepared(run: EvaluateConfig) -> Setup:
    """Open and check all that an EvaluateConfig names; ValueError for what cannot be done."""
    task, corpus = tasks.find(run.task), Corpus.open(run.data)
    lacking.of_corpus(corpus, run.lacking)
    models = ({"": run.model} if run.model else {}) | run.models
    if run.methods:  # before models are opened
        methods.check(run.methods, list(models), task.number, corpus.contract)
    opened = {name: open_backbone(path) for name, path in models.items()}
    pools = {name: model.config.pools for name, model in opened.items()}
    names = run.methods or methods.fitting(task.number, corpus.contract, pools.get("", ()))
    methods.check_pools(names, pools, run.architecture)
    _check_extras(run, task, names)
    covariates.check(corpus, run.covariates)
    every = labeled(corpus, run.classes or present(task, corpus), run.only, number=task.number)
    parts = folds(every, run.protocol, run.min_subjects, task.trial)
    for name in ("train", "train_full", "train_random"):
        check_batch(f"{name}.batch_windows", getattr(run, name).batch_windows,
                    min(len(fold.windows["train"]) for fold in parts),
                    head_training().batch_windows)
    windows = np.unique(np.concatenate([fold.all for fold in parts]))
    for name, model in opened.items():
        check_contract(model, models[name], corpus)
    # Before hours of training: whether the baselines can take the windows at all.
    narrow, simple = parts, None
    if any(map(methods.is_baseline, names)):
        if run.baselines_only:
            few = labeled(corpus, every.classes, {**run.only, **run.baselines_only},
                           number=task.number)
            narrow = narrowed(parts, few)
            for fold in narrow:
                if not len(fold.windows["test"]):
                    raise ValueError(f"baselines_only leaves fold {fold.fold} without a test "
                                     f"window; choose another protocol, or leave baselines out")
                checked(fold, 1, whole=False)
        simple = Baselines(narrow[0], np.unique(np.concatenate([f.all for f in narrow])),
                           run.tuning, run.refit)
    drawn = False  # whether seeds make a difference to automatic decoders
    if any(map(methods.is_automatic, names)):
        automatic.check(parts, windows)
        drawn = automatic.draws(parts)
    tokens, reader = run.tokens, run.model or ""
    networks = Networks(
        opened, windows, run.architecture, run.train, run.train_full, run.train_random,
        Accelerator(), run.batch_windows, run.tuning, run.refit,
        None if tokens is None else lambda: features.read_tokens(
            tokens, reader, corpus, windows, every.target),
    )
    jobs = [  # methods of one fold and seed follow each other: random weights share their tokens
        Job(number, small if methods.is_baseline(name) else fold, name, seed)
        for number, (fold, small) in enumerate(zip(parts, narrow, strict=True))
        for seed in range(run.seeds) for name in names
        if seed == 0 or (drawn if methods.is_automatic(name) else methods.is_network(name)
                         or baselines.find(name).DRAWS)
    ]
    ledgers = {name: checkpoints.read_ledger(path) for name, path in models.items()}
    return Setup(Path(run.out).expanduser(), task, corpus, parts, narrow, networks, simple,
                 Automatic(networks, windows, run.batch_windows), ledgers, jobs)


def _check_extras(run: EvaluateConfig, task: tasks.Task, names: list[str]) -> None:
    """Raise ValueError, before any training, for extras that could not be had after it."""
    if run.explain and run.explain not in names:
        raise ValueError(f"explain: {run.explain} is not among the methods {', '.join(names)}")
    if task.per == "subject" and run.baselines_only:
        raise ValueError("baselines_only cannot be had where a whole subject is judged: methods "
                         "would be compared on unlike windows; restrict all of them with only")
    if run.tokens and not run.model:
        raise ValueError("tokens are those of a model, and no model is given: name it with "
                         "--model, or leave tokens out")
    if not run.shots:
        return
    if run.protocol.kind in SAME_PEOPLE:
        raise ValueError(f"shots are of new people, but protocol.kind={run.protocol.kind} trains "
                         f"on the people whom it judges; leave shots out")
    if min(run.shots) < 0 or max(run.shots) < 1:
        raise ValueError(f"shots are numbers of windows a class, 0 or more, got {run.shots}")
    if task.number or task.per == "subject":
        raise ValueError("shots: calibration curves need several classes in each person; here a "
                         "person has one label, or labels are numbers; leave shots out")
    if run.baselines_only:
        raise ValueError("shots cannot be had together with baselines_only: curves compare methods "
                         "on the same windows; restrict all methods with only")


def present(task: tasks.Task, corpus: Corpus) -> tuple[str, ...]:
    """The task's classes, where the corpus has them all; else ValueError."""
    found = {str(label) for label in corpus.windows["label"].dropna()}
    missing = [name for name in task.classes if name not in found]
    if missing:
        raise ValueError(
            f"{corpus.folder}: this task tells apart {', '.join(task.classes)}, but windows are "
            f"labeled {', '.join(sorted(found)) or 'not at all'}; ingest again, e.g. with "
            f"{task.label} and windows of {task.window_s:g} s, or name the classes that there are: "
            f"--classes=[…]"
        )
    return task.classes


def narrowed(parts: list[Labeled], few: Labeled) -> list[Labeled]:
    """The folds with no other windows than those of `few`."""
    return [
        Labeled(fold.corpus, fold.classes,
                 {split: np.intersect1d(windows, few.all)
                  for split, windows in fold.windows.items()},
                 fold.target, fold.left_out, fold.fold)
        for fold in parts
    ]
