"""An automatic decoder (`models.stacked`) at a site: the linear models of its views train on.

Every site has the same checkpoint, of `neurofm finetune`. It says what windows are measured by:
electrodes (any cap is brought to them by splines), bands, views, standardization, penalty and share
of each view. The sum of the views' linear models is one linear model of all their features, and its
weights are what sites share. They begin as they are in the checkpoint. Nothing is estimated at a
site but each person's own mean, for views that are re-centered.
"""

import copy
import functools
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from neurofm import checkpoints
from neurofm.checkpoints.contracts import check_contract
from neurofm.models.decoder_head import Pooled
from neurofm.models.stacked import Stacked
from neurofm.nn.trainable import Trainable

from ..decoder.features import InMemory
from ..decoder.labeled import Labeled
from ..decoder.stack import part
from ..decoder.stacked_build import measure
from ..scoring.predictions import predict as predicted
from .learning import Learning
from .plan import Plan
from .site import Site

STAYS = "means of people, "  # at the site, beside recordings


class Views(Trainable):
    """Features of all views → log-odds of classes.

    A view of n features is divided by √n, so that views of unlike width learn at one rate.
    """

    class_weight: Tensor

    def __init__(self, stacked: Stacked):
        super().__init__()
        parts = [float(share) * linear.weight.double() * len(linear.mean) ** 0.5
                 for _, share, linear in used(stacked)]
        bias = stacked.intercept.double() + sum(float(share) * linear.bias.double()
                                                for _, share, linear in used(stacked))
        self.weight = nn.Parameter(torch.cat(parts, dim=1).float())
        self.bias = nn.Parameter(bias.float())
        self.register_buffer("class_weight", torch.ones(len(stacked.classes)))

    def forward(self, pooled: Pooled) -> tuple[Tensor, dict[str, Tensor]]:
        """→ (cross-entropy with classes that count alike, accuracy), means over windows."""
        assert pooled.target is not None
        logits, target = F.linear(pooled.features, self.weight, self.bias), pooled.target.long()
        loss = F.cross_entropy(logits, target, reduction="none") * self.class_weight[target]
        hit = (logits.argmax(dim=-1) == target).float().mean()
        return loss.mean(), {"accuracy": hit.detach()}

    @torch.no_grad()
    def in_decoder(self, stacked: Stacked) -> Stacked:
        """The decoder with these weights. Parts of a cap are interpolated: what was solved for them
        knows nothing of other sites."""
        made = copy.deepcopy(stacked)
        start = 0
        for _, share, linear in used(made):
            n = len(linear.mean)
            linear.weight.copy_(self.weight[:, start : start + n] / (float(share) * n**0.5))
            linear.bias.zero_()
            start += n
        made.intercept.copy_(self.bias)
        return whole_cap(made).eval()


def in_words(learning: Learning) -> str:
    """The model, for a page."""
    return f"{learning.model}, the linear models of its views"


def recenters(learning: Learning) -> bool:
    """Whether each person's mean is taken away."""
    return checkpoints.load(learning.model).recentered


def build(site: Site, learning: Learning, data: Labeled) -> Plan:
    """Raises ValueError where the site's decoder is another one than the server's."""
    if site.channels:
        raise ValueError(f"{site.name}: channels are of a FLEEG; an automatic decoder has its own: "
                         f"leave them out")
    path = site.model or learning.model
    found = checkpoints.fingerprint(path)
    if learning.fingerprint not in ("", found):
        raise ValueError(f"{path}: this site's decoder ({found}) is not the server's "
                         f"({learning.fingerprint}): fetch that one")
    stacked = _opened(path, found)
    _check(stacked, path, learning)
    check_contract(stacked, path, data.corpus)
    pooled = _measured(path, found, site.corpus, data)
    model, training = Views(stacked), data.windows["train"]
    count = np.maximum(np.bincount(data.target[training], minlength=len(stacked.classes)), 1)
    model.class_weight.copy_(torch.from_numpy(len(training) / (np.count_nonzero(
        np.bincount(data.target[training])) * count)))
    seen = pooled.with_(_features(stacked, pooled, [each for each in data.windows.values()
                                                    if len(each)]))
    return Plan(model, seen, data, ("weight", "bias"),
                lambda wanted: predicted(model.in_decoder(stacked), pooled, wanted, "cpu"),
                lambda: model.to("cpu").in_decoder(stacked),
                ledger=checkpoints.read_ledger(path))


def initial(learning: Learning) -> dict[str, np.ndarray]:
    """As they are in the checkpoint."""
    stacked = checkpoints.load(learning.model)
    _check(stacked, learning.model, learning)
    return {name: value.detach().numpy().copy()
            for name, value in Views(stacked).named_parameters()}


def used(stacked: Stacked) -> Iterator[tuple]:
    """(view, share, linear model) of the views that count."""
    for view, share, linear in zip(stacked.views, stacked.share, stacked.linear, strict=True):
        if share > 0:
            yield view, share, linear


def whole_cap(stacked: Stacked) -> Stacked:
    """The same, which interpolates what a cap lacks."""
    if stacked.config.placed:
        for block in stacked.partial.blocks:
            block.toward.zero_()
    return stacked


def _check(stacked: Stacked, path: str, learning: Learning) -> None:
    if learning.architecture or learning.adapt != "head":
        raise ValueError(f"learning.architecture and learning.adapt: {path} is an automatic "
                         f"decoder, which is made as it is; leave them out")
    if stacked.config.regression or tuple(learning.classes) != stacked.classes:
        raise ValueError(
            f"{path} tells {', '.join(stacked.classes) or 'a number'}, the sites "
            f"{', '.join(learning.classes) or 'no classes'}: "
            + ("federated decoders tell classes apart" if stacked.config.regression else
               f"wanted the same, in that order: --learning.classes "
               f"'[{', '.join(stacked.classes)}]'"))


@functools.lru_cache(maxsize=2)
def _opened(path: str, fingerprint: str) -> Stacked:
    """A decoder that stays as it came, opened once and not for every message."""
    return whole_cap(checkpoints.load(path))


_KEPT: dict = {}  # what the windows of the sites seen last measure: it never changes


def _measured(path: str, fingerprint: str, corpus: str, data: Labeled) -> InMemory:
    key = (corpus, fingerprint, data.all.tobytes())
    if key not in _KEPT:
        while len(_KEPT) >= 8:
            del _KEPT[next(iter(_KEPT))]
        _KEPT[key] = measure(_opened(path, fingerprint), data, data.all)
    return _KEPT[key]


@torch.no_grad()
def _features(
    stacked: Stacked, pooled: InMemory, parts: list[np.ndarray]
) -> Float[Tensor, "window feature"]:
    """Features of all views side by side, as `Views` takes them. parts: windows of which each
    person's are re-centered together."""
    widths = [len(linear.mean) for _, _, linear in used(stacked)]
    found = torch.zeros(len(pooled.windows), sum(widths))
    for windows in parts:
        rows = pooled.rows(windows)
        own = part(pooled, rows)
        found[torch.from_numpy(rows)] = torch.cat([
            (view(stacked.rows(own.rows), stacked.rows(own.centers), own.of)
             - linear.mean.double()) * linear.scale.double() / n**0.5
            for (view, _, linear), n in zip(used(stacked), widths, strict=True)], dim=1).float()
    return found
