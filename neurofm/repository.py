"""Files of a checkpoint, in a folder or in a repository of the Hugging Face Hub.

A place is a folder, "org/name", or "org/name@revision" for a tag, branch or commit.
"""

from pathlib import Path

from . import artifacts, fingerprinted, integrity, json_file, manifest

LEDGER = "training_data.json"
HUB = "hf://"
_OF_RUNS = (LEDGER, "run.yaml", "config.json")  # files that only commands write together


def parted(path_or_repo: str | Path) -> tuple[str, str | None]:
    """(folder or repository, revision) of "org/name@revision"; a folder has none."""
    text = str(path_or_repo)
    if Path(text).exists() or "@" not in text:
        return text, None
    place, _, revision = text.rpartition("@")
    return place, revision or None


def data_folder(place: str | Path) -> Path:
    """Folder of a corpus or token set.

    Parameters
    ----------
    place
        A folder, or "hf://org/name[@revision]": of a published one the tables are downloaded into
        the cache of the Hub, and each shard when it is first read (`fetch`); `--verify full`
        downloads all of it. What is there is verified like any other.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        The Hub does not give it.
    """
    text = str(place)
    if not text.startswith(HUB):
        return Path(place)
    from huggingface_hub import snapshot_download

    name, revision = parted(text.removeprefix(HUB))
    if name.count("/") != 1:
        raise ValueError(f"{text}: wanted {HUB}org/name or {HUB}org/name@revision")
    later = [f"{room}*.arrow" for rooms in integrity.SHARDS.values() for room in rooms]
    try:
        return Path(snapshot_download(
            name, repo_type="dataset", revision=revision,
            ignore_patterns=None if integrity.level() == "full" else later))
    except (OSError, ValueError) as problem:
        raise not_given(text, problem) from problem


def fetch(folder: Path, name: str) -> None:
    """Download a shard that is not there yet; of any folder but one of `data_folder` nothing is
    done. Processes that want the same one wait for each other.

    Parameters
    ----------
    folder
        Folder of the artifact.
    name
        Path of the shard in it.

    Raises
    ------
    ArtifactError
        The Hub does not give it.
    """
    snapshot = integrity.of_snapshot(folder)
    if snapshot is None or (folder / name).exists():
        return
    from huggingface_hub import hf_hub_download

    cache, place, commit = snapshot
    try:
        hf_hub_download(place, name, repo_type="dataset", revision=commit, cache_dir=cache)
    except (OSError, ValueError) as problem:
        raise artifacts.ArtifactError(
            f"{HUB}{place}: {name} could not be downloaded: {_reason(problem)}. What is there is "
            f"kept: run the same command again to go on") from problem


def check_place(path_or_repo: str | Path) -> None:
    """A folder must hold a checkpoint; what is no folder must look like a repository id."""
    path = Path(path_or_repo)
    if artifacts.is_sealed(path):
        artifacts.open_sealed(path, "checkpoint")
    elif path.exists() and not (path / "config.json").exists():
        inside = (sorted(p.name for p in path.iterdir())[:8] or "nothing" if path.is_dir()
                  else "a file")
        raise ValueError(
            f"{path}: wanted a checkpoint folder (config.json, model.safetensors), found "
            f"{inside}; an unfinished run has only `state/`: run its command again"
        )
    elif (path / artifacts.CLAIM).is_file() or all((path / name).is_file() for name in _OF_RUNS):
        # What `save_pretrained` alone writes has no manifest, what a command makes has one.
        artifacts.read_manifest(path, "a finished checkpoint")
    # "runs/tokenizer" could be either; where there is a folder `runs`, it was meant as a path.
    elif not path.exists() and (parted(path)[0].count("/") != 1 or path.parent.is_dir()):
        raise ValueError(f"{path_or_repo}: no such folder, and not a Hub repository id (org/name)")


def not_given(path_or_repo: str | Path, problem: BaseException) -> ValueError:
    """The error for what could not be had from a folder or the Hub, and why."""
    if Path(path_or_repo).exists():
        reason = " ".join(str(problem).split())
        return ValueError(f"{path_or_repo}: could not be loaded: {reason}")
    return ValueError(f"{path_or_repo}: there is no such folder here, and as a repository the Hub "
                      f"does not give it: {_reason(problem)}")


def _reason(problem: BaseException) -> str:
    """Why the Hub does not give a repository, by the first error of its client that tells."""
    from huggingface_hub import get_token

    chain = [problem]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    for each in chain:
        kind, text = type(each).__name__, " ".join(str(each).split())
        status = getattr(getattr(each, "response", None), "status_code", None)
        if kind == "GatedRepoError":
            return ("it is gated: ask for access on its page, then log in with `hf auth login`"
                    if get_token() is None else
                    "it is gated, and your token has no access: ask for it on its page")
        if status == 401 and get_token() is not None and (
                kind != "RepositoryNotFoundError" or "expired" in text.lower()):
            return ("your token has expired" if "expired" in text.lower() else
                    "your token is not valid") + "; log in again with `hf auth login`"
        if kind == "RepositoryNotFoundError":
            return ("there is none of that name, or it is private: to those who may see it, after "
                    "`hf auth login`, it is given" if get_token() is None else
                    "there is none of that name, or it is private and your token may not read it")
        if kind == "RevisionNotFoundError":
            return "it has no such version (tag, branch or commit)"
        if kind in ("LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError"):
            return "it is not in the cache, and the Hub was not reached"
    return " ".join(str(problem).split())


