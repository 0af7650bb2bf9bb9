"""The history of a run: legs, each with settings of its own, and the steps that were skipped.

A leg begins where settings are changed on purpose (`--continue_with`). It says at which step, what
was changed, what the learning rate does from there, and whether the optimizer was kept. While a run
is unfinished its history lies beside the states, then in the checkpoint (`history.json`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurofm import artifacts
from neurofm.cli import nearest
from neurofm.run import flat
from neurofm.training.schedule import Schedule, Slope

if TYPE_CHECKING:
    from .train import PretrainConfig

FILE_NAME = "history.json"
OF_SCHEDULE = ("train.steps", "train.lr", "train.warmup", "train.final_lr")
# What --continue_with takes.
CHANGES = (
    *OF_SCHEDULE, "train.batch_windows", "train.accumulate", "train.beta1", "train.beta2",
    "train.eps", "train.weight_decay", "train.clip_norm", "train.precision", "train.spikes",
    "train.spikes_limit", "augment_share", "augment_by",
)
# What it does not take, and why.
FIXED = {
    "architecture": "the weights are of it",
    "data": "who the model has seen must hold for the whole run; train on other data with --init",
    "init": "it says what the run began with",
    "model": "the weights are of it",
    "out": "it names the run",
    "splits": "who the model has seen must hold for the whole run",
    "temperature": "the order of the data follows from it",
    "tokenizer": "the weights are of its codes",
    "train.keep_best": "it compares the validations of the whole run",
    "train.seed": "the order of the data follows from it",
    "weights": "the order of the data follows from them",
}


def checked(changes: Mapping[str, Any], free: frozenset[str], known: Mapping[str, Any]
            ) -> dict[str, Any]:
    """Dotted names and values of `--continue_with`. Raises ValueError for what may not be changed.

    free: settings that need no --continue_with. known: all settings of a run.
    """
    found = {}
    for name, value in flat(dict(changes)).items():
        if name in CHANGES:
            found[name] = _typed(name, value, known[name])
            continue
        why = next((f": {text}" for key, text in FIXED.items()
                    if name == key or name.startswith(f"{key}.")), "")
        if name in free:
            raise ValueError(f"continue_with: {name} may be changed at any time; give it by "
                             f"itself, --{name}={value}")
        if name in known or why:
            raise ValueError(f"continue_with: {name} cannot be changed within a run{why}. It takes "
                             f"{', '.join(CHANGES)}")
        raise ValueError(f"continue_with: unknown key {name!r}; {nearest(name, CHANGES)}")
    return found


def _typed(name: str, value: Any, like: Any) -> Any:
    """A number where `like` is one; YAML reads 1e-4 as a text."""
    if not isinstance(like, int | float):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    whole = isinstance(like, int)
    if isinstance(value, bool) or number != number or (whole and number != int(number)):
        raise ValueError(f"continue_with: {name}: wanted a {'whole ' * whole}number, got {value!r}")
    return int(number) if whole else number


@dataclass
class Leg:
    """Steps with the same settings.

    Parameters
    ----------
    first
        Finished steps of the run where it begins.
    settings
        Values of all that `CHANGES` names.
    changed
        Name → (value before, value in this leg).
    optimizer
        new: its moments began at zero; kept: they were those of the leg before.
    schedule
        What the learning rate does, in words.
    """

    first: int
    settings: dict[str, Any]
    changed: dict[str, list] = field(default_factory=dict)
    optimizer: str = "new"
    schedule: str = ""

    @property
    def slope(self) -> Slope:
        return Slope(self.first, *(self.settings[name] for name in OF_SCHEDULE))

    def in_words(self) -> str:
        what = ", ".join(f"{name} {before} → {after}"
                         for name, (before, after) in self.changed.items())
        return (f"from step {self.first}: {what or 'as begun'}; optimizer {self.optimizer}; "
                f"{self.schedule}")


@dataclass
class History:
    """Legs, in order; skipped: an entry a step that the guard against spikes skipped; passed: first
    and last step of each stretch of batches that were passed over."""

    legs: list[Leg]
    skipped: list[dict] = field(default_factory=list)
    passed: list[list[int]] = field(default_factory=list)

    @classmethod
    def of(cls, run: "PretrainConfig") -> "History":
        """Of a run that begins."""
        leg = Leg(0, settings_of(run))
        return cls([replace(leg, schedule=leg.slope.in_words())])

    @classmethod
    def read(cls, out: Path) -> "History | None":
        """Of an unfinished or finished run; None where there is none."""
        # Killed while a finished run was begun again, there is a leg that was not trained.
        unfinished = [] if artifacts.is_sealed(out) else [out / "state" / FILE_NAME]
        for file in (*unfinished, out / FILE_NAME):
            if file.is_file():
                found = artifacts.read_json(file)
                return cls([Leg(**leg) for leg in found["legs"]], found["skipped"],
                           found["passed"])
        return None

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        artifacts.write_json(folder / FILE_NAME, asdict(self), checked=True)

    def effective(self, run: "PretrainConfig") -> "PretrainConfig":
        """The run with the settings of the last leg."""
        return with_settings(run, self.legs[-1].settings)

    def pending(self, run: "PretrainConfig") -> dict[str, Any]:
        """Settings that `--continue_with` names and the last leg has otherwise."""
        return {name: value for name, value in run.continue_with.items()
                if self.legs[-1].settings[name] != value}

    def schedule(self) -> Schedule:
        """A slope for each leg that changed steps or learning rate; others go on as before."""
        return Schedule([leg.slope for leg in self.legs
                         if not leg.first or set(leg.changed) & set(OF_SCHEDULE)])

    def add(self, first: int, changes: dict[str, Any], optimizer: str) -> None:
        """Begin a leg after `first` finished steps. One that has made no step yet is replaced, also
        where its own state is damaged and the run goes on from an older one."""
        self.moved(first)
        before = self.legs[-1].settings
        changed = {name: [before[name], value] for name, value in changes.items()}
        if len(self.legs) > 1 and self.legs[-1].first == first:
            optimizer = self.legs[-1].optimizer
            for name, pair in self.legs.pop().changed.items():
                changed[name] = [pair[0], changes.get(name, pair[1])]
            before = {**before, **{name: pair[0] for name, pair in changed.items()}}
        now = {**before, **{name: pair[1] for name, pair in changed.items()}}
        if first >= now["train.steps"]:
            raise ValueError(f"continue_with: the run has made {first} steps, and train.steps is "
                             f"{now['train.steps']}: name more, such as "
                             f"--continue_with '{{train.steps: {2 * first}}}'")
        self.legs.append(Leg(first, now, changed, optimizer))
        self.legs[-1].schedule = (self.schedule().in_words()[-1]
                                  if set(changed) & set(OF_SCHEDULE) else
                                  "learning rate as before")

    def note(self, skipped: list[dict], passed: list[list[int]]) -> None:
        """Add what the guard has skipped and passed over, each once."""
        self.skipped += [entry for entry in skipped if entry not in self.skipped]
        self.passed += [pair for pair in passed if pair not in self.passed]

    def moved(self, first: int) -> bool:
        """Where the state at which the last leg began is damaged, it begins at an older one.
        Returns whether it does."""
        late = [leg for leg in self.legs[1:] if leg.first > first]
        for leg in late:
            leg.first = first
        return bool(late)

    def told(self) -> list[dict]:
        """For the ledger: first and last step of each leg, and what was changed."""
        ends = [*(leg.first for leg in self.legs[1:]), self.legs[-1].settings["train.steps"]]
        return [{"first": leg.first, "last": end, "changed": leg.changed,
                 "batch_windows": leg.settings["train.batch_windows"],
                 "optimizer": leg.optimizer, "schedule": leg.schedule}
                for leg, end in zip(self.legs, ends, strict=True)]


def settings_of(run: "PretrainConfig") -> dict[str, Any]:
    """Values of all that may be changed."""
    return artifacts.as_json({name: _value(run, name) for name in CHANGES})


def with_settings(run: "PretrainConfig", settings: Mapping[str, Any]) -> "PretrainConfig":
    """The run with other values of what may be changed; it checks them. What is free stays."""
    train = {name.removeprefix("train."): value for name, value in settings.items()
             if name.startswith("train.")}
    own = {name: value for name, value in settings.items() if not name.startswith("train.")}
    return replace(run, train=replace(run.train, **train), **own)


def _value(run: "PretrainConfig", name: str) -> Any:
    for part in name.split("."):
        run = getattr(run, part)
    return run
