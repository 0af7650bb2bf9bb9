"""Verify the file hashes of finished folders.

    neurofm verify runs/decoder corpus/          exit status 0: all are whole; 1: some are not
"""

import json
from dataclasses import dataclass
from pathlib import Path

from . import artifacts
from .results import FILE_NAME as RESULTS
from .run import Command, Job

# Kind of an artifact → the commands that make one.
MADE_BY = {
    "archive": "simulate", "corpus": "ingest", "pairs": "pair", "tokens": "tokenize",
    "checkpoint": "pretrain, finetune or import", "results": "decode, evaluate …",
}


@dataclass
class VerifyConfig:
    """Compare every file of finished folders with the hashes in their manifests.

    Parameters
    ----------
    paths
        Finished folders, or folders that hold some.
    """

    paths: list[str]

    def __post_init__(self):
        if not self.paths:
            raise ValueError("give finished folders: neurofm verify FOLDER…")


def verify(run: VerifyConfig, job: Job) -> int:
    """Check all folders; 1 where anything is damaged, unfinished or missing."""
    folders = [folder for path in run.paths for folder in _finished(Path(path).expanduser())]
    damaged = 0
    for folder in folders:
        problems = problems_of(folder)
        damaged += bool(problems)
        for problem in problems:
            job.say(problem)
        if not problems:
            found = artifacts.open_sealed(folder)
            job.say(f"{folder}: {found.kind} {found.fingerprint}, {len(found.files)} files, whole")
    job.say(f"{len(folders)} folders checked, {damaged} damaged")
    return int(damaged > 0)


def problems_of(folder: Path) -> list[str]:
    """A sentence a file that is not what the manifest says, and one on what to do."""
    try:
        manifest = artifacts.read_manifest(folder)
    except artifacts.ArtifactError as error:
        return [str(error)]
    bad = []
    for name, (size, digest) in manifest.files.items():
        file = folder / name
        if not file.is_file():
            bad.append(f"{file}: missing")
        elif file.stat().st_size != size:
            bad.append(f"{file}: {file.stat().st_size} bytes, wanted {size}")
        elif artifacts.sha256(file) != digest:
            bad.append(f"{file}: its contents changed (sha256 differs)")
    if bad:
        bad.append(f"{folder}: this {manifest.kind} is damaged; copy it again, or delete it and "
                   f"make it again: {_command(folder, manifest)}")
    return bad


def _command(folder: Path, manifest: artifacts.Manifest) -> str:
    """The words that make it again, as far as they are known."""
    try:
        return json.loads((folder / RESULTS).read_text())["command"]
    except (OSError, ValueError, KeyError):
        return f"neurofm {MADE_BY.get(manifest.kind, 'COMMAND')} with the settings in its manifest"


def _finished(path: Path) -> list[Path]:
    """The folder itself, or the finished ones in it."""
    if artifacts.is_sealed(path) or not path.is_dir():
        return [path]
    inside = sorted(file.parent for file in path.rglob(artifacts.FILE_NAME))
    return inside or [path]


COMMAND = Command("verify", VerifyConfig, verify, positional="paths")
main = COMMAND
