"""What could be had if all recordings lay in one place: the upper bound of a federation.

Every step takes a batch from each site; fronts are the sites' own, the back is one. Nothing is
averaged, clipped or delayed.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.func import functional_call

from neurofm.data.batch import Movable
from neurofm.nn.trainable import Trainable
from neurofm.training import state
from neurofm.training.loop import accelerator_for, train

from ..scoring.predictions import table_of
from . import plans
from .learning import Learning
from .plan import Plan
from .site import Site


@dataclass
class Several(Movable):
    """A batch of each site. count: of windows of one of them (`len` of the batch)."""

    count: Int[Tensor, " window"]
    parts: list = field(default_factory=list)

    def to(self, device, non_blocking: bool = False) -> "Several":
        return Several(self.count.to(device), [part.to(device, non_blocking)
                                               for part in self.parts])


class Together(Trainable):
    """All sites' models as one. shared: weights that they have in common, once."""

    def __init__(self, models: list[nn.Module], shared: dict[str, Tensor]):
        super().__init__()
        self.models = nn.ModuleList(models)
        for model in models:
            for name, parameter in model.named_parameters():
                if name in shared:
                    parameter.requires_grad_(False)  # it is the shared one that is used
        self.shared = nn.ParameterDict({name.replace(".", "/"): nn.Parameter(value.clone())
                                        for name, value in shared.items()})

    def common(self) -> dict[str, Tensor]:
        return {name.replace("/", "."): value for name, value in self.shared.items()}

    def forward(self, batch: Several) -> tuple[Tensor, dict[str, Tensor]]:
        """→ (mean of the sites' losses, means of their metrics)."""
        common, losses = self.common(), []
        metrics: dict[str, Any] = {}
        for model, part in zip(self.models, batch.parts, strict=True):
            loss, terms = functional_call(model, common, (part,))
            losses.append(loss)
            for name, value in terms.items():
                metrics.setdefault(name, []).append(value)
        means = {name: torch.stack(values).mean() for name, values in metrics.items()}
        return torch.stack(losses).mean(), means


class _InTurn:
    """Position k is window k of each site's split, which begins again where it ends."""

    def __init__(self, plans_: list[Plan], split: str):
        self.sources = [plan.source for plan in plans_]
        self.windows = [plan.data.windows[split] for plan in plans_]
        self.n = max(map(len, self.windows))

    def widths(self, windows: np.ndarray) -> np.ndarray:
        return np.ones(len(windows), dtype=np.int64)

    def batch(self, windows: np.ndarray, seeds=None, target=None) -> Several:
        return Several(torch.from_numpy(windows), [
            source.batch(own[windows % len(own)], seeds)
            for source, own in zip(self.sources, self.windows, strict=True)])


def pooled(sites: list[Site], learning: Learning, folder: Path) -> dict[str, pd.DataFrame]:
    """Train on all sites at once; predictions of each site's people who are held out."""
    found = [plans.build(site, learning) for site in sites]
    initial = {name: torch.from_numpy(value) for name, value in plans.initial(learning).items()}
    model = Together([plan.model for plan in found], initial)
    training, watched = _InTurn(found, "train"), _InTurn(found, "validation")
    config = learning.schedule(training.n)
    config = replace(config, validate_every=config.log_every)  # once a round
    accelerator = accelerator_for(config, folder)
    try:
        train(model, training, np.arange(training.n), config, folder, accelerator,
              validation=(watched, np.arange(watched.n)), choose="val/loss", say=lambda *_: None)
    finally:
        accelerator.end_training()
    common, tables = {name: value.detach() for name, value in model.common().items()}, {}
    for site, plan in zip(sites, found, strict=True):
        state.put(plan.model, common)
        windows = plan.data.windows["test"]
        tables[site.name] = table_of(plan.data, plan.predict(windows), plan.ledger)
    return tables
