"""Shards of many recordings: how few large files are made of one file a recording.

Whoever makes an artifact writes each recording as a file of its own, so that an interrupted call
loses one at most, processes need not agree on anything, and a changed recording is done again
alone. Before it is sealed, `arrange` streams these files, in order, into shards of about a given
size, and removes each file once the disk has the shard it is in. What was arranged is noted in a
folder of notes, a file a shard, so an interrupted call goes on where it stopped.

Which recordings share a shard is told by their names and sizes alone, so the bytes do not depend on
the number of processes or the order of calls; where a shard ends is told by the name of its last
recording, so one more recording changes one shard or two, and not all that follow.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from .. import artifacts, hashes
from . import shards

SHARD_MB = 256  # hashed in a fifth of a second when it is first read
SINGLE = 1000  # up to so many recordings each keeps a file of its own, unless a size is asked for
_ONE_IN = 4  # recordings after which a shard of half the size may end


@dataclass(frozen=True)
class Piece:
    """The windows of one recording."""

    recording: str
    sha256: str  # of its file, while it has one of its own
    n_bytes: int  # of that file
    n_rows: int

    def is_whole(self, folder: Path) -> bool:
        """Whether its own file is there, in full length."""
        path = folder / f"{self.recording}.arrow"
        return path.is_file() and path.stat().st_size == self.n_bytes


@dataclass(frozen=True)
class Arranged:
    """shard, first_row: of each piece. files: name of a shard's file → its sha256."""

    shard: list[str]
    first_row: list[int]
    files: dict[str, str]


class Packs:
    """The shards of many recordings that lie in a folder, by their notes.

    Parameters
    ----------
    folder
        Of the shards.
    notes
        Folder of the notes; it need not exist.
    """

    def __init__(self, folder: Path, notes: Path):
        self.folder, self.notes = folder, notes
        self.known: dict[str, dict] = {}
        self.checked: set[str] = set()  # shards that have been hashed
        for path in sorted(notes.glob("*.json")):
            try:
                note = artifacts.read_json(path)
            except artifacts.ArtifactError:
                path.unlink()  # then its recordings are made again
                continue
            file = folder / f"{path.stem}.arrow"
            if file.is_file() and file.stat().st_size == note["bytes"]:
                self.known[path.stem] = note
        self._place = {(name, digest): (shard, first, n) for shard, note in self.known.items()
                       for name, digest, first, n, _ in note["pieces"]}

    def shard(self, recording: str, digest: str | None) -> str | None:
        """The shard that holds a recording as it was last written (its sha256); None = none."""
        found = self._place.get((recording, digest or ""))
        return found[0] if found else None

    def listed(self, shard: str) -> list:
        """[bytes, sha256] of a shard, as a manifest lists it."""
        return [self.known[shard]["bytes"], self.known[shard]["sha256"]]

    def place(self, recording: str, digest: str) -> tuple[str, int]:
        """Shard and first row of a recording; that of its own file where it has one."""
        if (self.folder / f"{recording}.arrow").is_file():
            return recording, 0
        shard, first, _ = self._place.get((recording, digest), (recording, 0, 0))
        return shard, first

    def n_bytes(self, recording: str, digest: str) -> int:
        """Size of the file that a recording has, or had before it was put into a shard."""
        if (own := self.folder / f"{recording}.arrow").is_file():
            return own.stat().st_size
        return next(size for name, sha256, _, _, size in self.known[
            self._place[recording, digest][0]]["pieces"] if (name, sha256) == (recording, digest))

    def repair(self) -> None:
        """Take apart all shards that are not what was written."""
        for shard in [*self.known]:
            if hashes.sha256(self.folder / f"{shard}.arrow") != self.known[shard]["sha256"]:
                self.unpack(shard)

    def rows(self, recording: str, digest: str) -> Iterator[np.ndarray]:
        """The rows of a recording, as bytes."""
        shard, first, n = self._place[recording, digest]
        yield from shards.raw(self.folder / f"{shard}.arrow", first, n)

    def unpack(self, shard: str) -> set[str]:
        """Take a damaged shard apart: recordings in it that are what was written get files of their
        own again. Returns the names of the others."""
        lost = set()
        for name, digest, *_ in self.known[shard]["pieces"]:
            path = self.folder / f"{name}.arrow"
            if path.exists():
                continue
            try:
                if shards.write_raw(path, self.rows(name, digest),
                                    shards.described(self.folder / f"{shard}.arrow")) == digest:
                    continue
                path.unlink()
            except (OSError, ValueError, LookupError):  # cut, or no Arrow any more
                path.unlink(missing_ok=True)
            lost.add(name)
        self.drop(shard)
        return lost

    def drop(self, shard: str) -> None:
        """Forget a shard and remove its file."""
        (self.notes / f"{shard}.json").unlink(missing_ok=True)
        (self.folder / f"{shard}.arrow").unlink(missing_ok=True)
        for name, digest, *_ in self.known.pop(shard)["pieces"]:
            if self._place.get((name, digest), ("",))[0] == shard:
                del self._place[name, digest]

    def note(self, shard: str, pieces: list[Piece], digest: str) -> None:
        """A shard is finished, and the disk has it."""
        first = np.cumsum([0, *(piece.n_rows for piece in pieces)]).tolist()
        note = {"bytes": (self.folder / f"{shard}.arrow").stat().st_size, "sha256": digest,
                "pieces": [[piece.recording, piece.sha256, first[k], piece.n_rows, piece.n_bytes]
                           for k, piece in enumerate(pieces)]}
        self.notes.mkdir(parents=True, exist_ok=True)
        artifacts.write_json(self.notes / f"{shard}.json", note, checked=True)
        self.known[shard] = note


