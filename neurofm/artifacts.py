"""Sealed folders: how stages hand over to each other.

A finished corpus, token set, checkpoint or result is a folder whose `manifest.json` was written
last (temporary name, fsync, rename). It names what the folder is, the hash of every file, the
resolved configuration, the code, and the fingerprints of what it was made from. A folder without a
valid manifest is unfinished work: it can be continued, and it is never read as data.
"""

import json
import logging
import os
import shutil
import subprocess
import time
from functools import cache
from importlib import metadata
from pathlib import Path

from . import fingerprinted, integrity, journal, json_file, umask
from . import manifest as manifests
from .hashes import sha256
from .manifest import CLAIM, FILE_NAME, FORMAT_VERSION, ArtifactError, Manifest

__all__ = [
    "CLAIM", "FILE_NAME", "FORMAT_VERSION", "ArtifactError", "Manifest", "as_json", "check_claim",
    "check_file", "claim", "code_version", "flush", "is_sealed", "open_sealed", "read_json",
    "read_manifest", "seal", "sha256", "shard_files", "share", "unseal", "write_json",
]
logger = logging.getLogger("neurofm")


def seal(
    folder: str | Path,
    kind: str,
    *,
    config: dict,
    parents: dict[str, str] | None = None,
    files: list[str],
    known_hashes: dict[str, str] | None = None,
    code: bool = True,
) -> Manifest:
    """Declare `folder` finished: hash `files` (paths relative to it) and write the manifest, once
    the disk has them all.

    Results that lie in it as a folder of their own (`test`) are bound by their manifest.

    known_hashes: sha256 of files that were hashed while they were written.
    """
    folder = Path(folder)
    files = [*files, *_inner_manifests(folder, files)]
    for name in files:
        share(folder / name)
        flush(folder / name)
    known = known_hashes or {}
    listing: dict[str, list] = {}
    beside: dict[str, list] = {}
    for name in sorted(files):
        entry = [(folder / name).stat().st_size, known.get(name) or sha256(folder / name)]
        if fingerprinted.is_beside(kind, name):
            counts = fingerprinted.rest(kind, folder / name)
            beside[name] = [*entry, counts] if counts else entry
        else:
            listing[name] = entry
    manifest = Manifest(
        kind, listing, config, parents or {}, code_version() if code else {},
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), beside=beside,
    )
    write_json(folder / FILE_NAME, manifest.to_dict())
    (folder / CLAIM).unlink(missing_ok=True)
    (folder / journal.NAME).unlink(missing_ok=True)
    return manifest


def _inner_manifests(folder: Path, files: list[str]) -> list[str]:
    """Those of finished results in a folder that are not listed yet."""
    found = (each.relative_to(folder).as_posix() for each in sorted(folder.glob(f"*/{FILE_NAME}"))
             if not each.parent.is_symlink() and read_manifest(each.parent).kind == "results")
    return [name for name in found if name not in files]


def share(path: Path) -> None:
    """Give a file that its writer kept to itself (safetensors: 0600) the permissions of any other
    new file, so that a group can open what one of it has made."""
    mode = path.stat().st_mode & 0o777
    if mode == 0o600 and mode != (usual := 0o666 & ~umask.current()):
        path.chmod(usual)


def unseal(folder: str | Path) -> None:
    """Take the manifest away: the folder is unfinished again and may be added to."""
    (Path(folder) / FILE_NAME).unlink(missing_ok=True)


def claim(folder: str | Path, made_from: dict) -> None:
    """Begin or continue an unfinished folder; what was made of other things is never mixed in.

    made_from: fingerprints and settings that decide what will be in it.
    """
    check_claim(folder, made_from)
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_json(Path(folder) / CLAIM, made_from)


def check_claim(folder: str | Path, made_from: dict) -> None:
    """Raise if `folder` was begun from other things, or does not say from what; nothing is
    written."""
    note, wanted = Path(folder) / CLAIM, as_json(made_from)
    found = read_json(note) if note.exists() else wanted
    changed = sorted(k for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k))
    if changed:
        raise ArtifactError(
            f"{folder} was begun with other settings ({', '.join(changed)}): choose another "
            f"--out, delete the folder, or repeat the settings it was begun with"
        )


def is_sealed(folder: str | Path) -> bool:
    return (Path(folder) / FILE_NAME).is_file()


