"""Train a decoder of labeled windows on a pretrained model, and judge it on unseen people.

    neurofm finetune --corpus labelled/ --model runs/brainomni --out runs/decoder
    neurofm finetune … --mode full                  the transformer trains along
    neurofm finetune … --random_weights true        the same network without pretraining
    neurofm finetune … --protocol.kind sessions     for people whose earlier sessions are known

The corpus's own split decides, or a fold of a protocol: train on train, take the step where the
validation subjects' loss was lowest, report on test. A tokenizer is frozen, so signals are encoded
once.
"""

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from neurofm import artifacts, checkpoints, config
from neurofm.checkpoints.contracts import check_contract
from neurofm.data.corpus import Corpus
from neurofm.run import STOPPED
from neurofm.training.loop import Stopped, TrainConfig, accelerator_for

from . import tasks
from .decoder import features
from .decoder.build import build, open_backbone
from .decoder.fit import fit
from .decoder.labelled import Labelled, checked, labelled
from .decoder.recipes import full_training, head_training
from .protocol.windows import SAME_PEOPLE, Protocol, folds, said_of_whom
from .scoring.predictions import judge, leak, predict, save_test, table_of


@dataclass
class FinetuneConfig:
    """A decoder's training.

    Parameters
    ----------
    corpus
        A sealed corpus with labels.
    model
        Checkpoint folder or repository of a BrainOmni or a BrainMAE (or of a decoder, whose
        backbone is taken).
    out
        Folder of the run, which becomes the checkpoint.
    mode
        "frozen" trains the head alone; "full" does that first and then the transformer with it,
        since a head that knows nothing would first spoil what the transformer knows (Kumar et
        al. 2022, arXiv 2202.10054). "lora", "dora": low-rank adapters instead of the
        transformer's own matrices.
    protocol, fold
        Who trains, chooses and judges, as in `evaluate decoding`, and which of its folds (from
        0; -1 = the last).
    task
        What is asked; one of a number, such as age, gives a regression.
    random_weights
        The same network, tokenizer included, without pretraining, as a comparison; give
        train_full a higher rate then (`neurofm evaluate decoding` does so by itself).
    classes
        Labels to tell apart; empty = all.
    only
        Column or attribute of recordings and the value it must have, e.g. --only.task=motor.
    architecture
        Further fields of DecoderConfig (pool, recentred, head, rank, layer_decay …), such as
        --architecture.recentred=true for a decoder that compares windows with their person's
        average.
    tokens
        A token set of this corpus by the model's tokenizer; None encodes here.
    min_subjects
        Fewest training subjects of a class.
    encode_windows
        Encoded at a time.
    train, train_full
        Training of the head, and of everything after it; see
        `neurofm.training.loop.TrainConfig`. The seed of `train` is the run's.
    """

    corpus: str
    model: str
    out: str
    mode: Literal["frozen", "full", "lora", "dora"] = "frozen"
    task: str = field(default="labels", metadata={"choices": tasks.names})
    protocol: Protocol = field(default_factory=Protocol)
    fold: int = 0
    random_weights: bool = False
    classes: list[str] = field(default_factory=list)
    only: dict[str, str] = field(default_factory=dict)
    architecture: dict[str, Any] = field(default_factory=dict)
    tokens: str | None = None
    min_subjects: int = 2
    encode_windows: int = 16
    train: TrainConfig = field(default_factory=head_training)
    train_full: TrainConfig = field(default_factory=full_training)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    run = config.parse(FinetuneConfig, argv, command="finetune")
    try:
        return finetune(run)
    except Stopped as stop:
        print(stop)
        return STOPPED


