"""What published weights lie in: a folder or a repository with a configuration and a state dict.

Nothing here runs what others wrote: state dicts are read with `weights_only=True`, or from
safetensors.
"""

import argparse
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

CONFIGS = ("model_cfg.json", "config.json")


def locate(
    source: str | Path, variants: tuple[str, ...], variant: str | None, revision: str | None,
    bare: bool = False,
) -> tuple[Path | None, Path]:
    """(configuration, weights) of one published model.

    source: folder, or repository on the Hugging Face Hub. variants: folders that such a repository
    has; variant: which of them, None where the folder itself holds one. revision: of the
    repository. bare: there may be no configuration.

    Raises:
        ValueError: no such folder, repository or file; says what is there instead.
    """
    folder = Path(source)
    if not folder.is_dir():
        folder = _fetched(str(source), variants, variant, revision)
    if variant is not None:
        folder = folder / variant
        if not folder.is_dir():
            inside = sorted(path.name for path in folder.parent.iterdir())
            raise ValueError(f"{source}: no folder {variant!r} in it, found {inside}")
    config = next((folder / name for name in CONFIGS if (folder / name).exists()), None)
    if config is None and not bare:
        hint = (f"for a folder of several models give variant = one of {list(variants)}"
                if variants else "put it beside the weights: it says the shape of the model")
        raise ValueError(f"{folder}: neither model_cfg.json nor config.json; {hint}")
    weights = folder / "weights.safetensors"
    if weights.exists():
        return config, weights
    found = sorted([*folder.glob("*.pt"), *folder.glob("*.pth")])
    if len(found) != 1:
        raise ValueError(f"{folder}: wanted weights.safetensors or exactly one .pt or .pth file, "
                         f"got {[file.name for file in found]}; give a folder of the one you want")
    return config, found[0]


def _fetched(
    repo: str, variants: tuple[str, ...], variant: str | None, revision: str | None
) -> Path:
    """The local copy of a repository's folder `variant`."""
    if repo.count("/") != 1 or repo.startswith((".", "/", "~")):
        raise ValueError(f"{repo}: no such folder, and no repository id of the form owner/name")
    if not variants:
        raise ValueError(f"{repo}: no such folder, and weights of this family are not on the Hub: "
                         f"bring them here from where the authors put them, and name their folder")
    if variant not in variants:
        raise ValueError(f"{repo}: no such folder; as a repository it holds several models: "
                         f"variant must be one of {list(variants)}, got {variant!r}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=[f"{variant}/*"]))
    except (OSError, ValueError) as problem:
        reason = " ".join(str(problem).split()).rstrip(".")
        raise ValueError(
            f"{repo}: there is no such folder here, and as a repository the Hub does not give it: "
            f"{reason}. Where the Hub cannot be reached, bring its folder {variant!r} here and "
            f"name that folder"
        ) from problem


def read_config(file: Path) -> dict:
    """The arguments in a published configuration."""
    try:
        found = json.loads(file.read_text())
    except ValueError as problem:
        raise ValueError(f"{file}: not valid JSON ({problem}); fetch it again") from problem
    if not isinstance(found, dict):
        raise ValueError(f"{file}: wanted names and values, found a {type(found).__name__}")
    return found


@contextmanager
def describing(file: Path) -> Iterator[None]:
    """While a network is made by the configuration in `file`: errors say that it is the file's."""
    try:
        yield
    except (TypeError, ValueError) as problem:
        raise ValueError(f"{file}: describes no network of this family: {problem}") from problem


def read_weights(file: Path) -> dict[str, Tensor]:
    """Tensors by name, of weights.safetensors or of a state dict."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        # Training checkpoints hold their command line beside the weights: names and values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            weights = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, SafetensorError) as problem:
        raise ValueError(
            f"{file}: wanted tensors by name and nothing else; it is cut, or would have to run "
            f"code to be read, which is never done ({_first_line(problem)}); fetch it again, or "
            f"ask for its state dict as safetensors"
        ) from problem
    if isinstance(weights, dict):  # a training checkpoint has the optimizer and more beside it
        inside = [name for name in ("module", "model", "state_dict")
                  if isinstance(weights.get(name), dict)]
        weights = weights[inside[0]] if len(inside) == 1 else weights
    if not isinstance(weights, dict) or not all(map(torch.is_tensor, weights.values())):
        raise ValueError(f"{file}: wanted a state dict (tensors by name), found something else; "
                         f"save model.state_dict() alone")
    return weights


def _first_line(problem: Exception) -> str:
    return str(problem).strip().partition("\n")[0]
