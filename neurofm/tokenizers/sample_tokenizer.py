"""What tokenizers of single samples share: a token for each sample of each channel, and back.

Every channel is tokenized by itself, with the same weights, so there may be any number of them, in
any order. Signals are z-scored channels (contract scale "channel_std").
"""

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.batch import Batch, Tokens
from ..pretrained import NeuroFMConfig
from .tokenizer import Tokenizer
from .vocabulary import Vocabulary


class SampleTokenizerConfig(NeuroFMConfig):
    """Has `n_tokens` and `n_used` (0 until tokens were counted).

    window_length: fewest samples that are encoded together. margin: samples that successive windows
    share.
    """

    window_length = 1
    margin = 0

    def __init__(self, **of_transformers):
        super().__init__(**of_transformers)  # else transformers makes one that takes no such keys

    @property
    def n_codes(self) -> int:
        """Labels there are: of tokens in use, and 0."""
        return (self.n_used or self.n_tokens) + 1


class SampleTokenizer(Tokenizer):
    """Base: a subclass has `tokens` and `signal`."""

    def __init__(self, config: SampleTokenizerConfig):
        super().__init__(config)
        self.vocabulary = Vocabulary(config.n_tokens)

    @property
    def reads_places(self) -> bool:
        return False

    @property
    def of_channels(self) -> bool:
        return True

    @property
    def of_samples(self) -> bool:
        return True

    @property
    def margin(self) -> int:
        return self.config.margin

    @abstractmethod
    def tokens(self, signal: Float[Tensor, "row time"]) -> Int[Tensor, "row time"]:
        """Token of every sample of single channels.

        Parameters
        ----------
        signal
            Standardized channels, `[row, time]`.

        Returns
        -------
        Tensor
            int `[row, time]`.
        """

    @abstractmethod
    def signal(self, tokens: Int[Tensor, "row time"]) -> Float[Tensor, "row time"]:
        """Single channels from tokens.

        Parameters
        ----------
        tokens
            Tokens, int `[row, time]`; −1 = unknown.

        Returns
        -------
        Tensor
            `[row, time]`.
        """

    @torch.no_grad()
    def encode(self, batch: Batch) -> Tokens:
        """Labels [batch, channel, time, 1]; 0 where a channel is padding."""
        tokens = self.tokens(batch.signal.flatten(0, 1)).view(batch.signal.shape)
        labels = self.vocabulary.label_of[tokens] * batch.valid[..., None]
        return Tokens(labels[..., None], batch.target, batch.seed, batch.source)

    @torch.no_grad()
    def decode(
        self, tokens: Tokens | Int[Tensor, "batch channel time 1"], *_, n_times: int | None = None
    ) -> Float[Tensor, "batch channel time"]:
        """Signals from labels. Where sensors are (geometry, kind, valid) is not read."""
        labels = (tokens.ids if isinstance(tokens, Tokens) else tokens)[..., 0]
        rows = self.vocabulary.token_of[labels].flatten(0, 1)
        return self.signal(rows).view(labels.shape)[..., :n_times]

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and metrics; a tokenizer that learns overrides it.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        tuple[Tensor, dict[str, Tensor]]
            Mean squared error; {"pve": percent of variance explained}.
        """
        rows = batch.signal[batch.valid].float()
        found = self.signal(self.tokens(rows))
        return torch.square(rows - found).mean(), {"pve": variance_explained(found, rows)}

    @torch.no_grad()
    def finish(self, batches) -> str:
        """Order the vocabulary by the training windows."""
        count = torch.zeros_like(self.vocabulary.label_of)
        for batch in batches:
            tokens = self.tokens(batch.signal.flatten(0, 1)).view(batch.signal.shape)[batch.valid]
            count += torch.bincount(tokens.flatten(), minlength=len(count))
        self.config.n_used = self.vocabulary.order(count)
        return f"{self.config.n_used} of {self.config.n_tokens} tokens are in use"


def variance_explained(
    found: Float[Tensor, "*batch time"], signal: Float[Tensor, "*batch time"]
) -> Tensor:
    """Percent of variance explained, over everything.

    Parameters
    ----------
    found
        Reconstruction, `[..., time]`.
    signal
        Original, `[..., time]`.

    Returns
    -------
    Tensor
        100 · (1 − Σ (x − x̂)² / Σ x²), a scalar.
    """
    return 100 * (1 - torch.square(signal - found).sum() / torch.square(signal).sum())
