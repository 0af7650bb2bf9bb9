"""A decoder on a pretrained model, before it is trained."""

import numpy as np
import torch

from neurofm import checkpoints
from neurofm.checkpoints.contracts import contract_of
from neurofm.models.decoder import Decoder, DecoderConfig
from neurofm.models.protocol import Backbone, WindowDecoder

from . import lacking
from .labeled import Labeled


def open_backbone(path: str) -> Backbone:
    """The pretrained model in a checkpoint, on the CPU."""
    model = checkpoints.load(path)
    if isinstance(model, WindowDecoder):
        return inside(model, path)
    if not isinstance(model, Backbone):
        raise ValueError(f"{path}: wanted a pretrained model with features, such as a BrainOmni, "
                         f"this is a {type(model).__name__}; first `neurofm tokenize` and `neurofm "
                         f"pretrain --model brainomni` with it")
    return model


def inside(decoder: WindowDecoder, path: str) -> Backbone:
    """The pretrained model in a decoder, with the decoder's contract."""
    if decoder.pretrained is None:
        raise ValueError(f"{path}: wanted a pretrained model with features; this "
                         f"{type(decoder).__name__} holds none. Give the pretrained model itself")
    decoder.pretrained.contract = decoder.contract
    return decoder.pretrained


def build(
    pretrained: Backbone, data: Labeled, mode: str, architecture: dict, seed: int, *,
    random_weights: bool = False,
) -> Decoder:
    """A decoder whose head (with random_weights: everything) is drawn from `seed`."""
    torch.manual_seed(seed)
    settings = DecoderConfig(backbone=pretrained.config, classes=data.classes, mode=mode,
                             **architecture)
    decoder = Decoder(settings, None if random_weights else pretrained)
    decoder.contract = data.contract_on(contract_of(pretrained))
    trained = lacking.band_of(data.corpus, data.recordings("train"))
    decoder.config.band_end_hz, decoder.config.lowest_end_hz = trained
    if random_weights:
        windows, at_most = data.windows["train"], 64
        drawn = np.random.default_rng(seed).choice(windows, min(at_most, len(windows)),
                                                   replace=False)
        decoder.backbone.start(data.corpus.batch(drawn[i : i + 16],
                                                 geometry=decoder.contract.geometry)
                               for i in range(0, len(drawn), 16))
    return decoder.eval()
