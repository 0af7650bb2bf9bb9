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
from ..run import OK, Command, Job
from . import dataset_card, evaluations, secrets, staging
from .staging import NotPublishable

_DATA = ("corpus", "tokens")


@dataclass
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
    private
        Make a new repository private.
    revision
        Name of the tag; "" = v1, v2 and so on.
    dry_run
        Do everything except sending; `staged` keeps what would be sent.
    staged
        Folder for the files to send; "" = temporary.
    title
        Title of the card.
    limits
        Limits of the model, for the card.
    citation
        Citation, for the card.
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
    private: bool = False
    revision: str = ""
    dry_run: bool = False
    staged: str = ""
    title: str = ""
    limits: str = ""
    citation: str = ""
    evaluations: dict[str, str] = field(default_factory=dict)
    power_w: float = POWER_W
    kg_per_kwh: float = KG_PER_KWH

    def __post_init__(self):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repo):
            raise ValueError(f"repo: wanted organization/name, got {self.repo!r}")
        if min(self.power_w, self.kg_per_kwh) <= 0:
            raise ValueError("power_w and kg_per_kwh must be above 0")


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
    source = Path(run.source)
    manifest = _opened(source)
    if not run.license:
        raise NotPublishable("license: say under which license others may use this, such as "
                             "--license cc-by-4.0; nobody can use what states none")
    out = Path(run.staged or tempfile.mkdtemp(prefix="neurofm-publish-"))
    if run.staged and out.exists() and any(out.iterdir()) and not artifacts.is_sealed(out):
        raise NotPublishable(f"staged: {out} holds other things; name a new folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if manifest.kind in _DATA:
            files = _staged_data(run, source, manifest, out)
        else:
            files = _staged_checkpoint(run, source, out)
        size = sum((out / name).stat().st_size for name in files)
        job.say(f"{len(files)} files, {size / 1e6:.1f} MB, checked in a fresh process"
              if manifest.kind == "checkpoint" else f"{len(files)} files, {size / 1e6:.1f} MB")
        if run.dry_run:
            job.say("\n".join(f"  {name}" for name in files))
            job.say(f"dry run: nothing was sent{f'; look at {out}' if run.staged else ''}")
            return OK
        from .sending import send

        repo_type = "dataset" if manifest.kind in _DATA else "model"
        job.say(send(out, files, run.repo, repo_type, private=run.private, tag=run.revision))
        return OK
    finally:
        if not run.staged:
            shutil.rmtree(out, ignore_errors=True)


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


def _staged_checkpoint(run: PublishConfig, source: Path, out: Path) -> list[str]:
    mark = artifacts.open_sealed(source, "checkpoint").fingerprint
    told = [evaluations.read(Path(folder), method, mark)
            for folder, method in run.evaluations.items()] or evaluations.of_finetune(source)
    about = About(run.title, run.license, run.limits, run.citation, None, run.power_w,
                  run.kg_per_kwh, told)
    return staging.stage_checkpoint(source, out, about, run.repo, {})


def _staged_data(
    run: PublishConfig, source: Path, manifest: artifacts.Manifest, out: Path
) -> list[str]:
    from ..data.corpus import Corpus
    from ..data.tokens import TokenSet

    data = (Corpus if manifest.kind == "corpus" else TokenSet).open(source)
    names = sorted(set(data.recordings["dataset"].fillna("")))
    if problems := dataset_card.problems(names, data.datasets):
        raise NotPublishable("not published: " + "; ".join(problems))
    for name in manifest.files:
        staging.copied(source / name, out / name)
    text = dataset_card.card(manifest.kind, data, data.datasets, run.repo, run.license, run.title)
    (out / "README.md").write_text(text)
    artifacts.seal(out, manifest.kind, config=secrets.without_paths(manifest.config),
                   parents=manifest.parents, files=[*manifest.files],
                   known_hashes={name: entry[1] for name, entry in manifest.files.items()})
    staging.refuse_secrets(out)
    return [*sorted(manifest.files), "README.md", artifacts.FILE_NAME]
