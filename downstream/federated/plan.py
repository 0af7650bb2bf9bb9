"""Plan: a site's model and windows, and which of its weights are shared. One file a kind of model.

A kind answers `build(site, learning, data) -> Plan` and `initial(learning) -> weights`, the shared
weights that all begin with.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import nn

from neurofm.training.sampler import WindowSource

from ..decoder.labeled import Labeled


@dataclass(frozen=True, eq=False)
class Plan:
    """A site's model and windows, and which of its weights are shared."""

    model: nn.Module  # `forward(batch)` as the loop wants it
    source: WindowSource  # gives batches of the corpus's windows
    data: Labeled
    shared: tuple[str, ...]  # names in the model's state dict that travel
    predict: Callable[[np.ndarray], np.ndarray]  # windows → probabilities [window, class]
    whole: Callable[[], nn.Module]  # the personalized model, to be saved
    # fits personal statistics to shared weights that came
    settle: Callable[[], None] = lambda: None
    ledger: dict | None = None  # whom what was pretrained has seen

    def weights(self) -> dict[str, np.ndarray]:
        """The shared ones as they are now, float32."""
        own = self.model.state_dict()
        return {name: own[name].detach().cpu().float().numpy().copy() for name in self.shared}
