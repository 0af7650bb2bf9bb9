"""What a tokenizer is: signals → tokens, and back."""

from abc import abstractmethod
from typing import Any

from torch import Tensor

from ..data.batch import Batch, Tokens
from ..pretrained import NeuroFMPreTrainedModel


class Tokenizer(NeuroFMPreTrainedModel):
    """Base of tokenizers. config: has window_length (samples that are encoded together) and n_codes
    (codes of a level)."""

    @abstractmethod
    def encode(self, batch: Batch) -> Tokens:
        """Tokens of signals.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        Tokens
            ids `[batch, source, frame, level]`, with the targets, seeds and sources of the
            batch.
        """

    @abstractmethod
    def decode(self, tokens: Tokens, geometry: Tensor, kind: Tensor, valid: Tensor, *,
               n_times: int | None = None) -> Tensor:
        """Signals of these sensors.

        Parameters
        ----------
        tokens
            Tokens.
        geometry
            Position and orientation of the sensors, `[batch, channel, 6]`.
        kind
            Kind of each sensor, `[batch, channel]`.
        valid
            True = a real sensor, `[batch, channel]`.
        n_times
            Number of samples; None = all that the tokens give.

        Returns
        -------
        Tensor
            `[batch, channel, time]`.
        """

    @property
    def keeps_scale(self) -> bool:
        """Whether `decode` gives signals in the scale that was encoded, not only their shape."""
        return True

    def reconstruct(self, batch: Batch) -> tuple[Tokens, Tensor]:
        """Encode and decode a batch.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        tuple[Tokens, Tensor]
            Tokens, and signals `[batch, channel, time]` that they decode to.
        """
        tokens = self.encode(batch)
        return tokens, self.decode(tokens, batch.geometry, batch.kind, batch.valid,
                                   n_times=batch.signal.shape[-1])

    @property
    def of_channels(self) -> bool:
        """Whether each channel has tokens of its own; else sources do, of a fixed number."""
        return False

    @property
    def of_samples(self) -> bool:
        """Whether each sample of each channel has a token."""
        return self.of_channels and self.window_length == 1

    @property
    def margin(self) -> int:
        """Samples that successive windows share."""
        return 0

    @property
    def window_length(self) -> int:
        return self.config.window_length

    def answer(self, batch: Any) -> dict[str, Tensor]:
        return {"ids": self.encode(batch).ids.contiguous()}
