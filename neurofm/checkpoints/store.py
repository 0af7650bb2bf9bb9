"""Checkpoints: saving one with all that is known of it, and loading one by path or repo id.

    checkpoint/
      config.json  model.safetensors     transformers' own files
      preprocessor_config.json           the InputContract of the signals it takes
      training_data.json                 the ledger: whom it was trained and validated on
      run.yaml                           the resolved configuration of the run
      README.md                          the card
      manifest.json                      written last
"""

import json
from pathlib import Path

from .. import artifacts
from .card import card
from .ledger import LEDGER


def load(path_or_repo: str | Path, revision: str | None = None):
    """Load a tokenizer, model or decoder from a folder or a Hub repository ("org/name", or
    "org/name@revision" for a tag, branch or commit).

    Returns the model in evaluation mode, its `contract` attached. Strict: a missing, unexpected or
    mis-shaped weight is an error, and so are files of a repository that are not what its manifest
    says. What is in the Hub's cache is used without network (HF_HUB_OFFLINE=1).
    """
    from transformers import AutoModel

    from ..models import register_auto_classes

    register_auto_classes()
    _check_place(path_or_repo)
    place, pinned = parted(path_or_repo)
    revision = revision or pinned
    if not Path(place).is_dir():
        _check_download(place, revision)
    try:
        return AutoModel.from_pretrained(place, revision=revision).eval()
    except OSError as problem:
        raise _not_given(path_or_repo, problem) from problem


def parted(path_or_repo: str | Path) -> tuple[str, str | None]:
    """(folder or repository, revision) of "org/name@revision"; a folder has none."""
    text = str(path_or_repo)
    if Path(text).exists() or "@" not in text:
        return text, None
    place, _, revision = text.rpartition("@")
    return place, revision or None


def _check_download(repo: str, revision: str | None) -> None:
    """Raise ValueError where files of a repository are not those that were published, or were
    published in a form that this version does not know. A repository without a manifest was
    published otherwise, and has nothing to be compared with."""
    path = find(repo, artifacts.FILE_NAME, revision)
    if path is None:
        return
    manifest = json.loads(path.read_text())
    version = manifest.get("format_version")
    if version != artifacts.FORMAT_VERSION:
        raise ValueError(f"{repo}: is of format version {version}, this neurofm reads version "
                         f"{artifacts.FORMAT_VERSION}: " + (
                             "install a newer neurofm" if isinstance(version, int)
                             and version > artifacts.FORMAT_VERSION else "publish it again"))
    for name, (_, digest) in manifest["files"].items():
        if name.endswith((".safetensors", ".json")) and name != "golden.safetensors":
            file = find(repo, name, revision)
            if file is None or artifacts.sha256(file) != digest:
                raise ValueError(
                    f"{repo}: {name} {'is missing' if file is None else 'is damaged'}: it is not "
                    f"what was published; " + ("ask who published it" if file is None else
                    f"delete {file.resolve()} and load it again"))


def _check_place(path_or_repo: str | Path) -> None:
    """A folder must hold a checkpoint; what is no folder must look like a repository id."""
    path = Path(path_or_repo)
    if artifacts.is_sealed(path):
        artifacts.open_sealed(path, "checkpoint")
    elif path.exists() and not (path / "config.json").exists():
        inside = sorted(p.name for p in path.iterdir()) if path.is_dir() else "a file"
        raise ValueError(
            f"{path}: wanted a checkpoint folder (config.json, model.safetensors), found "
            f"{inside}; an unfinished run has only `state/`: run its command again"
        )
    # "runs/tokenizer" could be either; where there is a folder `runs`, it was meant as a path.
    elif not path.exists() and (parted(path)[0].count("/") != 1 or path.parent.is_dir()):
        raise ValueError(f"{path_or_repo}: no such folder, and not a Hub repository id (org/name)")


def _not_given(path_or_repo: str | Path, problem: OSError) -> ValueError:
    reason = " ".join(str(problem).split())
    if Path(path_or_repo).exists():
        return ValueError(f"{path_or_repo}: could not be loaded: {reason}")
    return ValueError(f"{path_or_repo}: there is no such folder here, and as a repository the Hub "
                      f"does not give it: {reason}")


def fingerprint(path_or_repo: str | Path) -> str:
    """16 hex digits of a checkpoint's weights, config and contract.

    A folder that `save_pretrained` wrote by itself has no manifest: its weights are hashed.
    """
    _check_place(path_or_repo)
    folder = Path(path_or_repo)
    if folder.is_dir() and not artifacts.is_sealed(folder):
        files = {file.name: [0, artifacts.sha256(file)] for file in
                 (*folder.glob("*.safetensors"), folder / "config.json") if file.exists()}
        return artifacts.Manifest("checkpoint", files, {}).fingerprint
    if folder.is_dir():
        return artifacts.open_sealed(folder, "checkpoint").fingerprint
    path = find(path_or_repo, artifacts.FILE_NAME)
    if path is None:
        raise ValueError(f"{path_or_repo}: the repository has no {artifacts.FILE_NAME}; it was not "
                         f"published by neurofm: save it again with neurofm.hub.save_checkpoint")
    return json.loads(path.read_text())["fingerprint"]


def read_ledger(path_or_repo: str | Path) -> dict | None:
    """The training ledger of a checkpoint, None where it has none."""
    path = find(path_or_repo, LEDGER)
    return None if path is None else json.loads(path.read_text())


def find(path_or_repo: str | Path, name: str, revision: str | None = None) -> Path | None:
    """A file of a checkpoint folder or Hub repository, None where it has none."""
    if Path(path_or_repo).is_dir():
        path = Path(path_or_repo) / name
        return path if path.exists() else None
    from transformers.utils import cached_file

    try:  # a Hub that cannot be reached is not a repository without the file
        place, pinned = parted(path_or_repo)
        found = cached_file(place, name, revision=revision or pinned,
                            _raise_exceptions_for_missing_entries=False)
    except OSError as problem:
        raise _not_given(path_or_repo, problem) from problem
    return None if found is None else Path(found)


def save_checkpoint(
    model, folder: str | Path, *, config: dict, parents: dict[str, str], ledger: dict,
    metrics: dict[str, float],
) -> artifacts.Manifest:
    """Write a model with its contract, ledger, configuration and card, and seal the folder."""
    import yaml

    folder = Path(folder)
    if model.contract is None:
        raise ValueError(f"{folder}: a checkpoint is not saved without its InputContract; "
                         f"set model.contract to that of the data it was trained on")
    model.save_pretrained(folder)
    artifacts.write_json(folder / LEDGER, ledger)
    (folder / "run.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "README.md").write_text(card(model, ledger, metrics))
    files = sorted(path.name for path in folder.iterdir()
                   if path.suffix in (".json", ".safetensors", ".md", ".yaml", ".jsonl")
                   and path.name not in (artifacts.FILE_NAME, artifacts.CLAIM)
                   and not path.name.startswith("."))
    return artifacts.seal(folder, "checkpoint", config=config, parents=parents, files=files)
