"""Whether the files of a sealed folder are the bytes that its manifest lists.

Opening an artifact checks all its files but shards (`SHARDS`) by hash, and of shards the size; a
shard is checked by hash when it is first read. How much is checked: `--verify` of every command, or
the variable NEUROFM_VERIFY:

    off     sizes alone
    lazy    as above (the default)
    full    every byte is read again when an artifact is opened, whatever is remembered; of results
            the scores and answers, of which the fingerprint is, are hashed again too

What was hashed is remembered (`hashes`). Of several processes of one run, the first on each machine
looks if all shards are there; each hashes (or finds remembered) the shards that it reads.

Links inside artifacts are refused, but for those that the cache of the Hub is made of.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, get_args

from . import fingerprinted, hashes, permission, pointers
from .manifest import CLAIM, FILE_NAME, ArtifactError, Manifest

Level = Literal["off", "lazy", "full"]
VARIABLE = "NEUROFM_VERIFY"
# Kind → folders of the shards, which are hashed when they are first read. Of an archive all files
# of `LARGE_BYTES` are.
SHARDS = {"corpus": ("windows/",), "tokens": ("ids/",), "pairs": ("eeg/", "bold/")}
LARGE_BYTES = 2**20
LONG_BYTES = 2 * 10**10  # half a minute and more of hashing: said before it is done
# A file that is not in the manifest is refused where a reader could take it for one of its own.
DATA = frozenset({
    ".arrow", ".bin", ".ckpt", ".h5", ".jinja", ".json", ".model", ".npy", ".npz", ".parquet",
    ".pickle", ".pkl", ".pt", ".pth", ".py", ".safetensors", ".yaml", ".yml"})
NOTES = frozenset({  # what may lie in an archive
    "", ".db", ".html", ".ini", ".jpeg", ".jpg", ".log", ".md", ".pdf", ".png", ".rst", ".svg",
    ".txt"})

_PARALLEL_BYTES = 2**26


def level() -> Level:
    """How much is checked now. Of several processes of one run, the first alone reads all.

    Raises
    ------
    ValueError
        The variable holds another word.
    """
    said = os.environ.get(VARIABLE) or "lazy"
    for each in get_args(Level):
        if said == each:
            return "lazy" if each == "full" and int(os.environ.get("RANK") or 0) else each
    raise ValueError(f"{VARIABLE}: wanted one of {', '.join(get_args(Level))}, got {said!r}")


@contextlib.contextmanager
def scope() -> Iterator[None]:
    """What is chosen inside (`choose`) ends here; what was read in full counts as read."""
    before = os.environ.get(VARIABLE)
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None) if before is None else os.environ.update({VARIABLE: before})
        hashes.forget()


def choose(wanted: Level) -> None:
    """For this process and those that it starts."""
    os.environ[VARIABLE] = wanted


def looks_at_shards() -> bool:
    """Whether this process looks, when an artifact is opened, if all its shards are there. Of the
    processes of one run on one machine the first does; a shard is hashed by whoever reads it."""
    return int(os.environ.get("LOCAL_RANK") or os.environ.get("RANK") or 0) == 0


class Files:
    """The listed files of one folder; travels to other processes."""

    def __init__(self, folder: str | Path, files: Mapping[str, Sequence]):
        self.folder, self.files = os.path.realpath(folder), files
        self.shown = folder  # as messages call it

    def bytes_to_hash(self) -> int:
        """Bytes of the large files of which no hash is remembered; 0 where all are less than
        `LONG_BYTES`."""
        large = [name for name, (size, _) in self.files.items() if size >= hashes.REMEMBERED_BYTES]
        if sum(self.files[name][0] for name in large) < LONG_BYTES:
            return 0
        return sum(self.files[name][0] for name in large
                   if not hashes.is_remembered(self.folder, name))

    def problem(self, name: str, *, hashed: bool = True, anew: bool = False) -> str:
        """What is wrong with a file, in a sentence that names it; "" = nothing.

        hashed: compare hashes, not sizes alone. anew: read it even if it is remembered.
        """
        size, digest = self.files[name]
        path, shown = f"{self.folder}/{name}", f"{self.shown}/{name}"
        try:
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                if not of_hub_cache(path):
                    return (f"{shown}: is a link, and the files of an artifact lie in its folder; "
                            f"copy the folder with what its links name (cp -rL)")
                found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return f"{shown}: is missing, although the manifest lists it"
        except OSError as error:
            return f"{shown}: cannot be read ({error.strerror or error}){permission.remedy(error)}"
        if not stat.S_ISREG(found.st_mode):
            return f"{shown}: is no regular file"
        if found.st_size != size:
            if waiting := pointers.not_fetched(path):
                return f"{self.shown}: {waiting}"
            return (f"{shown}: has {found.st_size} bytes, the manifest says {size}: it is damaged "
                    f"or was not copied whole")
        if not hashed:
            return ""
        try:
            same = hashes.of(self.folder, name, found, anew) == digest
        except OSError as error:
            return f"{shown}: cannot be read ({error.strerror or error}){permission.remedy(error)}"
        return "" if same else (f"{shown}: its sha256 is not the manifest's: the file was changed "
                                f"or is damaged")


def problems(
    folder: str | Path, manifest: Manifest, how: Level,
    advance: Callable[[int], None] = lambda n: None,
) -> Iterator[str]:
    """What is wrong with a sealed folder, a sentence a file.

    advance: told the bytes of each file that was hashed.
    """
    files = Files(folder, manifest.listed)
    yield from _linked_folders(files)
    sound, names = [], [*manifest.listed]
    if how != "full" and not looks_at_shards():
        names = [name for name in names
                 if not is_shard(manifest.kind, name, manifest.listed[name][0])]
    if how != "full" and of_snapshot(folder):  # shards are downloaded when they are first read
        names = [name for name in names if os.path.exists(os.path.join(folder, name))
                 or not is_shard(manifest.kind, name, manifest.listed[name][0])]
    for name in names:
        if problem := files.problem(name, hashed=False):
            yield problem
        else:
            sound.append(name)
    if how == "off":
        return
    hashed = [name for name in sound
              if how == "full" or not is_shard(manifest.kind, name, manifest.listed[name][0])]

    def look(name: str) -> str:
        found = files.problem(name, anew=how == "full")
        advance(manifest.listed[name][0])
        return found or (_part_problem(folder, manifest, name) if how == "full" else "")

    yield from filter(None, _each(look, hashed, sum(manifest.listed[name][0] for name in hashed)))
    if not looks_at_shards():
        return
    yield from (f"{folder}/{name}: is not in the manifest, so it was added after the folder was "
                f"finished: take it away" for name in unlisted(folder, manifest))


def _part_problem(folder: str | Path, manifest: Manifest, name: str) -> str:
    """What is wrong with the hash of what in a file belongs to the fingerprint; "" = nothing."""
    if name not in manifest.beside:
        return ""
    try:
        counts = fingerprinted.rest(manifest.kind, Path(folder) / name)
    except ValueError as problem:
        return str(problem)
    same = manifest.beside[name][2:] == ([counts] if counts else [])
    return "" if same else (f"{folder}/{name}: what in it belongs to the fingerprint is not what "
                            f"the manifest says: the manifest was changed")


def is_shard(kind: str, name: str, size: int) -> bool:
    """Whether a file is hashed when it is first read."""
    if kind == "archive":
        return size >= LARGE_BYTES
    return name.startswith(SHARDS.get(kind, ())) and name.endswith(".arrow")


def unlisted(folder: str | Path, manifest: Manifest) -> list[str]:
    """Files that are not in the manifest and lie where a reader could take them for its own: of a
    suffix in `DATA` (of an archive: of any but `NOTES`), beside files that are listed. Notes,
    pages, pictures, logs, locks and what systems leave (.DS_Store, .nfs…) may lie there, as may
    hidden folders (.cache of the Hub). Hidden files are never read or published; of a suffix in
    `DATA` they are refused all the same, but for what macOS keeps beside each (._config.json)."""
    found = []
    for inside in sorted({os.path.dirname(name) for name in manifest.listed} | {""}):
        if inside and f"{inside}/{FILE_NAME}" in manifest.listed:
            continue  # an artifact of its own, which says itself what is in it
        with contextlib.suppress(FileNotFoundError), os.scandir(os.path.join(folder, inside)) as it:
            for each in it:
                name = f"{inside}/{each.name}" if inside else each.name
                if name in manifest.listed or each.name.startswith("._") or name in (
                        FILE_NAME, CLAIM) or each.is_dir(follow_symlinks=False):
                    continue
                suffix = os.path.splitext(each.name)[1].lower()
                if fnmatch(each.name, "cache-*.arrow"):  # of `datasets.Dataset.map`
                    continue
                noted = manifest.kind == "archive" and not each.name.startswith(".")
                if suffix not in NOTES if noted else suffix in DATA:
                    found.append(name)
    return sorted(found)


def _each(look: Callable[[str], str], names: list[str], n_bytes: int) -> Iterable[str]:
    if n_bytes < _PARALLEL_BYTES or len(names) < 2:
        return map(look, names)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # hashing frees the interpreter
        return list(pool.map(look, names))


def _linked_folders(files: Files) -> Iterator[str]:
    inside = {os.path.dirname(name) for name in files.files} - {""}
    for each in sorted(inside | {above for name in inside for above in _above(name)}):
        if os.path.islink(f"{files.folder}/{each}"):
            yield (f"{files.shown}/{each}: is a link, and the files of an artifact lie in its "
                   f"folder; copy the folder with what its links name (cp -rL)")


def _above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:k]) for k in range(1, len(parts))]


def of_hub_cache(path: str | Path) -> bool:
    """snapshots/REVISION/NAME → ../../blobs/HASH: what huggingface_hub's cache is made of."""
    snapshots, mark, _ = os.path.abspath(path).rpartition(f"{os.sep}snapshots{os.sep}")
    blobs = os.path.join(snapshots, "blobs")
    return (bool(mark) and not os.path.islink(blobs)
            and os.path.dirname(os.path.realpath(path)) == os.path.realpath(blobs))


def of_snapshot(folder: str | Path) -> tuple[str, str, str] | None:
    """(cache, data set, commit) of CACHE/datasets--ORG--NAME/snapshots/COMMIT, where the cache of
    the Hub keeps a published data set; None of any other folder."""
    snapshots, commit = os.path.split(os.path.abspath(folder))
    above, name = os.path.split(snapshots)
    cache, place = os.path.split(above)
    kind, *words = place.split("--")
    if name != "snapshots" or kind != "datasets" or len(words) != 2:
        return None
    return cache, "/".join(words), commit


def need(problem: str) -> None:
    """Raise where there is a problem."""
    if permission.UNREADABLE in problem:
        raise ArtifactError(problem)
    if problem:
        raise ArtifactError(f"{problem}. Nothing was read of it: copy it again, or make it again "
                            f"(`neurofm verify FOLDER` lists all that is damaged)")
