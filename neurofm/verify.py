"""Verify the file hashes of finished folders.

    neurofm verify runs/decoder corpus/          exit status 0: all are whole; 1: some are not
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import artifacts, integrity
from .limits import limited
from .permission import UNREADABLE
from .progress import Progress
from .results import FILE_NAME as RESULTS
from .run import Command, Job

# Kind of an artifact → the commands that make one.
MADE_BY = {
    "archive": "simulate", "corpus": "ingest", "pairs": "pair", "tokens": "tokenize",
    "checkpoint": "pretrain, finetune or import", "results": "decode, evaluate …",
}
_MB = 10**6
# A folder with one of these was made by neurofm, whether or not it says so by a manifest.
_TABLES = {"training_data.json", "results.json", "recordings.arrow", "windows.arrow", "scans.arrow",
           "recordings.parquet", "windows.parquet", "scans.parquet", "predictions.parquet",
           "layouts.json"}


@dataclass
@limited
class VerifyConfig:
    """Compare every file of finished folders with the hashes in their manifests.

    Parameters
    ----------
    paths
        Finished folders, or folders that hold some. Folders inside finished ones, such as the
        test results of a decoder, are checked too.
    """

    paths: list[str]

    def __post_init__(self):
        if not self.paths:
            raise ValueError("give finished folders: neurofm verify FOLDER…")


def verify(run: VerifyConfig, job: Job) -> int:
    """Check all folders; 1 where anything is damaged, unfinished or missing."""
    folders = [folder for path in run.paths for folder in _finished(Path(path).expanduser())]
    damaged = unfinished = 0
    with Progress(sum(map(_bytes, folders)) // _MB, "verify (MB)") as progress:
        for folder in folders:
            problems, said = look(folder, progress)
            begun = (not _has_manifest(folder)) and (folder / artifacts.CLAIM).is_file()
            unfinished += begun
            damaged += bool(problems) and not begun
            for line in problems or [said]:
                progress.say(line)
    job.say(f"{len(folders)} folders checked, {damaged} damaged"
            + f", {unfinished} unfinished" * bool(unfinished))
    return int(damaged + unfinished > 0)


def look(folder: Path, progress: Progress) -> tuple[list[str], str]:
    """(a sentence a file that is not what the manifest says and one on what to do, what the folder
    is)."""
    if _looks_made(folder) and not (folder / artifacts.CLAIM).is_file():
        return [f"{folder}: has no {artifacts.FILE_NAME}, although it holds files of an artifact: "
                f"it is unfinished or damaged; copy it again, or make it again"], ""
    try:
        manifest = artifacts.read_manifest(folder)
    except artifacts.ArtifactError as error:
        return [str(error)], ""
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        before, done = done, done + n
        progress.advance(done // _MB - before // _MB)

    bad = [*integrity.problems(folder, manifest, "full", advance)]
    if bad and all(UNREADABLE in each for each in bad):
        bad.append(f"{folder}: this {manifest.kind} cannot be checked by this user")
    elif bad:
        bad.append(f"{folder}: this {manifest.kind} is damaged; copy it again, or "
                   f"{_again(folder, manifest)}")
    return bad, (f"{folder}: {manifest.kind} {manifest.fingerprint}, {len(manifest.listed)} files, "
                 f"whole")


def _bytes(folder: Path) -> int:
    try:
        return sum(size for size, _ in artifacts.read_manifest(folder).listed.values())
    except artifacts.ArtifactError:
        return 0


def _again(folder: Path, manifest: artifacts.Manifest) -> str:
    """How to make it again, in the words of its command as far as they are known."""
    if manifest.kind in ("corpus", "pairs") and (folder / f".{MADE_BY[manifest.kind]}").is_dir():
        return (f"give the same `neurofm {MADE_BY[manifest.kind]}` again with --verify full, which "
                f"does the damaged recordings again")
    return f"delete it and make it again: {_command(folder, manifest)}"


def _command(folder: Path, manifest: artifacts.Manifest) -> str:
    try:
        return json.loads((folder / RESULTS).read_text())["command"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"neurofm {MADE_BY.get(manifest.kind, 'COMMAND')} with the settings in its manifest"


def _finished(path: Path) -> list[Path]:
    """The folder itself with those in it, or those in it: finished, begun, or without a manifest
    although they hold what finished ones do."""
    if not path.is_dir():
        return [path]
    return [*_folders(path, inside=False)] or [path]


def _folders(path: Path, inside: bool) -> Iterator[Path]:
    """inside: whether it lies in a folder that is finished or begun, whose parts need none."""
    own = _has_manifest(path) or (path / artifacts.CLAIM).is_file()
    if own or (not inside and _looks_made(path)):
        yield path
    with os.scandir(path) as entries:
        found = sorted(each.name for each in entries if each.is_dir(follow_symlinks=False)
                       and each.name != artifacts.FILE_NAME)
    for name in found:
        yield from _folders(path / name, inside or own)


def _has_manifest(folder: Path) -> bool:
    """Whether anything is called so: a link, pipe or folder is no manifest, and is said."""
    return os.path.lexists(folder / artifacts.FILE_NAME)


def _looks_made(folder: Path) -> bool:
    """Whether a folder without a manifest holds files of an artifact: tables, or a configuration
    with its weights."""
    if _has_manifest(folder) or not folder.is_dir():
        return False
    names = {*os.listdir(folder)}
    return bool(names & _TABLES) or ({"config.json", "preprocessor_config.json"} <= names) or (
        "config.json" in names and any(name.endswith(".safetensors") for name in names))


COMMAND = Command("verify", VerifyConfig, verify, positional="paths", verifies=False)
main = COMMAND
