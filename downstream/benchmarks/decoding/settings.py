"""Options of `neurofm evaluate decoding`."""

from dataclasses import dataclass, field
from typing import Any

from neurofm.limits import Count, Whole, limited
from neurofm.preprocessing.steps.band import Lacking
from neurofm.training.loop import TrainConfig

from ... import tasks
from ...decoder.recipes import full_training, head_training, random_training
from ...protocol.windows import Protocol
from . import methods


@dataclass
@limited
class EvaluateConfig:
    """Compare methods on a labeled corpus.

    Parameters
    ----------
    data
        A finished corpus with labels.
    model
        Checkpoint of a model with features, or of a decoder (its encoder is used). Without a model
        baselines and classical views are compared.
    models
        Further checkpoints by name, for methods NAME@MODEL.
    out
        Folder of the results.
    task
        What is decoded
    protocol
        Which subjects train, select settings and test.
    methods
        Methods to compare; empty = all that fit (without a model: baselines and auto).
    seeds
        Number of trainings of each network; 5 or more for a paper.
    tuning
        Number of settings that each method tries; validation subjects select one.
    refit
        Fit solved methods (baselines that draw no numbers, linear heads) again on training and
        validation windows, with the setting that was chosen. Automatic decoders always learn from
        both.
    shots
        Numbers of labeled windows per class of a new subject, for learning curves; empty = none.
    explain
        Method to draw attribution maps of; "" = the best network.
    covariates
        Numeric attributes of subjects, such as head motion, that predictions are checked against.
    only
        Column or attribute of recordings and the value it must have, such as
        --only.device=eeg64.
    baselines_only
        As only, for baselines that need other recordings than networks. Differences are
        computed on windows that both decode.
    classes
        As in `neurofm finetune`.
    architecture
        As in `neurofm finetune`.
    tokens
        As in `neurofm finetune`.
    lacking
        As in `neurofm finetune`.
    min_subjects
        As in `neurofm finetune`.
    batch_windows
        As in `neurofm finetune`.
    train
        As in `neurofm finetune`; the seeds are 0 … seeds − 1.
    train_full
        As in `neurofm finetune`; the seeds are 0 … seeds − 1.
    train_random
        As train_full, for the method random (the same network without pretraining).
    part
        K/N does one of N parts of the work, K from 1 to N.
    jobs
        Number of processes.
    """

    data: str
    out: str
    model: str | None = None
    task: str = field(default="labels", metadata={"choices": tasks.names})
    protocol: Protocol = field(default_factory=Protocol)
    methods: list[str] = field(default_factory=list, metadata={"choices": methods.choices})
    models: dict[str, str] = field(default_factory=dict)
    seeds: Count = 5
    tuning: Count = 4
    refit: bool = False
    shots: list[Whole] = field(default_factory=list)
    explain: str = ""
    covariates: list[str] = field(default_factory=list)
    only: dict[str, str] = field(default_factory=dict)
    baselines_only: dict[str, str] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    architecture: dict[str, Any] = field(default_factory=dict)
    tokens: str | None = None
    lacking: Lacking = "accept"
    min_subjects: Count = 2
    batch_windows: Count = 16
    train: TrainConfig = field(default_factory=head_training)
    train_full: TrainConfig = field(default_factory=full_training)
    train_random: TrainConfig = field(default_factory=random_training)
    part: str = ""
    jobs: Count = 1

    def __post_init__(self):
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