def groups(pieces: list[Piece], shard_mb: int | None) -> list[tuple[str, list[Piece]]]:
    """Which recordings share a shard.

    Parameters
    ----------
    pieces
        All recordings, in order.
    shard_mb
        Largest size of a shard of several recordings, MB; 0 = a file a recording; None = that up to
        `SINGLE` recordings, `SHARD_MB` beyond.

    Returns
    -------
    list[tuple[str, list[Piece]]]
        Name of each shard and what is in it, in order.
    """
    at_most = (SHARD_MB if len(pieces) > SINGLE else 0) if shard_mb is None else shard_mb
    if not at_most:
        return [(piece.recording, [piece]) for piece in pieces]
    found: list[list[Piece]] = [[]]
    size = 0
    for piece in pieces:
        if found[-1] and size + piece.n_bytes > at_most * 10**6:
            found.append([])
            size = 0
        found[-1].append(piece)
        size += piece.n_bytes
        if size >= at_most * 10**6 // 2 and _number(piece.recording) % _ONE_IN == 0:
            found.append([])
            size = 0
    return [(_name(some), some) for some in found if some]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:8], "big")


def _name(pieces: list[Piece]) -> str:
    """Told by what is in it: a shard of other bytes never stands where one was."""
    told = json.dumps([[piece.recording, piece.sha256] for piece in pieces])
    return f"shard-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def arrange(
    folder: Path, notes: Path, pieces: list[Piece], shard_mb: int | None,
) -> Arranged:
    """Put recordings into shards, and remove all other shards.

    Parameters
    ----------
    folder
        Of the shards; each recording is in a file of its own, or in a shard of an earlier call.
    notes
        Folder of the notes.
    pieces
        All recordings, in the order of the table.
    shard_mb
        See `groups`.

    Returns
    -------
    Arranged
        Where each recording is.

    Raises
    ------
    ArtifactError
        What is to be read is not what was written.
    """
    packs, wanted = Packs(folder, notes), groups(pieces, shard_mb)
    names, first_row, files = [], [], dict[str, str]()
    for shard, some in wanted:
        is_pack = not (len(some) == 1 and shard == some[0].recording)
        if is_pack:
            if shard not in packs.known:
                digest = shards.write_raw(folder / f"{shard}.arrow", _rows(packs, some),
                                          _described(packs, some))
                packs.note(shard, some, digest)
            files[f"{shard}.arrow"] = packs.known[shard]["sha256"]
            for piece in some:
                (folder / f"{piece.recording}.arrow").unlink(missing_ok=True)
        else:
            if not some[0].is_whole(folder):
                shards.write_raw(folder / f"{shard}.arrow", _rows(packs, some),
                                 _described(packs, some))
            files[f"{shard}.arrow"] = some[0].sha256
        names += [shard] * len(some)
        first_row += np.cumsum([0, *(piece.n_rows for piece in some[:-1])]).tolist()
    for shard in packs.known.keys() - {shard for shard, _ in wanted}:
        packs.drop(shard)
    return Arranged(names, first_row, files)


def _rows(packs: Packs, pieces: Iterable[Piece]) -> Iterator[np.ndarray]:
    """Rows of recordings one after the other; what is read is compared with its hash."""
    for piece in pieces:
        own = packs.folder / f"{piece.recording}.arrow"
        if piece.is_whole(packs.folder):
            if hashes.sha256(own) != piece.sha256:
                raise artifacts.ArtifactError(f"{own}: is not what was written: it is damaged; run "
                                              f"the command again with --verify full, it makes it "
                                              f"again")
            yield from shards.raw(own, 0, piece.n_rows)
            continue
        shard = packs.shard(piece.recording, piece.sha256)
        if shard is None:
            raise artifacts.ArtifactError(f"{own}: is missing; run the command again, it makes it "
                                          f"again")
        if shard not in packs.checked:
            if hashes.sha256(packs.folder / f"{shard}.arrow") != packs.listed(shard)[1]:
                raise artifacts.ArtifactError(f"{packs.folder / shard}.arrow: is damaged; run the "
                                              f"command again with --verify full, it makes what "
                                              f"was in it again")
            packs.checked.add(shard)
        yield from packs.rows(piece.recording, piece.sha256)


def _described(packs: Packs, pieces: list[Piece]) -> pa.Schema:
    """Column and storage of a shard, as of what goes into it."""
    first = pieces[0]
    name = (first.recording if first.is_whole(packs.folder)
            else packs.shard(first.recording, first.sha256) or first.recording)
    return shards.described(packs.folder / f"{name}.arrow")
