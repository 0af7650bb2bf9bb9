"""Compare decoders on held-out subjects: pretrained, untrained and baselines.

    neurofm evaluate decoding --corpus labelled/ --model runs/brainomni --out results/
    neurofm evaluate decoding --corpus labelled/ --out results/    without a model
    neurofm evaluate decoding --config … --part 3/16    one of 16 jobs of an array, in any order
    neurofm evaluate decoding --config … --jobs 4           four processes here

Every method is trained on the same windows of a fold, makes its choices on the fold's validation
subjects and is judged on its test subjects. A run that was interrupted goes on with what is not
finished; jobs of an array write into the same folder, and a last call without --part does what is
missing and writes the report.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accelerate import Accelerator
from filelock import FileLock

from neurofm import artifacts, checkpoints, config
from neurofm.checkpoints.contracts import check_contract
from neurofm.data.corpus import Corpus
from neurofm.run import STOPPED
from neurofm.training.loop import Stopped, TrainConfig

from ... import baselines, tasks
from ...decoder import features
from ...decoder.build import open_backbone
from ...decoder.labelled import Labelled, checked, labelled
from ...decoder.recipes import full_training, head_training, random_training
from ...protocol.choice import Diverged, in_words
from ...protocol.windows import SAME_PEOPLE, Protocol, folds
from ...scoring import covariates, identity
from ...scoring.predictions import table_of
from . import few_shot, judged, methods
from .fitted import Baselines, Networks
from .jobs import Job, share, work

# What may differ between calls that share a folder; data and models are known by fingerprint.
HOW_IT_RUNS = ("out", "part", "jobs", "corpus", "model", "models")
# What may change until the report is made.
MAY_GROW = ("methods", "seeds", "explain", "shots", "covariates")


@dataclass
class EvaluateConfig:
    """Compare methods on a labeled corpus.

    Parameters
    ----------
    corpus
        A finished corpus with labels.
    model
        Checkpoint of a model with features, or of a decoder (its encoder is used). Without a model
        only baselines are compared.
    models
        Further checkpoints by name, for methods NAME@MODEL.
    out
        Folder of the results.
    task
        What is decoded
    protocol
        Which subjects train, select settings and test.
    methods
        Networks and baselines to compare; empty = all that fit (without a model: baselines).
    seeds
        Trainings of each network, 5 or more.
    tuning
        Settings that a method tries; validation subjects select one of them.
    shots
        Numbers of labeled windows per class of a new subject, for learning curves; empty = none.
    explain
        Method to draw attribution maps of; "" = the best network.
    covariates
        Numeric attributes of subjects, such as head motion, that predictions are checked against.
    only
        Column or attribute of recordings and the value it must have, such as --only.device=eeg64.
    baselines_only
        The same for baselines only, where other recordings have other layouts. Differences are
        then computed on the windows that both read.
    classes, architecture, tokens, min_subjects, encode_windows, train, train_full
        As in `neurofm finetune`; the seeds of train are 0 … seeds − 1.
    train_random
        As train_full, for the method random.
    part
        "k/n" does the k-th of n shares of the work (1 … n).
    jobs
        Number of processes.
    """

    corpus: str
    out: str
    model: str | None = None
    task: str = field(default="labels", metadata={"choices": tasks.names})
    protocol: Protocol = field(default_factory=Protocol)
    methods: list[str] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)
    seeds: int = 5
    tuning: int = 4
    shots: list[int] = field(default_factory=list)
    explain: str = ""
    covariates: list[str] = field(default_factory=list)
    only: dict[str, str] = field(default_factory=dict)
    baselines_only: dict[str, str] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    architecture: dict[str, Any] = field(default_factory=dict)
    tokens: str | None = None
    min_subjects: int = 2
    encode_windows: int = 16
    train: TrainConfig = field(default_factory=head_training)
    train_full: TrainConfig = field(default_factory=full_training)
    train_random: TrainConfig = field(default_factory=random_training)
    part: str = ""
    jobs: int = 1

    def __post_init__(self):
        for name in ("seeds", "tuning", "jobs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        part_of(self.part)


def part_of(text: str) -> tuple[int, int]:
    """(k − 1, n) of "k/n"; "" is all."""
    try:
        k, n = map(int, text.split("/")) if text else (1, 1)
    except ValueError:
        k, n = 0, 0
    if not 1 <= k <= n:
        raise ValueError(f"part must be k/n with 1 <= k <= n, such as 3/16, got {text!r}")
    return k - 1, n


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    try:
        return evaluate(config.parse(EvaluateConfig, argv, command="evaluate decoding"), argv)
    except Stopped as stop:
        print(stop)
        return STOPPED


def evaluate(run: EvaluateConfig, argv: list[str] | None = None) -> int:
    """Train, judge, compare, seal; prints the table. argv: of the call, for further processes."""
    out, task = Path(run.out), tasks.find(run.task)
    corpus = Corpus.open(run.corpus)
    models = ({"": run.model} if run.model else {}) | run.models
    parents = {"data": corpus.fingerprint} | {
        f"model {name}".strip(): checkpoints.fingerprint(path) for name, path in models.items()}
    asked = {k: v for k, v in config.resolved(run).items() if k not in HOW_IT_RUNS}
    if artifacts.finished(out, "results", config=asked, parents=parents):
        print(f"{out} is finished: nothing to do")
        return 0
    fmri = corpus.contract.modality == "fmri"
    if run.methods:  # before models are opened
        methods.check(run.methods, list(models), task.number, fmri)
    opened = {name: open_backbone(path) for name, path in models.items()}
    pools = {name: model.config.pools for name, model in opened.items()}
    names = run.methods or methods.fitting(task.number, pools.get("", ()), fmri)
    methods.check_pools(names, pools, run.architecture)
    _check_extras(run, task, names)
    covariates.check(corpus, run.covariates)
    every = labelled(corpus, run.classes or present(task, corpus), run.only, number=task.number)
    parts = folds(every, run.protocol, run.min_subjects, task.trial)
    windows = np.unique(np.concatenate([fold.all for fold in parts]))
    for name, model in opened.items():
        check_contract(model, models[name], corpus)
    # Before hours of training: whether the baselines can take the windows at all.
    narrow, simple = parts, None
    if not all(methods.is_network(name) for name in names):
        if run.baselines_only:
            few = labelled(corpus, every.classes, {**run.only, **run.baselines_only},
                           number=task.number)
            narrow = narrowed(parts, few)
            for fold in narrow:
                if not len(fold.windows["test"]):
                    raise ValueError(f"baselines_only leaves fold {fold.fold} without a test "
                                     f"window; choose another protocol, or leave baselines out")
                checked(fold, 1, whole=False)
        simple = Baselines(narrow[0], np.unique(np.concatenate([f.all for f in narrow])),
                           run.tuning)
    artifacts.claim(out, {**parents, **{k: v for k, v in asked.items()
                                        if k not in MAY_GROW}})
    networks = Networks(
        opened, windows, run.architecture, run.train, run.train_full, run.train_random,
        Accelerator(), run.encode_windows, run.tuning,
        None if run.tokens is None else lambda: features.read_tokens(
            run.tokens, run.model, corpus, windows, every.target),
    )
    jobs = [  # methods of one fold and seed follow each other: random weights share their tokens
        Job(number, fold if methods.is_network(name) else small, name, seed)
        for number, (fold, small) in enumerate(zip(parts, narrow, strict=True))
        for seed in range(run.seeds) for name in names
        if seed == 0 or methods.is_network(name) or baselines.find(name).DRAWS
    ]
    first, of = part_of(run.part)
    if run.jobs > 1:
        _share(argv if argv is not None else sys.argv[1:], run)
    else:
        print(f"{task.question}\n{parts[0].describe()}"
              + (f"\n… and {len(parts) - 1} more folds" if len(parts) > 1 else ""), flush=True)
    if run.jobs == 1 or not run.part:
        ledgers = {name: checkpoints.read_ledger(path) for name, path in models.items()}
        work(share(jobs, first, of), jobs, out, wait=not run.part,
             make=lambda job: _answered(job, networks, simple, out, ledgers))
    if run.part:
        done = sum(job.is_done(out) for job in jobs)
        print(f"{done} of {len(jobs)} jobs are done; when all are, call without --part for the "
              f"report")
        return 0
    with FileLock(out / ".report.lock"):  # one call writes it; another finds it written
        if artifacts.finished(out, "results", config=asked, parents=parents):
            print(f"{out} was finished by another call")
        else:
            _report(run, asked, task, parts, narrow, jobs, networks, simple, parents)
        for folder in ("parts", "runs"):
            shutil.rmtree(out / folder, ignore_errors=True)
        (out / ".report.lock").unlink(missing_ok=True)
    return 0


def _report(
    run: EvaluateConfig, asked: dict, task: tasks.Task, parts: list[Labelled],
    narrow: list[Labelled], jobs: list[Job], networks, simple, parents: dict[str, str],
) -> None:
    """All jobs' predictions → probes, tables, page, seal."""
    out = Path(run.out)
    table = pd.concat([pd.read_parquet(out / "parts" / job.file) for job in jobs],
                      ignore_index=True)
    known_networks = networks if run.model else None  # probes are of the model evaluated
    curves = few_shot.curves(run.shots, known_networks, simple, parts, run.seeds) \
        if run.shots else None
    known = identity.probe(known_networks, simple, parts[0])
    judged.finish(out, run, asked, task, parts, narrow, table, curves, known, parents)


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


