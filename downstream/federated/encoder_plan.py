"""A pretrained encoder at a site: any montage; adapters (or all weights) are shared, heads are not.

The same decoder as `neurofm finetune` makes (`models.decoder`): each site first solves the head on
its own training people, then the transformer's low-rank changes, which all sites have in common,
train with it.
"""

import numpy as np
import torch

from neurofm import hub
from neurofm.models.decoder import Decoder, DecoderConfig

from .. import adapters, features
from ..finetune import head_training, open_backbone
from ..labelled import Labelled
from ..linear_head import solve
from .learning import Learning
from .plan import Plan
from .site import Site


def build(site: Site, learning: Learning, data: Labelled) -> Plan:
    """Raises ValueError where the site's encoder is another one than the server's."""
    if site.channels:
        raise ValueError(f"{site.name}: channels are of a FLEEG; an encoder reads whatever there "
                         f"is: leave them out")
    path = site.model or learning.model
    found = hub.fingerprint(path)
    if learning.fingerprint not in ("", found):
        raise ValueError(f"{path}: this site's encoder ({found}) is not the server's "
                         f"({learning.fingerprint}): fetch that one")
    pretrained = open_backbone(path)
    features.check_contract(pretrained, path, data.corpus)
    decoder = _decoder(learning, pretrained, data.classes)
    decoder.contract = data.corpus.contract
    source, pooled = _prepared(site.corpus, path, found, data, decoder)
    training = data.windows["train"]
    rows = torch.from_numpy(pooled.rows(training))
    with torch.random.fork_rng():
        torch.manual_seed(site.seed(learning))
        decoder.head.fit(pooled.values[rows], pooled.target[rows])
        if decoder.config.solved:
            solve(decoder.head, pooled.values[rows], pooled.target[rows],
                  head_training().weight_decay)
    shared = _adapted(decoder, learning)

    def predict(wanted: np.ndarray) -> np.ndarray:
        decoder.eval()
        parts = [decoder.predict(source.batch(part).to(decoder.device)).double().cpu().numpy()
                 for part in np.array_split(wanted, -(-len(wanted) // 32))]
        return np.concatenate(parts)

    def whole() -> Decoder:
        if learning.adapt == "lora":
            adapters.merge(decoder)
        return decoder

    return Plan(decoder, source, data, shared, predict, whole, ledger=hub.read_ledger(path))


def initial(learning: Learning) -> dict[str, np.ndarray]:
    """Adapters as they are drawn (no change yet), or the encoder's own weights."""
    if not learning.classes:
        raise ValueError("classes: wanted the names of the classes, e.g. --learning.classes "
                         "'[left, right]'")
    decoder = _decoder(learning, open_backbone(learning.model), learning.classes)
    shared, own = _adapted(decoder, learning), decoder.state_dict()
    return {name: own[name].float().numpy().copy() for name in shared}


def _decoder(learning: Learning, pretrained, classes) -> Decoder:
    config = DecoderConfig(backbone=pretrained.config, classes=classes, mode=learning.adapt,
                           **learning.architecture)
    if config.recentred:
        raise ValueError("architecture.recentred: a decoder that trains along sees no mean over a "
                         "person; leave it out")
    with torch.random.fork_rng():
        torch.manual_seed(learning.train.seed)
        return Decoder(config, pretrained).eval()


def _adapted(decoder: Decoder, learning: Learning) -> tuple[str, ...]:
    """Put adapters in, drawn from the server's seed; returns the names of what is shared."""
    if learning.adapt == "lora":
        with torch.random.fork_rng():
            torch.manual_seed(learning.train.seed)
            adapters.attach(decoder)
    return tuple(name for name, parameter in decoder.named_parameters()
                 if parameter.requires_grad and name.startswith("backbone."))


_KEPT: dict = {}  # tokens and features of the sites seen last: they never change


def _prepared(corpus: str, path: str, fingerprint: str, data: Labelled, decoder: Decoder):
    key = (corpus, path, fingerprint, data.all.tobytes(), decoder.config.pool)
    if key not in _KEPT:
        while len(_KEPT) >= 8:
            del _KEPT[next(iter(_KEPT))]
        source = features.prepared(decoder, data.corpus, data.all, data.target, batch_windows=16,
                                   device=decoder.device)
        _KEPT[key] = source, features.pooled(decoder, source, device=decoder.device)
    return _KEPT[key]
