"""Checkpoints: saving one with all that is known of it, and loading one by path or repo id.

    checkpoint/
      config.json  model.safetensors     transformers' own files
      preprocessor_config.json           the InputContract of the signals it takes
      training_data.json                 the ledger: whom it was trained and validated on
      robustness.json                    of a decoder: its scores on worse recordings
      run.yaml                           the resolved configuration of the run
      history.json                       of a pretraining: its legs, and steps that were skipped
      report.html                        curves, people, settings on one page
      README.md                          the card
      manifest.json                      written last
"""

from pathlib import Path
from typing import Any

from .. import artifacts, fingerprinted, json_file, pointers
from .. import manifest as manifests
from ..repository import LEDGER, check_place, find, not_given, parted
from .card import card
from .robustness import Robustness


def load(path_or_repo: str | Path, revision: str | None = None):
    """Load a tokenizer, model or decoder from a folder or a Hub repository.

    Files in the cache of the Hub are used without network (HF_HUB_OFFLINE=1).

    Parameters
    ----------
    path_or_repo
        Folder, or repository on the Hub: "org/name" or "org/name@revision".
    revision
        Tag, branch or commit of the repository.

    Returns
    -------
    PreTrainedModel
        In evaluation mode, with its `contract`.

    Raises
    ------
    ValueError
        A weight is missing, unexpected or of another shape, a file is not what the manifest
        of the repository says, or its configuration asks for code to be run.
    """
    from transformers import AutoModel  # not above: it takes seconds to import

    from ..models import register_auto_classes

    kinds = register_auto_classes()
    check_place(path_or_repo)
    place, pinned = parted(path_or_repo)
    revision = revision or pinned
    if not Path(place).is_dir():
        _check_download(place, revision)
    else:
        _check_weights(Path(place))
    try:
        _refuse_others(place, revision, kinds)
        return AutoModel.from_pretrained(place, revision=revision, trust_remote_code=False).eval()
    except OSError as problem:
        raise not_given(path_or_repo, problem) from problem
    except ValueError as problem:  # of a config: it does not know in which file it stands
        if str(place) in str(problem):
            raise
        raise ValueError(f"{path_or_repo}: {problem}") from problem
    except (RuntimeError, TypeError, ArithmeticError, LookupError, MemoryError) as problem:
        raise ValueError(f"{path_or_repo}: its config.json and weights make no model: "
                         f"{problem or 'memory ran out'}") from problem


def _refuse_others(place: str, revision: str | None, kinds: dict[str, Any]) -> None:
    """Raise ValueError for what transformers would run or fetch besides: models of other packages,
    code that config.json names, adapters, which name a base model and may be pickles; and for a
    model that is much larger than its weights, for which it would draw random ones."""
    import torch
    from transformers import AutoConfig

    if (file := find(place, "config.json", revision)) is None:
        return  # transformers says so
    fields = json_file.read(file)
    if "auto_map" in fields:
        raise ValueError(f"{place}: its config.json names Python code to be run (auto_map), which "
                         f"neurofm never does; ask its authors for a checkpoint without code")
    kind = fields.get("model_type")
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"{place}: wanted a checkpoint of neurofm, its config.json says "
                         f"model_type {kind!r}; weights that others published are made one by "
                         f"`neurofm import`")
    if find(place, "adapter_config.json", revision) is not None:
        raise ValueError(f"{place}: holds an adapter (adapter_config.json), which is not loaded: "
                         f"merge it into the weights and save them without it")
    if (weights := find(place, "model.safetensors", revision)) is not None:
        config = AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=False)
        with torch.device("meta"):
            wanted = sum(each.nbytes for each in kinds[kind](config).state_dict().values())
        if wanted > 2 * (held := weights.stat().st_size) + 2**20:
            raise ValueError(f"{place}: its config.json describes a model of {wanted / 1e6:.0f} "
                             f"MB, its weights have {held / 1e6:.0f} MB: they are not of one "
                             f"checkpoint; copy or download it again")


def _check_weights(folder: Path) -> None:
    """Raises ValueError for weights that were not fetched, or not wholly."""
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.glob("model*.safetensors")):
        if waiting := pointers.not_fetched(file):
            raise ValueError(f"{folder}: {waiting}")
        try:
            with safe_open(file, "pt"):
                pass
        except SafetensorError as error:
            raise ValueError(f"{file}: is damaged or was not copied whole ({error}); copy or "
                             f"download it again") from error


def load_kind(path: str | Path, kind: Any, wanted: str, hint: str = "") -> Any:
    """`load`, where only models of a kind (class or union of classes) will do; of others a
    ValueError says what was `wanted`, what this is, and what to do (`hint`)."""
    model = load(path)
    if not isinstance(model, kind):
        raise ValueError(f"{path}: wanted {wanted}, this is a {type(model).__name__}{hint}")
    return model


def _check_download(repo: str, revision: str | None) -> None:
    """Raise ValueError where files of a repository are not those that were published, or were
    published in a form that this version does not know. A repository without a manifest was
    published otherwise, and has nothing to be compared with."""
    path = find(repo, artifacts.FILE_NAME, revision)
    if path is None:
        return
    try:
        manifest = manifests.read(path)
    except artifacts.ArtifactError as problem:
        raise ValueError(f"{repo}: {problem}") from problem
    for name in fingerprinted.OF_CHECKPOINT:
        if name not in manifest.listed and find(repo, name, revision) is not None:
            raise ValueError(f"{repo}: {name} is not in its manifest: it was added after it was "
                             f"published; ask who published it")
    for name, (_, digest) in manifest.listed.items():
        if name.endswith((".safetensors", ".json")) and name != "golden.safetensors":
            file = find(repo, name, revision)
            if file is None or artifacts.sha256(file) != digest:
                raise ValueError(
                    f"{repo}: {name} {'is missing' if file is None else 'is damaged'}: it is not "
                    f"what was published; " + ("ask who published it" if file is None else
                    f"delete {file.resolve()} and load it again"))


def save_checkpoint(
    model, folder: str | Path, *, config: dict, parents: dict[str, str], ledger: dict,
    metrics: dict[str, float],
) -> artifacts.Manifest:
    """Write a checkpoint (`write_checkpoint`) and seal its folder."""
    files = write_checkpoint(model, folder, config=config, ledger=ledger, metrics=metrics)
    return artifacts.seal(folder, "checkpoint", config=config, parents=parents, files=files)


def write_checkpoint(
    model, folder: str | Path, *, config: dict, ledger: dict, metrics: dict[str, float],
) -> list[str]:
    """Write a model with its contract, ledger, configuration and card; returns the names of the
    files, not sealed yet."""
    import yaml

    folder = Path(folder)
    if model.contract is None:
        raise ValueError(f"{folder}: a checkpoint is not saved without its InputContract; "
                         f"set model.contract to that of the data it was trained on")
    model.save_pretrained(folder)
    artifacts.write_json(folder / LEDGER, ledger)
    (folder / "run.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "README.md").write_text(
        card(model, ledger, metrics, worse=Robustness.read(folder)))
    return sorted(path.name for path in folder.iterdir()
                  if path.suffix in (".json", ".safetensors", ".md", ".yaml", ".jsonl")
                  and path.name not in (artifacts.FILE_NAME, artifacts.CLAIM)
                  and not path.name.startswith("."))