def narrowed(parts: list[Labelled], few: Labelled) -> list[Labelled]:
    """The folds with no other windows than those of `few`."""
    return [
        Labelled(fold.corpus, fold.classes,
                 {split: np.intersect1d(windows, few.all)
                  for split, windows in fold.windows.items()},
                 fold.target, fold.left_out, fold.fold)
        for fold in parts
    ]


def _answered(
    job: Job, networks, simple, out: Path, ledgers: dict[str, dict | None]
) -> pd.DataFrame:
    """A job's predictions."""
    if methods.is_network(job.method):
        folder = out / "runs" / job.file.removesuffix(".parquet")
        answers, setting = networks.answers(job.method, job.fold, job.seed, folder)
        shutil.rmtree(folder, ignore_errors=True)
        what = methods.network(job.method)
        ledger = None if what.random else ledgers[what.model]
    else:
        answers, setting = simple.answers(job.method, job.fold, job.seed)
        ledger = None
    if not np.isfinite(answers).all():
        raise Diverged(f"with {in_words(setting)}: answers to test windows are NaN or infinite, "
                       f"though those to validation windows were not")
    table = table_of(job.fold, answers, ledger)
    table.insert(1, "method", job.method)
    table.insert(2, "seed", job.seed)
    table["setting"] = in_words(setting) if setting else ""
    return table


def _share(argv: list[str], run: EvaluateConfig) -> None:
    """The work in several processes, each a call of its own with --part."""
    command = [sys.executable, "-m", __spec__.name, *argv, "--jobs=1"]
    first, of = part_of(run.part)
    running = [subprocess.Popen([*command, f"--part={first + 1 + k * of}/{of * run.jobs}"])
               for k in range(run.jobs)]
    failed = [process.args[-1] for process in running if process.wait() != 0]
    if failed:
        raise ValueError(f"{', '.join(failed)} failed; the message is above. What is done is "
                         f"kept: run the same command again to continue")


if __name__ == "__main__":
    sys.exit(main())
