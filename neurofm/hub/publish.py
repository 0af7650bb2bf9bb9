"""Publish a checkpoint, corpus or token set on the Hugging Face Hub.

    neurofm publish runs/decoder org/name --license cc-by-4.0 --dry-run          look first
    neurofm publish runs/decoder org/name --license cc-by-4.0

The token is the one of `hf auth login` (or HF_TOKEN): it is no option, so that it stands in no
history, configuration or log. HF_ENDPOINT chooses another Hub. An upload that was interrupted goes
on when the command is repeated: what the Hub has is not sent again, and what was published appears
in one commit or not at all.
"""

import contextlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .. import artifacts
from ..checkpoints.card import KG_PER_KWH, POWER_W, About
from ..limits import Positive, limited
from ..lock import NAME as LOCK
from ..lock import only_one
from ..repository import LEDGER
from ..run import OK, Command, Job
from . import dataset_card, evaluations, people, places, review, staging
from .staging import Care, NotPublishable

_DATA = ("corpus", "tokens")
_BEGUN = ".publishing"  # in a folder that is being staged: fingerprint of the source


@dataclass
@limited
class PublishConfig:
    """Publish a finished folder on the Hugging Face Hub.

    Parameters
    ----------
    source
        A finished checkpoint, corpus or token set.
    repo
        Repository: organization/name.
    license
        License in the spelling of the Hub: mit, apache-2.0, cc-by-4.0, other …
    license_name, license_link
        Name and address of the license, where it is `other`.
    private
        Make a new repository private.
    revision
        Name of the tag; "" = v1, v2 and so on.
    dry_run
        Do everything except sending and writing `pseudonyms`; `staged` keeps what would be sent.
        Tables of findings and of free texts are written.
    staged
        New folder for the files to send; "" = temporary.
    pseudonyms
        File of the table of pseudonyms, which is not published: subjects whose labels say who
        they are (names, initials, dates) become sub-0001 and so on.
    allow
        Texts that may stay although they look like what must not be published, such as an
        address for questions.
    texts
        Table of free texts (labels, events, tasks, sessions, channels) that you have read and
        that everybody may see. A call without it writes the table and says where.
    title
        Title of the card.
    limits
        Limits of the model or data, for the card.
    citation
        Citation for the card: BibTeX or words.
    base_model
        Repository of the model that it was trained from; "" = the one that its settings name, if
        it was fetched from the Hub on this machine.
    evaluations
        Folder of results → its method that is this checkpoint, such as {runs/evaluation:
        frozen}.
    power_w
        Power of the training machine, W, for the energy estimate.
    kg_per_kwh
        CO₂ per kWh of the grid, kg.
    """

    source: str
    repo: str
    license: str = ""
    license_name: str = ""
    license_link: str = ""
    private: bool = False
    revision: str = ""
    dry_run: bool = False
    staged: str = ""
    pseudonyms: str = ""
    allow: list[str] = field(default_factory=list)
    texts: str = ""
    title: str = ""
    limits: str = ""
    citation: str = ""
    base_model: str = ""
    evaluations: dict[str, str] = field(default_factory=dict)
    power_w: Positive = POWER_W
    kg_per_kwh: Positive = KG_PER_KWH

    def __post_init__(self):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repo):
            raise ValueError(f"repo: wanted organization/name, got {self.repo!r}")
        if self.base_model and not re.fullmatch(r"[\w.-]+/[\w.-]+", self.base_model):
            raise ValueError(f"base_model: wanted organization/name, got {self.base_model!r}")


def _flags(argv: list[str]) -> list[str]:
    """`--private` and `--dry-run` may stand alone, as elsewhere in this ecosystem."""
    found = []
    for word, after in zip(argv, [*argv, "--"][1:], strict=True):
        word = word.replace("--dry-run", "--dry_run")
        alone = word in ("--private", "--dry_run") and after.startswith("--")
        found.append(f"{word}=true" if alone else word)
    return found