def finetune(run: FinetuneConfig) -> int:
    """Train, judge, seal; returns the exit status."""
    out = Path(run.out)
    corpus = Corpus.open(run.corpus)
    parents = {"data": corpus.fingerprint, "model": checkpoints.fingerprint(run.model)}
    if artifacts.finished(out, "checkpoint", config=config.resolved(run), parents=parents):
        print(f"{out} is finished ({checkpoints.fingerprint(out)}): nothing to do")
        return 0
    task = tasks.find(run.task)
    every = labelled(corpus, run.classes or task.classes, run.only, number=task.number)
    data = checked(one_fold(every, run, task), 1 if run.protocol.kind in SAME_PEOPLE
                   else run.min_subjects, whole=run.protocol.kind == "stored")
    pretrained = open_backbone(run.model)
    check_contract(pretrained, run.model, corpus)
    artifacts.claim(out, {**parents, **config.resolved(run)})
    accelerator = accelerator_for(run.train, out)
    say = accelerator.print
    decoder = build(pretrained, data, run.mode, run.architecture, run.train.seed,
                    random_weights=run.random_weights)
    trained = sum(p.numel() for p in decoder.parameters() if p.requires_grad)
    say(f"{run.mode} decoder of {' / '.join(data.classes) or 'a number'}: {trained:,} of "
        f"{decoder.num_parameters():,} parameters train\n{data.describe()}")
    if data.left_out:
        say(f"{data.left_out} windows with other labels or none are left out")
    if run.tokens and not run.random_weights:
        source = features.read_tokens(run.tokens, run.model, corpus, data.all, data.target)
    else:
        source = features.prepared(decoder, corpus, data.all, data.target,
                                   batch_windows=run.encode_windows, device=accelerator.device)
    pooled = fit(decoder, source, data.windows["train"], data.windows["validation"], run.train,
                 run.train_full, out, accelerator, say=say)
    probability = predict(decoder, pooled, data.windows["test"], accelerator.device)
    ledger = None if run.random_weights else checkpoints.read_ledger(run.model)
    table = table_of(data, probability, ledger)
    metrics = judge(table, data.classes)
    remarks = said_of_whom(run.protocol)
    metrics["same_people"] = bool(remarks)
    if accelerator.is_main_process:
        _seal(decoder.to("cpu"), run, data, table, metrics, parents, ledger, out)
        _tell(table, metrics, data, out, say)
        tested = corpus.recordings["dataset"].iloc[data.recordings("test")]
        for remark in remarks:
            say(f"note: {remark}")
        if unlisted := checkpoints.doubt(ledger, tested):
            say(f"DOUBT: the model given: {unlisted}")
    accelerator.wait_for_everyone()
    return 0


def one_fold(data: Labelled, run: FinetuneConfig, task: tasks.Task) -> Labelled:
    """The fold of the protocol that is asked for."""
    if run.protocol.kind == "stored":
        return data
    found = folds(data, run.protocol, run.min_subjects, task.trial)
    if not -len(found) <= run.fold < len(found):
        raise ValueError(f"fold must be 0 … {len(found) - 1} (or -1 for the last): the protocol "
                         f"{run.protocol.kind} has {len(found)} here, got {run.fold}")
    return found[run.fold]


def _seal(decoder, run, data, table, metrics, parents, ledger, out: Path) -> None:
    save_test(out, table, metrics, config=config.resolved(run), parents=parents)
    used = {split: data.windows[split] for split in ("train", "validation")}
    checkpoints.save_checkpoint(
        decoder, out, config=config.resolved(run), parents=parents,
        ledger=checkpoints.training_ledger(data.corpus, used, ledger),
        metrics={f"test/{name}": value for name, value in metrics.items()},
    )
    for folder in ("state", "head", "again"):  # what was chosen is in the checkpoint, now sealed
        shutil.rmtree(out / folder, ignore_errors=True)


def _tell(table: pd.DataFrame, metrics: dict, data: Labelled, out: Path, say) -> None:
    if not data.classes:
        say(f"mean absolute error on {metrics['subjects']} test subjects: {metrics['mae']:.3g} "
            f"(of windows; r {metrics['pearson_r']:.3f}, R² {metrics['r2']:.3f})")
    else:
        _tell_classes(metrics, say)
    if found := leak(table):
        say(found)
    say(f"decoder {checkpoints.fingerprint(out)} in {out}; predictions in {out / 'test'}")


def _tell_classes(metrics: dict, say) -> None:
    n = metrics["subjects"]
    say(f"balanced accuracy on {n} test subject{'s' * (n != 1)}: "
        f"{metrics['balanced_accuracy']:.3f}"
        + (f" [{metrics['low']:.3f}, {metrics['high']:.3f}] (mean over subjects, 95 % bootstrap "
           f"over subjects)" if n > 1 else "") + f"; chance {metrics['chance']:.3f}, p of "
        f"chance {metrics['p_chance']:.3g} ({metrics['exchanges']:,} ways to exchange labels)")


if __name__ == "__main__":
    sys.exit(main())
