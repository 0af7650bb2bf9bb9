"""What a decoder asks of a pretrained model, of whatever modality: features of fixed width.

A model that answers these can be probed, fine-tuned, compared and used to decode.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn

from ..data.batch import Batch, Tokens
from ..pretrained import NeuroFMConfig, NeuroFMPreTrainedModel


class BackboneConfig(NeuroFMConfig):
    """Has `dim`, `n_heads`, `n_pooled(pool)`: the width of what `Backbone.pooled` gives."""

    def __init__(self, **of_transformers):
        super().__init__(**of_transformers)  # else transformers makes one that takes no such keys

    @property
    def pools(self) -> tuple[str, ...]:
        """Ways to make one vector of a window, the best one first; "attention" leaves the places to
        the head."""
        return ()


class Backbone(NeuroFMPreTrainedModel, ABC):
    """Base of models that a decoder stands on."""

    def prepare(self, batch: Batch | Tokens) -> Batch | Tokens:
        """What of a batch never changes in training: its tokens, where there are such."""
        return batch

    def start(self, batches: Iterable[Batch]) -> None:
        """What random weights take from training signals before they are trained; usually none."""

    @abstractmethod
    def pooled(self, batch: Batch | Tokens, pool: str) -> Float[Tensor, "batch *place feature"]:
        """One vector of each window; of "attention" one of each place, 0 where there is none."""

    @abstractmethod
    def used(self, pool: str) -> list[nn.Module]:
        """The parts that may be trained along and that `pooled` depends on."""

    @abstractmethod
    def layer(self, name: str) -> tuple[int, int]:
        """(layer that the parameter stands in, 0 = the first; number of layers)."""
