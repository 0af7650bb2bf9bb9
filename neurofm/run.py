"""The frame of every command: a command is a typed config and a body, all else is here.

    COMMAND = Command("tokenize", TokenizeConfig, tokenize, makes="tokens", reads=("data", "model"))
    main = COMMAND  # the entry point

The frame fills the config (defaults ← YAML ← command line), opens and verifies the parents (how
much of them `--verify` says, which every command has and no config: see `integrity`), asks
whether the folder is finished by these settings, parents and bytes of files (`contents`), takes the
folder's lock, claims it, and calls `body(run, job)`. What the body returns it seals. Of results it
writes results.json and the page, and prints every LEAK and DOUBT of every model against the people
judged.

Exit status: 0 done, 1 an error that names what to do (`neurofm.cli`), 2 the command line, 3 done
but for what failed, 85 asked to stop (the same command continues), 130 interrupted.
"""

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import artifacts, config, contents, integrity, repository
from .job import FAILED, INTERRUPTED, OK, PAGE, STOPPED, Job, Made, Stopped, rank, versions
from .lock import leave_no_claim, only_one, refuse_foreign
from .terminal import log_shown

__all__ = [
    "FAILED", "INTERRUPTED", "OK", "PAGE", "STOPPED", "Command", "Job", "Made", "Stopped", "flat",
    "rank", "versions",
]


