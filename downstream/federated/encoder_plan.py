"""A pretrained encoder at a site: it reads any montage, so that its features, and with them the
classifier, mean the same everywhere.

    adapt   what sites have in common
    head    the classifier, on features of the encoder as it came
    lora    the classifier, and low-rank changes of the transformer
    full    the classifier, and the transformer

The decoder is that of `neurofm finetune` (`models.decoder`). Mean, deviation and frequencies by
which the head sees features are the site's own, and with `recentered` each person's mean.
"""

import functools

import numpy as np
import torch

from neurofm import checkpoints
from neurofm.checkpoints.contracts import check_contract, contract_of
from neurofm.models.decoder import Decoder, DecoderConfig
from neurofm.models.protocol import Backbone

from ..decoder import adapters, features
from ..decoder.build import open_backbone
from ..decoder.labeled import Labeled
from ..scoring.predictions import predict as predicted
from .learning import Learning
from .plan import Plan
from .site import Site

STAYS = "means and deviations of features, "  # at the site, beside recordings
_MODE = {"head": "frozen", "lora": "lora", "full": "full"}  # `adapt` → mode of the decoder


def in_words(learning: Learning) -> str:
    """The model, for a page."""
    return f"{learning.model}, {learning.adapt}"


def recenters(learning: Learning) -> bool:
    """Whether each person's mean is taken away."""
    return bool(learning.architecture.get("recentered"))


def build(site: Site, learning: Learning, data: Labeled) -> Plan:
    """Raises ValueError where the site's encoder is another one than the server's."""
    if site.channels:
        raise ValueError(f"{site.name}: channels are of a FLEEG; an encoder reads whatever there "
                         f"is: leave them out")
    path = site.model or learning.model
    found = checkpoints.fingerprint(path)
    if learning.fingerprint not in ("", found):
        raise ValueError(f"{path}: this site's encoder ({found}) is not the server's "
                         f"({learning.fingerprint}): fetch that one")
    pretrained = _opened(path, found) if learning.adapt == "head" else open_backbone(path)
    check_contract(pretrained, path, data.corpus)
    decoder = _decoder(learning, pretrained, data.classes)
    decoder.contract = data.contract_on(contract_of(pretrained))
    source, pooled = _prepared(site.corpus, path, found, data, decoder)
    ledger, training = checkpoints.read_ledger(path), data.windows["train"]
    seen = pooled
    if decoder.config.recentered:
        decoder.head.centre.copy_(features.center_of_all(pooled, training))
        seen = features.recentered(pooled, [part for part in data.windows.values() if len(part)])
    rows = torch.from_numpy(seen.rows(training))
    decoder.head.fit(seen.values[rows], seen.target[rows])
    shared = _shared(decoder, learning)
    if learning.adapt == "head":
        return Plan(decoder.head, seen, data, shared,
                    lambda wanted: predicted(decoder, pooled, wanted, decoder.device),
                    lambda: decoder, ledger=ledger)

    def predict(wanted: np.ndarray) -> np.ndarray:
        decoder.eval()
        parts = [decoder.predict(source.batch(part).to(decoder.device)).double().cpu().numpy()
                 for part in np.array_split(wanted, -(-len(wanted) // 32))]
        return np.concatenate(parts)

    def whole() -> Decoder:
        if learning.adapt == "lora":
            adapters.merge(decoder)
        return decoder

    return Plan(decoder, source, data, shared, predict, whole, ledger=ledger)


@functools.lru_cache(maxsize=2)
def _opened(path: str, fingerprint: str) -> Backbone:
    """An encoder that stays as it came, opened once and not for every message."""
    return open_backbone(path)


def initial(learning: Learning) -> dict[str, np.ndarray]:
    """As they are drawn: a classifier that knows nothing, adapters that change nothing; or the
    transformer as it came."""
    if not learning.classes:
        raise ValueError("classes: wanted the names of the classes, e.g. --learning.classes "
                         "'[left, right]'")
    decoder = _decoder(learning, open_backbone(learning.model), learning.classes)
    shared = _shared(decoder, learning)
    own = (decoder.head if learning.adapt == "head" else decoder).state_dict()
    return {name: own[name].float().numpy().copy() for name in shared}


def _decoder(learning: Learning, pretrained, classes) -> Decoder:
    config = DecoderConfig(backbone=pretrained.config, classes=classes,
                           mode=_MODE[learning.adapt], **learning.architecture)
    if config.recentered and learning.adapt != "head":
        raise ValueError("architecture.recentered: a decoder that trains along sees no mean over a "
                         "person; leave it out, or say learning.adapt: head")
    with torch.random.fork_rng():
        torch.manual_seed(learning.train.seed)
        return Decoder(config, pretrained).eval()


def _shared(decoder: Decoder, learning: Learning) -> tuple[str, ...]:
    """Put adapters in where they are asked for, drawn from the server's seed; returns the names of
    all that trains."""
    if learning.adapt == "lora":
        with torch.random.fork_rng():
            torch.manual_seed(learning.train.seed)
            adapters.attach(decoder)
    trained = decoder.head if learning.adapt == "head" else decoder
    return tuple(name for name, parameter in trained.named_parameters() if parameter.requires_grad)


_KEPT: dict = {}  # tokens and features of the sites seen last: they never change


def _prepared(corpus: str, path: str, fingerprint: str, data: Labeled, decoder: Decoder):
    key = (corpus, path, fingerprint, data.all.tobytes(), decoder.config.pool)
    if key not in _KEPT:
        while len(_KEPT) >= 8:
            del _KEPT[next(iter(_KEPT))]
        source = features.prepared(decoder, data.corpus, data.all, data.target, batch_windows=16,
                                   device=decoder.device)
        _KEPT[key] = source, features.pooled(decoder, source, device=decoder.device)
    return _KEPT[key]