def publish(run: PublishConfig, job: Job) -> int:
    """Stage, check, send; says what it does."""
    source = Path(run.source).expanduser()
    manifest = _opened(source)
    _check_license(run, manifest.kind)
    repo_type = "dataset" if manifest.kind in _DATA else "model"
    if not run.dry_run:
        from .sending import check_access

        check_access(run.repo, repo_type)  # before minutes of staging
    if manifest.kind in _DATA and (run.base_model or run.evaluations):
        raise NotPublishable("base_model and evaluations are of checkpoints: leave them out of a "
                             "corpus or token set")
    lists = review.Lists.of(run.repo, run.pseudonyms)
    care = Care(run.pseudonyms, tuple(run.allow), run.dry_run, run.texts, lists, _typed(run))
    with _folder(run, source, manifest.fingerprint) as out:
        if manifest.kind in _DATA:
            said = dataset_card.Said(run.license, run.license_name, run.license_link, run.title,
                                     run.citation, run.limits)
            files = staging.stage_data(source, out, run.repo, said, care)
        else:
            files = _staged_checkpoint(run, source, out, care, job)
        size = sum((out / name).stat().st_size for name in files)
        job.say(f"{len(files)} files, {size / 1e6:.1f} MB, checked in a fresh process"
                if manifest.kind == "checkpoint" else f"{len(files)} files, {size / 1e6:.1f} MB")
        if run.pseudonyms:
            job.say(*_of_pseudonyms(run, care.names))
        if lists.texts:
            job.say(f"look at {review.in_words(lists)}")
        if run.dry_run:
            job.say("\n".join(f"  {name}" for name in files))
            job.say(f"dry run: nothing was sent{f'; look at {out}' if run.staged else ''}")
            return OK
        from .sending import send

        job.say(send(out, files, run.repo, repo_type, private=run.private, tag=run.revision))
        return OK


def _typed(run: PublishConfig) -> dict[str, str]:
    """Option → a text that everybody will see. Names in a citation are those of its authors."""
    return {"--title": run.title, "--limits": run.limits, "--license_name": run.license_name,
            "--revision": run.revision, "repository": run.repo.split("/")[-1],
            "--base_model": run.base_model.split("/")[-1],
            "--evaluations": " ".join(run.evaluations.values())}


def _of_pseudonyms(run: PublishConfig, names: people.Pseudonyms) -> list[str]:
    """What is said of the table of them."""
    rows = [f"  {dataset}/{label} is {public}"
            for (dataset, label), public in sorted(names.changed.items())]
    if not rows:
        return []
    if not run.dry_run:
        return [f"{run.pseudonyms} says who {len(rows)} pseudonyms are: keep it to yourself"]
    more = [f"  and {len(rows) - 20} more"] if len(rows) > 20 else []
    return ["\n".join([f"dry run: {run.pseudonyms} is not written; it would say that", *rows[:20],
                       *more])]


def _check_license(run: PublishConfig, kind: str) -> None:
    if not run.license:
        raise NotPublishable("license: say under which license others may use this, such as "
                             "--license cc-by-4.0; nobody can use what states none")
    if run.license == "other" and kind == "checkpoint" and not (
            run.license_name and run.license_link):
        raise NotPublishable("license: other needs --license_name and --license_link, so that "
                             "others can read what they may do")