@dataclass(frozen=True)
class Command:
    """A command of `neurofm`."""

    name: str  # as typed: "tokenize", "evaluate bold"
    config: type  # dataclass of its options. A field `out` names the folder that is made.
    # body(run, job) → Made, or an exit status where the body has sealed the folder itself
    body: Callable[[Any, Job], "Made | int"]
    makes: str = ""  # kind of the artifact; "" = none (show, publish)
    # fields of the config that name corpora, token sets and pairs it is made from
    reads: tuple[str, ...] = ()
    # fields that name checkpoints (folders or Hub repositories) it is made from; their ledgers are
    # held against whom the results judge. A field may be a path, a list, or name → path.
    models: tuple[str, ...] = ()
    # field → what the manifest calls that parent, where it is not the field's name
    roles: dict[str, str] = field(default_factory=dict)
    # fields that do not change what is made ("train.log_every"): a run is continued with others
    free: frozenset[str] = frozenset()
    # field that also takes the words without a `--name`; of several fields each takes one, a list
    # the rest
    positional: str | tuple[str, ...] = ()
    # True of archives that later calls add to (ingest, pair): the body decides what is new
    grows: bool = False
    # fields that may change as long as the folder is unfinished ("methods"): what is done counts
    until_sealed: frozenset[str] = frozenset()
    # shared(run): True where several processes work on one folder, each on its own part; the body
    # then claims it (`job.claim`) once all is checked, and locks what it must
    shared: Callable[[Any], bool] = lambda run: False
    # names in the folder that only unfinished work needs ("state"): removed once it is sealed
    leaves: tuple[str, ...] = ()
    # begun(out): whether a folder that is not sealed holds work that other settings would spoil
    begun: Callable[[Path], bool] = lambda out: True
    # further(run): role → fingerprint of what it is made from and is no artifact of ours
    further: Callable[[Any], dict[str, str]] = lambda run: {}
    # True where the folder must be new or empty, or begun by this command with these settings
    fresh: bool = False
    # False where `--verify` would say nothing
    verifies: bool = True

    def __call__(self, argv: list[str] | None = None) -> int:
        """Parse and run; returns the exit status."""
        argv = sys.argv[1:] if argv is None else list(argv)
        with integrity.scope():
            run: Any = config.parse(self.config, argv, command=self.name,
                                    positional=self.positional, verify=self.verifies)
            return self.run(run, words=argv)

    def run(self, run: Any, words: Iterable[str] = ()) -> int:
        """Run with a config that is made already; returns the exit status."""
        try:
            with log_shown():
                return self._framed(run, config.without_verify(words))
        except Stopped as stop:
            if rank() == 0:
                print(stop, flush=True)
            return STOPPED

    def _framed(self, run: Any, words: list[str]) -> int:
        if not self.makes:
            job = Job(self, Path(), {}, config.resolved(run), dict(self._places(run, self.models)),
                      words)
            return _status(self.body(run, job), job)
        out = Path(run.out).expanduser()
        if out.exists() and not out.is_dir():
            raise ValueError(f"--out {out}: wanted a folder, this is a file; choose another --out")
        if self.grows:
            with contextlib.nullcontext() if self.shared(run) else only_one(out, self.name):
                job = Job(self, out, {}, config.resolved(run), {}, words)
                return _status(self.body(run, job), job)
        settings, parents = self._settings(run, out), self._parents(run, out)
        if self._finished(out, settings, parents):
            return OK
        if self.fresh:
            refuse_foreign(out)
        elif not artifacts.is_sealed(out):
            refuse_foreign(out, self.leaves)  # what is another's would be removed with ours
        models = {**dict(self._places(run, self.models)), **self._ledgers(run)}
        made_from = {**parents, **{
            key: value for key, value in self._decisive(settings).items()
            if key.partition(".")[0] not in self.until_sealed}}
        made_from = self._as_begun(out, made_from)
        job = Job(self, out, parents, settings, models, words, made_from)
        if self.shared(run):
            artifacts.check_claim(out, made_from)
            return _status(self.body(run, job), job)
        shared = rank() > 0
        with contextlib.nullcontext() if shared else only_one(out, self.name):
            if self._finished(out, settings, parents):  # by another process, meanwhile
                return OK
            if rank() == 0:
                if not self.begun(out):
                    (out / artifacts.CLAIM).unlink(missing_ok=True)
                artifacts.claim(out, made_from)
            elif self.begun(out):
                artifacts.check_claim(out, made_from)  # by all processes, so that all end here
            with contextlib.nullcontext() if shared else leave_no_claim(out):
                return _status(self.body(run, job), job)

    def tidy(self, out: Path) -> None:
        """Remove from a sealed folder what only unfinished work needs."""
        for name in self.leaves:
            shutil.rmtree(out / name, ignore_errors=True)

    def is_finished(self, run: Any) -> bool:
        """Whether the folder holds what this command makes with this config; raises where it is
        sealed and holds anything else."""
        out = Path(run.out).expanduser()
        return self._finished(out, self._settings(run, out), self._parents(run, out), quiet=True)

    def _settings(self, run: Any, out: Path) -> dict[str, Any]:
        """The resolved config, with the hashes of files that it names. Of a file that is gone since
        the folder was finished, what the manifest says counts."""
        known = (artifacts.open_sealed(out, self.makes).config.get(contents.KEY, {})
                 if artifacts.is_sealed(out) else {})
        found = known | contents.hashes(run)
        return config.resolved(run) | ({contents.KEY: found} if found else {})

    def _places(self, run: Any, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """(field, place) of what stands in these fields; fields of several are "beside 1", …"""
        for name in names:
            value = run
            for part in name.split("."):
                value = getattr(value, part)
            if isinstance(value, dict):
                yield from ((f"{name} {key}", str(each)) for key, each in value.items())
            elif isinstance(value, list | tuple):
                yield from ((name if len(value) == 1 else f"{name} {k + 1}", str(each))
                            for k, each in enumerate(value))
            elif value:
                yield name, str(value)

    def _ledgers(self, run: Any) -> dict[str, str]:
        """Field → place of what is read and was itself made by a model (generated signals): such a
        folder carries the model's ledger."""
        return {name: place for name, place in self._places(run, self.reads)
                if (Path(place) / repository.LEDGER).is_file()}

    def _parents(self, run: Any, out: Path) -> dict[str, str]:
        """Role → fingerprint. A parent of a finished folder may lie elsewhere by now: then what the
        manifest says counts."""
        sealed = artifacts.is_sealed(out)
        known = artifacts.open_sealed(out, self.makes).parents if sealed else {}
        found: dict[str, Any] = {}
        for field_, place in self._places(run, self.reads):
            role = self._role(field_)
            found[role] = (known[role] if role in known and not Path(place).exists()
                           else artifacts.open_sealed(repository.data_folder(place)).fingerprint)
        for field_, place in self._places(run, self.models):
            role = self._role(field_)
            gone = role in known and not Path(place).exists()
            try:
                found[role] = repository.fingerprint(place)
            except ValueError:
                if not gone:
                    raise
                found[role] = known[role]
        return found | self._further(run, known)

    def _further(self, run: Any, known: dict[str, str]) -> dict[str, str]:
        try:
            return self.further(run)
        except ValueError:  # gone since the folder was finished
            if not known:
                raise
            return {role: mark for role, mark in known.items()
                    if not any(role == self._role(name) for name, _ in
                               self._places(run, self.reads + self.models))}

    def _role(self, name: str) -> str:
        return self.roles.get(name, name)

    def _decisive(self, settings: dict) -> dict:
        """Settings that decide what is made: places of parents are told by their fingerprints."""
        places = {"out", *self.reads, *self.models}
        return {key: value for key, value in flat(settings).items()
                if key not in self.free and not any(
                    key == name or key.startswith(f"{name}.") for name in places)}

    def _as_begun(self, out: Path, made_from: dict) -> dict:
        """`made_from` without options that did not exist when an unfinished folder was begun, where
        they have their defaults: a newer version goes on with it."""
        if not (out / artifacts.CLAIM).is_file():
            return made_from
        begun = artifacts.read_json(out / artifacts.CLAIM)
        usual = self._decisive(artifacts.as_json(config.defaults(self.config)))
        return {key: value for key, value in artifacts.as_json(made_from).items()
                if key in begun or key not in usual or usual[key] != value}

    def _differing(self, made: dict, wanted: dict) -> dict[str, tuple]:
        """Option → (made with, wanted), of those that differ. An option that did not exist when the
        folder was made counts as its default did then."""
        made = {**artifacts.as_json(config.defaults(self.config)), **made}
        here, there = self._decisive(artifacts.as_json(wanted)), self._decisive(made)
        known = {key for key in here.keys() | there.keys()
                 if key.partition(".")[0] in made.keys() & wanted.keys()}
        return {key: (there.get(key), here.get(key)) for key in known
                if there.get(key) != here.get(key)}

    def _finished(self, out: Path, settings: dict, parents: dict[str, str],
                  quiet: bool = False) -> bool:
        """Whether the folder is sealed and holds what these settings make of these parents; raises
        where it is sealed and holds anything else."""
        if not artifacts.is_sealed(out):
            return False
        found = artifacts.open_sealed(out, self.makes)
        differing = self._differing(found.config, settings) | {
            role: (found.parents.get(role), parents.get(role))
            for role in found.parents.keys() | parents.keys()
            if found.parents.get(role) != parents.get(role)}
        if differing:
            shown = "; ".join(f"{name}: {_short(made)}, wanted {_short(wanted)}"
                              for name, (made, wanted) in sorted(differing.items())[:5])
            raise artifacts.ArtifactError(f"{out} is finished, but was made with other settings "
                                          f"({shown}): choose another --out")
        if rank() == 0 and not quiet:
            self.tidy(out)  # where it was killed after it was sealed
            print(f"{out} is finished ({found.fingerprint}): nothing to do", flush=True)
        return True


def flat(settings: dict, above: str = "") -> dict:
    """{"train": {"lr": 1}} → {"train.lr": 1}."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{above}{name}.")
        else:
            found[above + name] = value
    return found


def _status(answer: "Made | int | None", job: Job) -> int:
    if isinstance(answer, Made):
        return job.seal(answer) if job.is_main else answer.status
    return answer or OK


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