def fingerprint(path_or_repo: str | Path) -> str:
    """16 hex digits of a checkpoint's weights, config and contract.

    A folder that `save_pretrained` wrote by itself has no manifest: its files are hashed. Of a
    repository the files are hashed: what its manifest says of itself is not believed.
    """
    check_place(path_or_repo)
    folder = Path(path_or_repo)
    if folder.is_dir() and not artifacts.is_sealed(folder):
        files = {file.name: [0, artifacts.sha256(file)] for file in folder.iterdir()
                 if not fingerprinted.is_beside("checkpoint", file.name)}
        return artifacts.Manifest("checkpoint", files, {}).fingerprint
    if folder.is_dir():
        return artifacts.open_sealed(folder, "checkpoint").fingerprint
    path = find(path_or_repo, artifacts.FILE_NAME)
    if path is None:
        raise ValueError(f"{path_or_repo}: the repository has no {artifacts.FILE_NAME}; it was not "
                         f"published by neurofm: save it with save_checkpoint")
    said, files = manifest.read(path), {}
    for name in said.files:
        if (file := find(path_or_repo, name)) is None:
            raise ValueError(f"{path_or_repo}: {name} is missing, although the manifest lists it: "
                             f"it is not what was published; ask who published it")
        files[name] = [0, artifacts.sha256(file)]
    for name in fingerprinted.OF_CHECKPOINT:
        if name not in files and find(path_or_repo, name) is not None:
            raise ValueError(f"{path_or_repo}: {name} is not in its manifest: it was added after "
                             f"it was published; ask who published it")
    return manifest.Manifest(said.kind, files, {}, beside=said.beside).fingerprint


def read_ledger(path_or_repo: str | Path) -> dict | None:
    """The training ledger of a checkpoint, None where it has none."""
    path = find(path_or_repo, LEDGER)
    if path is None:
        return None
    found = json_file.read(path)
    with json_file.shaped(path, "a ledger of training recordings"):
        _lists(found, "recordings", "published", "legs")
        for entry in found["recordings"]:
            _texts(entry, "recording", "role", "subject")
            entry["hours"] = float(entry.get("hours", 0))
        for terms in found.get("datasets", {}).values():
            _texts(terms, *terms)
        for entry in found.get("published", []):
            for name in ("weights", "licence", "paper", "note"):
                entry.setdefault(name, "not stated")
            _texts(entry, "weights", "licence", "paper", "note")
            _lists(entry, "datasets", "remarks")
            ", ".join([*entry["datasets"], *entry.get("remarks", ())])
        for leg in found.get("legs", []):
            for before, after in leg["changed"].values():
                f"{before}{after}"
            _texts(leg, "optimizer", "schedule")
            int(leg["first"]), int(leg["last"]), int(leg["batch_windows"])
    return found


def _lists(entry: dict, *names: str) -> None:
    if not all(isinstance(entry.get(name, []), list) for name in names):
        raise TypeError(f"{', '.join(names)} are to be lists")


def _texts(entry: dict, *names: str) -> None:
    if not isinstance(entry, dict):
        raise TypeError(f"{entry} is to be an object")
    if not all(isinstance(entry[name], str) for name in names):
        raise TypeError(f"{', '.join(names)} of {entry} are to be text")


def find(path_or_repo: str | Path, name: str, revision: str | None = None) -> Path | None:
    """A file of a checkpoint folder or Hub repository, None where it has none."""
    if Path(path_or_repo).is_dir():
        path = Path(path_or_repo) / name
        return path if path.exists() else None
    from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    place, pinned = parted(path_or_repo)
    revision = revision or pinned
    try:
        return Path(hf_hub_download(place, name, revision=revision))
    except LocalEntryNotFoundError as problem:  # not reached: that is no repository without it
        if try_to_load_from_cache(place, name, revision=revision) is _CACHED_NO_EXIST:
            return None  # known since it was reached
        listing = try_to_load_from_cache(place, artifacts.FILE_NAME, revision=revision)
        if isinstance(listing, str) and name not in {
                artifacts.FILE_NAME, *manifest.read(Path(listing)).listed}:
            return None  # fetched by `hf download`, which notes nothing of files that are not there
        raise not_given(path_or_repo, problem) from problem
    except EntryNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise not_given(path_or_repo, problem) from problem
