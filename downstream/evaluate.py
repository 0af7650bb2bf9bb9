"""Compare a pretrained model with the same network untrained and with baselines, on unseen people.

    neurofm evaluate --corpus labelled/ --model runs/brainomni --out results/

Every method is trained on the same windows, makes its choices on the validation subjects and is
judged on the test subjects of the corpus's own split. A run that was interrupted goes on with what
is not finished.
"""

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate import Accelerator

from neurofm import artifacts, config, hub
from neurofm.data.corpus import Corpus
from neurofm.training.loop import Stopped, TrainConfig

from . import comparison, features
from .finetune import EXIT_STOPPED, full_training, head_training, open_backbone, random_training
from .labelled import Labelled, labelled
from .methods import METHODS, NETWORKS, Baselines, Networks, check
from .predictions import leak, table_of

FILES = ["predictions.parquet", "table.tsv", "table.json", "comparison.png", "report.html",
         "run.yaml"]


@dataclass
class EvaluateConfig:
    """A comparison on one labelled corpus.

    corpus: a sealed corpus with labels. model: checkpoint of a BrainOmni (or a decoder, whose
    backbone is taken). out: folder of the results.
    methods: frozen, full: the pretrained network, as `neurofm finetune` trains it; random,
    random_frozen: the same from random weights; frozen_recentred: each subject's mean feature
    removed; the others are baselines. seeds: trainings of each network, 5 or more.
    only: column or attribute of recordings and the value it must have, e.g. --only.device=eeg64.
    baselines_only: the same for baselines alone, where the rest of the corpus has other layouts;
    differences are then taken on the windows that both can read.
    classes, architecture, tokens, min_subjects, encode_windows, train, train_full: as in
    `neurofm finetune`; the seeds of train are 0 … seeds − 1. train_random: as train_full, for the
    method random.
    """

    corpus: str
    model: str
    out: str
    methods: list[str] = field(default_factory=lambda: list(METHODS))
    seeds: int = 5
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


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    try:
        return evaluate(config.parse(EvaluateConfig, argv, command="evaluate"))
    except Stopped as stop:
        print(stop)
        return EXIT_STOPPED


def evaluate(run: EvaluateConfig) -> int:
    """Train, judge, compare, seal; prints the table."""
    out = Path(run.out)
    check(run.methods)
    if run.seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {run.seeds}")
    corpus = Corpus.open(run.corpus)
    parents = {"data": corpus.fingerprint, "model": hub.fingerprint(run.model)}
    if artifacts.finished(out, "results", config=config.resolved(run), parents=parents):
        print(f"{out} is finished: nothing to do")
        return 0
    data = labelled(corpus, run.classes, run.only, run.min_subjects)
    pretrained = open_backbone(run.model)
    features.check_contract(pretrained, run.model, corpus)
    # Before hours of training: whether the baselines can take the windows at all.
    simple = [name for name in run.methods if name not in NETWORKS]
    narrow = data
    if run.baselines_only:
        narrow = labelled(corpus, data.classes, {**run.only, **run.baselines_only},
                          run.min_subjects)
    fitted = Baselines(narrow) if simple else None
    artifacts.claim(out, {**parents, **{k: v for k, v in config.resolved(run).items()
                                        if k not in ("methods", "seeds", "out")}})
    print(data.describe())
    networks = Networks(
        pretrained, data, run.architecture, run.train, run.train_full, run.train_random,
        Accelerator(), run.encode_windows,
        None if run.tokens is None else lambda: features.read_tokens(
            run.tokens, run.model, corpus, data.all, data.target),
    )
    ledger = hub.read_ledger(run.model)
    tables = []
    for name in run.methods:
        is_network = name in NETWORKS
        for seed in range(run.seeds if is_network else 1):  # baselines draw nothing at random
            kept = out / "parts" / f"{name}-{seed}.parquet"
            if not kept.exists():
                if is_network:
                    folder = out / "runs" / f"{name}-{seed}"
                    probability, setting = networks.probabilities(name, seed, folder), {}
                else:
                    probability, setting = fitted.probabilities(name)
                seen = None if is_network and NETWORKS[name].random else ledger
                _keep(kept, data if is_network else narrow, probability, name, seed, setting,
                      seen if is_network else None)
                shutil.rmtree(out / "runs" / f"{name}-{seed}", ignore_errors=True)
                print(f"{name} seed {seed}: done", flush=True)
            tables.append(pd.read_parquet(kept))
    _finish(run, out, data, narrow, pd.concat(tables, ignore_index=True), parents)
    return 0


def _keep(path: Path, data: Labelled, probability, name: str, seed: int, setting: dict,
          ledger: dict | None) -> None:
    """Store the predictions of one method and seed; the file appears when it is complete."""
    table = table_of(data, probability, ledger)
    table.insert(0, "method", name)
    table.insert(1, "seed", seed)
    table["setting"] = " ".join(f"{key}={value}" for key, value in setting.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    table.to_parquet(temporary, index=False)
    temporary.replace(path)


def _finish(run, out: Path, data: Labelled, narrow: Labelled, table: pd.DataFrame, parents):
    table.to_parquet(out / "predictions.parquet", index=False)
    result = comparison.compare(table, data.classes, run.methods)
    notes = comparison.notes(data, narrow, result, run.seeds)
    if found := leak(table):
        notes.insert(0, found)
    comparison.write(out, result, data, notes, run.model, parents)
    config.save(run, out)
    for folder in ("parts", "runs"):
        shutil.rmtree(out / folder, ignore_errors=True)
    artifacts.seal(out, "results", config=config.resolved(run), parents=parents, files=FILES)
    print(comparison.to_text(result.table))
    for note in notes:
        print(f"note: {note}")
    print(f"page: {out / 'report.html'}")


if __name__ == "__main__":
    sys.exit(main())
