"""What competes: each method fitted or trained, once a seed."""

import functools
from pathlib import Path

from neurofm import checkpoints
from neurofm.checkpoints.contracts import contract_of
from neurofm.checkpoints.scan_model import open_scan_model
from neurofm.data.pairs import Pairs
from neurofm.models.protocol import ScanModel
from neurofm.tokenizers.brain_tokenizer import BrainTokenizer
from neurofm.training.loop import TrainConfig

from ...protocol.scans import Roles
from . import linear, trained

METHODS = ("ours", *linear.KINDS, "cnn")
ON_DEMAND = ("ours_one_by_one",)
Fitted = linear.Linear | trained.Network | trained.OneByOne  # predict(part, scan) → [volume, roi]


def fitted(
    methods: list[str], roles: Roles, names: list[str], seeds: int, folder: Path, say, *,
    model: ScanModel | None, tokenizer: BrainTokenizer | None, architecture: dict,
    parents: dict[str, str], train_cnn: TrainConfig,
) -> dict[str, list[Fitted]]:
    """Each method; of what starts at random one of each seed. Linear ones first, since they take no
    time.

    names: of the channels that methods read which know them by name. folder: of the networks.
    model: judged as ours instead of one that is trained here. parents: fingerprints of what
    networks are made from.
    """
    features = linear.Features(roles.test.data.pairs, names)
    found: dict[str, list[Fitted]] = {}
    for name in methods:
        if name in linear.KINDS:
            say(f"{name}: fitting")
            found[name] = [linear.fit(name, roles, features)]
    for name in [name for name in methods if name not in found]:
        if name == "ours" and model is not None:
            found[name] = [trained.Network(model, trained.as_they_are)]
            continue
        if name == "ours":
            found[name] = [trained.ours(roles, architecture, tokenizer, parents, folder / name,
                                        functools.partial(_told, say, name))]
            continue
        if name == "ours_one_by_one":
            found[name] = [trained.one_by_one(roles, architecture,
                                              functools.partial(_told, say, name))]
            continue
        found[name] = []
        for number in range(seeds):
            place = folder / (f"{name}_{number}" if number else name)
            tell = functools.partial(_told, say, place.name)
            found[name].append(
                trained.cnn(roles, names, trained.of_seed(train_cnn, number), place, tell))
    return {name: found[name] for name in methods}


def _told(say, name: str, text) -> None:
    say(f"{name}: {text}")


def open_model(path: str, pairs: Pairs) -> ScanModel:
    """A trained model that fits these pairs; ValueError where it does not."""
    model = open_scan_model(path)
    if different := contract_of(model).differences(pairs.contract):
        raise ValueError(f"{path} takes other EEG than {pairs.folder} holds "
                         f"({'; '.join(different)}): pair with the contract of the model")
    ours, theirs = model.rois, pairs.rois.names
    if tuple(ours) != tuple(theirs):
        raise ValueError(f"{path} predicts the {len(ours)} regions {', '.join(ours[:4])}, …; "
                         f"{pairs.folder} holds {len(theirs)}: {', '.join(theirs[:4])}, …; train "
                         f"one on these pairs (leave --model out)")
    return model


def open_tokenizer(path: str, pairs: Pairs) -> BrainTokenizer:
    """A tokenizer that reads such EEG; ValueError where it does not."""
    tokenizer = checkpoints.load_kind(path, BrainTokenizer, "a BrainTokenizer")
    if different := contract_of(tokenizer).differences(pairs.contract):
        raise ValueError(f"{path} takes other EEG than {pairs.folder} holds "
                         f"({'; '.join(different)}): pair with the contract of the tokenizer")
    return tokenizer
