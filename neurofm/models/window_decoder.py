"""What `neurofm decode` and `neurofm stream` ask of a model: an answer for every window.

A model that answers these is used, published and exported like any other decoder.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.batch import Batch, Tokens
from ..pretrained import NeuroFMPreTrainedModel


class WindowDecoder(NeuroFMPreTrainedModel, ABC):
    """Base of models that name the class of a window, or its number.

    recentred: answers depend on the person's mean over windows. temperature: that the classes'
    logits are divided by; 1 = they were not calibrated.
    """

    recentred = False
    temperature = 1.0

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the probabilities; none = it predicts a number."""
        return self.config.classes

    @abstractmethod
    def pool(self, batch: Batch | Tokens) -> Float[Tensor, "batch *place feature"]:
        """What the answer is read from."""

    @abstractmethod
    def name(
        self, pooled: Float[Tensor, "batch *place feature"],
        centre: Float[Tensor, " feature"] | None = None,
    ) -> Float[Tensor, "batch output"]:
        """`predict`, from what `pool` gave."""

    @torch.no_grad()
    def predict(
        self, batch: Batch | Tokens, centre: Float[Tensor, " feature"] | None = None
    ) -> Float[Tensor, "batch output"]:
        """Probability of each of `classes` for each window; or the number, [batch, 1].

        centre: mean over windows of the person of what `pool` gives, where the decoder re-centres;
            None = the training people's, for somebody of whom nothing else is known.
        """
        return self.name(self.pool(batch), centre)
