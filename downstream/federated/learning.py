"""Learning: what every site does with its recordings. It travels to them with each message."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from neurofm import checkpoints
from neurofm.limits import Count, limited
from neurofm.training.loop import TrainConfig
from neurofm.training.sampler import check_batch

from ..protocol.windows import Protocol

_GIVEN = ("steps", "validate_every", "save_every", "keep")  # of training: they follow from rounds

_OF_PRETRAIN = ("track", "keep_best", "spikes", "spikes_limit")


def _training() -> TrainConfig:
    return TrainConfig(lr=2e-3, batch_windows=32, weight_decay=5e-3, warmup=0.05, final_lr=0.0,
                       beta2=0.999)


def _protocol() -> Protocol:
    return Protocol(kind="kfold")


@dataclass
@limited
class Learning:
    """What the sites train.

    Parameters
    ----------
    model
        "fleeg", or a checkpoint (folder or repository) that every site has: a pretrained
        encoder, or an automatic decoder, whose linear models are trained on.
    fingerprint
        Fingerprint of that checkpoint. Filled in by the server.
    task
        As in `neurofm evaluate decoding`.
    classes
        As in `neurofm evaluate decoding`.
    only
        As in `neurofm evaluate decoding`.
    fold
        Number of the fold. Filled in by the server.
    protocol
        Subjects of each site that train, select and test. Test subjects are in no weight or
        statistic.
    rounds
        Number of rounds.
    passes
        Passes over its trials that a site trains in each round.
    adapt
        Part of an encoder that sites share: "head" = the classifier; "lora" = low-rank
        adapters as well; "full" = the transformer as well.
    proximal
        Weight mu of the FedProx penalty, mu / 2 · squared distance from the shared weights.
    architecture
        Settings of the model (FLEEG: shared_blocks, shared_norms, dropout …; decoder: rank,
        pool …).
    train
        Training settings of a site. The number of steps follows from rounds and passes.
    """

    model: str = "fleeg"
    fingerprint: str = ""
    task: str = "labels"
    classes: list[str] = field(default_factory=list)
    only: dict[str, str] = field(default_factory=dict)
    protocol: Protocol = field(default_factory=_protocol)
    fold: int = 0
    rounds: Count = 30
    passes: Count = 1
    adapt: Literal["head", "lora", "full"] = "head"
    proximal: float = 0.0
    architecture: dict[str, Any] = field(default_factory=dict)
    train: TrainConfig = field(default_factory=_training)

    def __post_init__(self):
        plain = TrainConfig()
        for name in _GIVEN:
            if getattr(self.train, name) != getattr(plain, name):
                raise ValueError(f"train.{name} is not asked for here: it follows from rounds and "
                                 f"passes; leave it out")
        for name in _OF_PRETRAIN:
            if getattr(self.train, name) != getattr(plain, name):
                raise ValueError(f"train.{name} is not for sites: what a server asks for must not "
                                 f"send their numbers elsewhere, or skip their batches; leave it "
                                 f"out")

    def schedule(self, n_trials: int) -> TrainConfig:
        """The training of a site with so many trials: all rounds of it."""
        per_round = self.steps_a_round(n_trials)
        steps = self.rounds * per_round
        # A step takes no more than a small site has: a server could ask for any number.
        several = self.train.accumulate
        most = -(-max(n_trials, _training().batch_windows) // several) * several
        return replace(self.train, batch_windows=min(self.train.batch_windows, most), steps=steps,
                       validate_every=0, save_every=steps, keep=3, log_every=per_round)

    def check_trials(self, trials: Iterable[int]) -> None:
        """Raise ValueError where a step takes more windows than the largest site has."""
        if most := max(trials, default=0):
            check_batch("learning.train.batch_windows", self.train.batch_windows, most,
                        _training().batch_windows)

    def steps_a_round(self, n_trials: int) -> int:
        return self.passes * -(-n_trials // self.train.batch_windows)

    def of_fold(self, fold: int, seed: int = 0) -> "Learning":
        """The same on another fold, from other random weights."""
        return replace(self, fold=fold, train=replace(self.train, seed=self.train.seed + seed))

    def as_here(self) -> "Learning":
        """With the fingerprint of the encoder here, by which sites tell it from others."""
        if self.model == "fleeg":
            return self
        return replace(self, fingerprint=checkpoints.fingerprint(self.model))

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Learning":
        """Raises ValueError for what this version does not know: the two ends differ."""
        found, given = json.loads(text), {}
        for name, kind in (("", cls), ("protocol", Protocol), ("train", TrainConfig)):
            given[name] = part = found[name] if name else found
            if not isinstance(part, dict):
                raise ValueError(f"the server's settings{f' {name}' if name else ''}: wanted names "
                                 f"and values, got a {type(part).__name__}")
            if strange := sorted(part.keys() ^ {each.name for each in fields(kind)}):
                raise ValueError(f"the server's settings and this site's neurofm differ in "
                                 f"{', '.join(strange)}: install the same version on both ends")
        return cls(**{**found, "protocol": Protocol(**given["protocol"]),
                      "train": TrainConfig(**given["train"])})