def open_sealed(folder: str | Path, kind: str | None = None, *, hashes: bool = False) -> Manifest:
    """The manifest of a finished artifact, after checking its files (see `integrity`).

    hashes=True reads every file again and compares its sha256, whatever `--verify` says.

    Raises
    ------
    ArtifactError
        It is unfinished, malformed or of another kind, or a file is not what the manifest says.
    """
    folder = Path(folder)
    wanted = f"a finished {kind}" if kind else "a finished artifact"
    manifest = read_manifest(folder, wanted)
    if kind is not None and manifest.kind != kind:
        raise ArtifactError(f"{folder}: wanted {wanted}, but this is a {manifest.kind}")
    how = "full" if hashes else integrity.level()
    for problem in integrity.problems(folder, manifest, how):
        integrity.need(problem)
    return manifest


def read_manifest(folder: str | Path, wanted: str = "a finished artifact") -> Manifest:
    """What a folder says that it is; its files are not looked at."""
    folder, path = Path(folder), Path(folder) / FILE_NAME
    if not folder.is_dir():
        found = ("this is a file; recordings become a corpus by `neurofm ingest`"
                 if folder.is_file() else "there is no such folder")
        raise ArtifactError(f"{folder}: wanted {wanted}, but {found}")
    if path.is_symlink() and not integrity.of_hub_cache(path):
        raise ArtifactError(f"{path}: is a link; copy the folder with what its links name (cp -rL)")
    if not path.is_file():
        raise ArtifactError(f"{folder}: wanted {wanted}, but " + (
            "it is unfinished: run the command that makes it again, it continues where it stopped"
            if (folder / CLAIM).is_file() else
            f"it has no {FILE_NAME}: it is unfinished or something else; recordings become a "
            f"corpus by `neurofm ingest`"))
    return manifests.read(path)


def flush(path: str | Path) -> None:
    """Wait until the disk has a file: what points to it must not get there first."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def check_file(folder: str | Path, name: str) -> None:
    """Check one file of a folder that is sealed; of another folder nothing is checked.

    Raises
    ------
    ArtifactError
        The file is not what the manifest says, or is not in it.
    """
    if is_sealed(folder) and integrity.level() != "off":
        files = integrity.Files(folder, read_manifest(folder).listed)
        integrity.need(files.problem(name) if name in files.files else
                       f"{folder}/{name}: is not in the manifest")


def shard_files(folder: str | Path, manifest: Manifest) -> integrity.Files | None:
    """What checks the shards of an opened artifact when they are first read; None where they are
    checked already, or are not to be."""
    if integrity.level() != "lazy":
        return None
    files = integrity.Files(folder, manifest.listed)
    if integrity.looks_at_shards() and (n_bytes := files.bytes_to_hash()) >= integrity.LONG_BYTES:
        _say_once(f"{folder}: {n_bytes / 1e9:.0f} GB of it are not verified yet; each shard is "
                  f"read whole for its hash before its first window, which slows the first pass. "
                  f"`neurofm verify {folder}` does it ahead, --verify off leaves it out")
    return files


@cache
def _say_once(text: str) -> None:
    if int(os.environ.get("RANK") or 0) == 0:
        logger.warning("%s", text)


def write_json(path: str | Path, content: dict, *, checked: bool = False) -> None:
    """Write JSON so that a crash leaves either the old file or the new one, never half of it.

    checked: with a checksum, by which `read_json` tells damage where no manifest does.
    """
    path = Path(path)
    if checked:
        content = {**content, "checksum": manifests.checksum(content)}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w") as file:
        json.dump(content, file, indent=1, default=str)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_json(path: str | Path) -> dict:
    """A JSON object, without its checksum.

    Raises
    ------
    ArtifactError
        It is cut, or its checksum does not hold.
    """
    try:
        return manifests.checked(json_file.loads(Path(path).read_bytes()))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: is damaged ({str(error)[:200]}); delete the folder and make "
                            f"it again, or choose another --out") from error


def as_json(content: dict) -> dict:
    """`content` as it would be read again from JSON."""
    return json.loads(json.dumps(content, default=str))


def code_version() -> dict[str, str]:
    """Version of neurofm and, in a checkout, its commit, when this process first asked."""
    return dict(_code_version())


@cache
def _code_version() -> dict[str, str]:
    found = {"neurofm": metadata.version("neurofm")}
    root = Path(__file__).resolve().parent.parent
    if (root / ".git").exists() and shutil.which("git"):  # containers often have no git
        asked = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True, text=True, check=False,
        )
        if asked.returncode == 0:
            found["commit"] = asked.stdout.strip()
    return found
