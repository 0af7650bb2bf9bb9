"""manifest.json: what a sealed folder says of itself, believed only as far as it checks.

Reading is strict. Every key has its type, names of files are relative and stay inside the folder,
the fingerprint is the one that the files give, and `checksum` covers every other key. What does not
hold is an `ArtifactError` that names the file. Nothing of the folder is opened for it.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from . import fingerprinted, json_file

FILE_NAME = "manifest.json"
CLAIM = "unfinished.json"  # what an unfinished folder is being made from
FORMAT_VERSION = 2  # 1 had no checksum, and all files in one list
LARGEST_BYTES = 2**28  # of a manifest: a million files have half as much

_TYPES = {"kind": str, "files": dict, "config": dict, "parents": dict, "code": dict,
          "created": str, "format_version": int, "fingerprint": str, "beside": dict}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_OUTSIDE = re.compile(r"^/|^[A-Za-z]:|(^|/)\.{0,2}(/|$)|[\\\x00-\x1f\x7f]")


class ArtifactError(ValueError):
    """A folder is not the finished artifact that was wanted."""


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says of a sealed folder."""

    kind: str  # archive, corpus, pairs, tokens, state, checkpoint or results
    # relative path → [bytes, sha256]. fingerprint: 16 hex digits of their names and hashes, equal
    # wherever and whenever the same thing was made.
    files: dict[str, list]
    config: dict
    parents: dict[str, str] = field(default_factory=dict)  # role → fingerprint
    code: dict[str, str] = field(default_factory=dict)
    created: str = ""
    format_version: int = FORMAT_VERSION
    # Files that tell of the making (see `fingerprinted`), the same way; a third entry is the sha256
    # of what in them belongs to the fingerprint.
    beside: dict[str, list] = field(default_factory=dict)

    @cached_property
    def listed(self) -> dict[str, tuple[int, str]]:
        """Every file: relative path → (bytes, sha256)."""
        return {name: (entry[0], entry[1]) for name, entry in (self.files | self.beside).items()}

    @property
    def fingerprint(self) -> str:
        listing = sorted([*((name, entry[1]) for name, entry in self.files.items()),
                          *((name, entry[2]) for name, entry in self.beside.items() if entry[2:])])
        return hashlib.sha256(json.dumps([self.kind, listing]).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """As it is written, with fingerprint and checksum."""
        fields = {**asdict(self), "fingerprint": self.fingerprint}
        return {**fields, "checksum": checksum(fields)}


def checksum(fields: Mapping[str, Any]) -> str:
    """sha256 of the values of a JSON object, whatever its spaces and the order of its keys, without
    its entry `checksum`."""
    return _checksum(json.loads(json.dumps(fields, default=str)))


def _checksum(plain: dict) -> str:
    told = {key: value for key, value in plain.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def checked(fields: Any) -> dict:
    """A JSON object that carries its `checksum`, without it. Raises ValueError where it does not
    hold; one without a checksum was written by an earlier version, and is taken as it is."""
    if not isinstance(fields, dict):
        raise ValueError(f"wanted an object of JSON, found {type(fields).__name__}")
    wanted = fields.pop("checksum", None)
    if wanted is not None and wanted != _checksum(fields):
        raise ValueError("its content is not that of its checksum: it was changed or damaged")
    return fields


def read(path: Path) -> Manifest:
    """The manifest in a file.

    Raises
    ------
    ArtifactError
        It is cut, malformed, changed, or of a newer version.
    """
    try:
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise ValueError(f"{size} bytes, more than any manifest has")
        fields = json_file.loads(path.read_bytes())
        if not isinstance(fields, dict):
            raise ValueError(f"wanted an object of JSON, found {type(fields).__name__}")
        version = fields.get("format_version")
        if type(version) is int and version > FORMAT_VERSION:
            raise NewerError(f"{path}: is of format version {version}, this neurofm reads up to "
                             f"{FORMAT_VERSION}: install a newer neurofm")
        return _of(fields)
    except NewerError:
        raise
    except (ValueError, RecursionError) as error:  # cut, changed, or not ours at all
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ArtifactError(f"{path}: not a valid manifest ({reason[:300]}); copy the folder "
                            f"again, or make it again") from error


class NewerError(ArtifactError):
    """A manifest of a later format."""


def _of(fields: dict) -> Manifest:
    """Raises ValueError for the first thing that does not hold."""
    if fields.get("format_version") == 1:  # all files together
        fields.setdefault("beside", {})
    given = {*fields} - {"checksum"}
    if given != {*_TYPES}:
        odd = ", ".join(sorted(map(repr, given ^ {*_TYPES}))[:5])
        raise ValueError(f"keys that are missing or unknown: {odd}")
    for key, kind in _TYPES.items():
        if type(fields[key]) is not kind:
            raise ValueError(f"{key} must be {kind.__name__}, is {type(fields[key]).__name__}")
    if not re.fullmatch(r"[a-z_-]{1,40}", fields["kind"]):
        raise ValueError("kind must be a word")
    for key in ("parents", "code"):
        if not all(type(value) is str for value in fields[key].values()):
            raise ValueError(f"{key} must name texts")
    for name, entry in fields["files"].items():
        _check_file(name, entry)
    for name, entry in fields["beside"].items():
        if name in fields["files"]:
            raise ValueError(f"{name[:80]!r} is listed twice")
        _check_file(name, entry, parted=fingerprinted.is_parted(fields["kind"], name))
        if fields["kind"] == "checkpoint" and not fingerprinted.is_beside("checkpoint", name):
            raise ValueError(f"{name[:80]!r} belongs to the fingerprint, and is listed beside it")
    version = fields["format_version"]
    if version < 1 or (version > 1) != ("checksum" in fields):
        raise ValueError(f"format_version {version} "
                         f"{'with' if 'checksum' in fields else 'without'} a checksum")
    told = checked(fields).pop("fingerprint")
    manifest = Manifest(**fields)
    if manifest.fingerprint != told:
        raise ValueError(f"its fingerprint is {told[:40]!r}, but its files give "
                         f"{manifest.fingerprint}: it was changed")
    return manifest


def _check_file(name: str, entry: Any, parted: bool = False) -> None:
    """parted: there may be a second sha256."""
    if _OUTSIDE.search(name) or not _encodable(name):
        raise ValueError(f"file name {name[:80]!r}: wanted a relative path inside the folder")
    if (type(entry) is not list or len(entry) not in (2, 2 + parted)
            or type(entry[0]) is not int or entry[0] < 0
            or not all(type(each) is str and _DIGEST.fullmatch(each) for each in entry[1:])):
        raise ValueError(f"entry of {name[:80]!r}: wanted [bytes, sha256], got {str(entry)[:80]}")


def _encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True
