"""Sealed folders: how stages hand over to each other.

A finished corpus, token set, checkpoint or result is a folder whose `manifest.json` was written
last (temporary name, fsync, rename). It names what the folder is, the hash of every file, the
resolved configuration, the code, and the fingerprints of what it was made from. A folder without a
valid manifest is unfinished work: it can be continued, and it is never read as data.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

from . import pointers

FILE_NAME = "manifest.json"
CLAIM = "unfinished.json"  # what an unfinished folder is being made from
FORMAT_VERSION = 1


class ArtifactError(ValueError):
    """A folder is not the finished artifact that was wanted."""


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says of a sealed folder."""

    kind: str  # archive, corpus, tokens, state, checkpoint or results
    files: dict[str, list]  # relative path → [bytes, sha256]
    config: dict
    # role → fingerprint of the artifact it was made from. fingerprint: 16 hex digits of the
    # contents (names and hashes of the files), equal wherever and whenever the same thing was made.
    parents: dict[str, str] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)
    created: str = ""
    format_version: int = FORMAT_VERSION

    @property
    def fingerprint(self) -> str:
        listing = sorted((name, entry[1]) for name, entry in self.files.items())
        return hashlib.sha256(json.dumps([self.kind, listing]).encode()).hexdigest()[:16]


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

    known_hashes: sha256 of files that were hashed while they were written.
    """
    folder = Path(folder)
    for name in files:
        share(folder / name)
        flush(folder / name)
    known = known_hashes or {}
    listing = {
        name: [(folder / name).stat().st_size, known.get(name) or sha256(folder / name)]
        for name in sorted(files)
    }
    manifest = Manifest(
        kind, listing, config, parents or {}, code_version() if code else {},
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    write_json(folder / FILE_NAME, {**asdict(manifest), "fingerprint": manifest.fingerprint})
    (folder / CLAIM).unlink(missing_ok=True)
    return manifest


def share(path: Path) -> None:
    """Give a file that its writer kept to itself (safetensors: 0600) the permissions of any other
    new file, so that a group can open what one of it has made."""
    umask = os.umask(0)
    os.umask(umask)
    mode = path.stat().st_mode & 0o777
    if mode == 0o600 and mode != (usual := 0o666 & ~umask):
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
    """Raise if `folder` was begun from other things; nothing is written."""
    note, wanted = Path(folder) / CLAIM, as_json(made_from)
    found = json.loads(note.read_text()) if note.exists() else wanted
    changed = sorted(k for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k))
    if changed:
        raise ArtifactError(
            f"{folder} was begun with other settings ({', '.join(changed)}): choose another "
            f"--out, delete the folder, or repeat the settings it was begun with"
        )


def is_sealed(folder: str | Path) -> bool:
    return (Path(folder) / FILE_NAME).is_file()


def finished(folder: str | Path, kind: str, *, config: dict, parents: dict[str, str]) -> bool:
    """Whether `folder` is sealed and holds what these settings make of these parents; raises if it
    is sealed and holds anything else. Where it lies (`out`) may differ."""
    if not is_sealed(folder):
        return False
    found = open_sealed(folder, kind)
    made, wanted = ({**settings, **made_from, "out": ""} for settings, made_from in
                    ((found.config, found.parents), (config, parents)))
    wanted = as_json(wanted)
    changed = sorted(k for k in made.keys() | wanted.keys() if made.get(k) != wanted.get(k))
    if changed:
        raise ArtifactError(f"{folder} is finished, but was made with other settings "
                            f"({', '.join(changed)}): choose another --out")
    return True


def open_sealed(folder: str | Path, kind: str | None = None, *, hashes: bool = False) -> Manifest:
    """The manifest of a finished artifact, after checking that its files are there.

    hashes=True reads every file again and compares its sha256; otherwise sizes are compared.
    """
    folder = Path(folder)
    wanted = f"a finished {kind}" if kind else "a finished artifact"
    manifest = read_manifest(folder, wanted)
    if kind is not None and manifest.kind != kind:
        raise ArtifactError(f"{folder}: wanted {wanted}, but this is a {manifest.kind}")
    for name, (size, digest) in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise ArtifactError(f"{folder}: {name} is missing, although the manifest lists it")
        if file.stat().st_size != size:
            if waiting := pointers.not_fetched(file):
                raise ArtifactError(f"{folder}: {waiting}")
            raise ArtifactError(f"{file}: has {file.stat().st_size} bytes, the manifest says "
                                f"{size}: it is damaged or was not copied whole; copy it again")
        if hashes and sha256(file) != digest:
            raise ArtifactError(f"{file}: its sha256 is not the manifest's: the file was changed")
    return manifest


def read_manifest(folder: str | Path, wanted: str = "a finished artifact") -> Manifest:
    """What a folder says that it is; its files are not looked at."""
    folder, path = Path(folder), Path(folder) / FILE_NAME
    if not folder.is_dir():
        found = ("this is a file; recordings become a corpus by `neurofm ingest`"
                 if folder.is_file() else "there is no such folder")
        raise ArtifactError(f"{folder}: wanted {wanted}, but {found}")
    if not path.is_file():
        raise ArtifactError(f"{folder}: wanted {wanted}, but " + (
            "it is unfinished: run the command that makes it again, it continues where it stopped"
            if (folder / CLAIM).is_file() else
            f"it has no {FILE_NAME}: it is unfinished or something else; recordings become a "
            f"corpus by `neurofm ingest`"))
    try:
        fields = json.loads(path.read_text())
        fields.pop("fingerprint")
        version = fields["format_version"]
        if version <= FORMAT_VERSION:
            return Manifest(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # cut, or not ours at all
        raise ArtifactError(
            f"{path}: not a valid manifest ({error}); make {wanted} again"
        ) from error
    raise ArtifactError(f"{path}: format_version {version} was written by a newer neurofm; "
                        f"this one reads up to {FORMAT_VERSION}: upgrade")


def flush(path: str | Path) -> None:
    """Wait until the disk has a file: what points to it must not get there first."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: str | Path, content: dict) -> None:
    """Write JSON so that a crash leaves either the old file or the new one, never half of it."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w") as file:
        json.dump(content, file, indent=1, default=str)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


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