@contextlib.contextmanager
def _folder(run: PublishConfig, source: Path, mark: str) -> Iterator[Path]:
    """A new folder for what is staged; one that holds anything else is never written to. It stays
    where `staged` names it and all went well; else it is staged anew when the command is repeated.

    mark: fingerprint of the source.
    """
    table = Path(run.pseudonyms).expanduser().resolve() if run.pseudonyms else None
    if table and (table.is_dir() or source.resolve() in table.parents):
        raise NotPublishable(f"pseudonyms: {run.pseudonyms} lies in what is published, or is a "
                             f"folder; name a file elsewhere")
    if not run.staged:
        with tempfile.TemporaryDirectory(prefix="neurofm-publish-") as new:
            yield Path(new)
        return
    out = Path(run.staged).expanduser()
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise NotPublishable(f"staged: {out} is there already; name a new folder")
    inside = out.resolve()
    if source.resolve() in (inside, *inside.parents) or (table and inside in table.parents):
        raise NotPublishable(f"staged: {out} must hold neither the source nor the table of "
                             f"pseudonyms; name a new folder elsewhere")
    _refuse_held(out, mark)
    with only_one(out, "publish", option="--staged"):
        _refuse_held(out, mark)  # by another process, meanwhile
        _empty(out, but=(LOCK,))  # of a call that was killed
        (out / _BEGUN).write_text(mark)
        try:
            yield out
        except BaseException:
            _empty(out)
            raise
        (out / _BEGUN).unlink()
        (out / LOCK).unlink()


def _refuse_held(out: Path, mark: str) -> None:
    """Raise where a folder holds more than a call left that was killed while it staged this."""
    held = {path.name for path in out.iterdir()} - {LOCK} if out.is_dir() else set()
    if not held or (_BEGUN in held and (out / _BEGUN).read_text() == mark):
        return
    if artifacts.is_sealed(out) and _BEGUN not in held and (
            artifacts.read_manifest(out).parents.get("source") == mark):
        raise NotPublishable(f"staged: {out} is finished: it holds this source as it was staged "
                             f"before; look at it, delete it, or name a new folder")
    raise NotPublishable(f"staged: {out} is there already; name a new folder")


def _empty(out: Path, but: tuple[str, ...] = ()) -> None:
    for path in out.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in but:
            path.unlink()


COMMAND = Command("publish", PublishConfig, publish, positional=("source", "repo"))


def main(argv: list[str] | None = None) -> int:
    return COMMAND(_flags(sys.argv[1:] if argv is None else argv))


def _opened(source: Path) -> artifacts.Manifest:
    if not artifacts.is_sealed(source):
        raise NotPublishable(f"{source}: wanted a finished checkpoint, corpus or token set (a "
                             f"folder with {artifacts.FILE_NAME})")
    kind = json.loads((source / artifacts.FILE_NAME).read_text()).get("kind")
    if kind not in ("checkpoint", *_DATA):
        raise NotPublishable(f"{source}: is of kind {kind}; checkpoints, corpora and token sets "
                             f"are published")
    return artifacts.open_sealed(source, kind, hashes=True)


def _staged_checkpoint(
    run: PublishConfig, source: Path, out: Path, care: Care, job: Job
) -> list[str]:
    manifest = artifacts.open_sealed(source, "checkpoint")
    terms = {}
    if LEDGER in manifest.listed:
        terms = json.loads((source / LEDGER).read_text()).get("datasets", {})
    told = [evaluations.read(Path(folder), method, manifest.fingerprint, terms)
            for folder, method in run.evaluations.items()] or evaluations.of_finetune(source, terms)
    base, place = (run.base_model, "") if run.base_model else _trained_from(manifest.config)
    if place:
        job.say(f"the card names no base_model: {place}, from which this was trained, is no "
                f"repository that was fetched from the Hub here; --base_model names one")
    about = About(run.title, run.license, run.limits, run.citation, None, run.power_w,
                  run.kg_per_kwh, told, run.license_name, run.license_link, base)
    return staging.stage_checkpoint(source, out, about, run.repo, {}, care)


def _trained_from(config: dict) -> tuple[str, str]:
    """(repository that the settings name as what it was trained from, "") or ("", what they name).

    "runs/base" is a folder or was one: only what lies in the Hub's cache here is a repository.
    """
    named = ""
    for key in ("model", "init"):
        place = str(config.get(key) or "").partition("@")[0]
        if places.is_repository(place):
            return place, ""
        named = named or (place if "/" in place else "")
    return "", named
