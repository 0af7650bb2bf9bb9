"""Publish a checkpoint, corpus or token set on the Hugging Face Hub.

    neurofm publish runs/decoder org/name --license cc-by-4.0 --dry-run          look first
    neurofm publish runs/decoder org/name --license cc-by-4.0

The token is the one of `hf auth login` (or HF_TOKEN): it is no option, so that it stands in no
history, configuration or log. HF_ENDPOINT chooses another Hub. An upload that was interrupted goes
on when the command is repeated: what the Hub has is not sent again, and what was published appears
in one commit or not at all.
"""

import json
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from .. import artifacts
from ..checkpoints.card import KG_PER_KWH, POWER_W, About
from ..limits import Positive, limited
from ..repository import LEDGER
from ..run import OK, Command, Job
from . import dataset_card, evaluations, people, staging
from .staging import Care, NotPublishable

_DATA = ("corpus", "tokens")


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
        Do everything except sending; `staged` keeps what would be sent.
    staged
        New folder for the files to send; "" = temporary.
    pseudonyms
        File of the table of pseudonyms, which is not published: subjects whose labels say who
        they are (names, initials, dates) become sub-0001 and so on.
    allow
        Texts that may stay although they look like what must not be published, such as an
        address for questions.
    title
        Title of the card.
    limits
        Limits of the model, for the card.
    citation
        Citation for the card: BibTeX or words.
    base_model
        Repository of the model that it was trained from; "" = as its settings name it.
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
    out = _folder(run, source)
    care = Care(run.pseudonyms, tuple(run.allow))
    kept = False
    try:
        if manifest.kind in _DATA:
            said = dataset_card.Said(run.license, run.license_name, run.license_link, run.title,
                                     run.citation)
            files = staging.stage_data(source, out, run.repo, said, care)
        else:
            files = _staged_checkpoint(run, source, out, care)
        size = sum((out / name).stat().st_size for name in files)
        job.say(f"{len(files)} files, {size / 1e6:.1f} MB, checked in a fresh process"
                if manifest.kind == "checkpoint" else f"{len(files)} files, {size / 1e6:.1f} MB")
        if run.pseudonyms and (n := len(people.Pseudonyms.read(run.pseudonyms).changed)):
            job.say(f"{run.pseudonyms} says who {n} pseudonyms are: keep it to yourself")
        if run.dry_run:
            job.say("\n".join(f"  {name}" for name in files))
            job.say(f"dry run: nothing was sent{f'; look at {out}' if run.staged else ''}")
            kept = bool(run.staged)
            return OK
        from .sending import send

        job.say(send(out, files, run.repo, repo_type, private=run.private, tag=run.revision))
        kept = bool(run.staged)
        return OK
    finally:
        if not kept:  # what was not sent is staged anew when the command is repeated
            shutil.rmtree(out, ignore_errors=True)  # made here, see `_folder`


def _check_license(run: PublishConfig, kind: str) -> None:
    if not run.license:
        raise NotPublishable("license: say under which license others may use this, such as "
                             "--license cc-by-4.0; nobody can use what states none")
    if run.license == "other" and kind == "checkpoint" and not (
            run.license_name and run.license_link):
        raise NotPublishable("license: other needs --license_name and --license_link, so that "
                             "others can read what they may do")


def _folder(run: PublishConfig, source: Path) -> Path:
    """A new folder for what is staged; one that holds anything is never written to."""
    table = Path(run.pseudonyms).expanduser().resolve() if run.pseudonyms else None
    if table and (table.is_dir() or source.resolve() in table.parents):
        raise NotPublishable(f"pseudonyms: {run.pseudonyms} lies in what is published, or is a "
                             f"folder; name a file elsewhere")
    if not run.staged:
        return Path(tempfile.mkdtemp(prefix="neurofm-publish-"))
    out = Path(run.staged).expanduser()
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise NotPublishable(f"staged: {out} is there already; name a new folder")
    inside = out.resolve()
    if source.resolve() in (inside, *inside.parents) or (table and inside in table.parents):
        raise NotPublishable(f"staged: {out} must hold neither the source nor the table of "
                             f"pseudonyms; name a new folder elsewhere")
    out.mkdir(parents=True, exist_ok=True)
    return out


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


def _staged_checkpoint(run: PublishConfig, source: Path, out: Path, care: Care) -> list[str]:
    manifest = artifacts.open_sealed(source, "checkpoint")
    terms = {}
    if LEDGER in manifest.listed:
        terms = json.loads((source / LEDGER).read_text()).get("datasets", {})
    told = [evaluations.read(Path(folder), method, manifest.fingerprint, terms)
            for folder, method in run.evaluations.items()] or evaluations.of_finetune(source, terms)
    about = About(run.title, run.license, run.limits, run.citation, None, run.power_w,
                  run.kg_per_kwh, told, run.license_name, run.license_link,
                  run.base_model or _trained_from(manifest.config, source))
    return staging.stage_checkpoint(source, out, about, run.repo, {}, care)


def _trained_from(config: dict, source: Path) -> str:
    """The repository that the settings name as what it was trained from, if they do; "runs/base" is
    a folder where there is one, here or from a folder above `source`."""
    for key in ("model", "init"):
        place = str(config.get(key) or "").partition("@")[0]
        if re.fullmatch(r"[\w.-]+/[\w.-]+", place) and not any(
                (above / place).exists() for above in (Path(), *source.resolve().parents)):
            return place
    return ""
