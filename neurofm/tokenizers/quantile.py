"""Quantiles: every token is as frequent as every other; of the training data or of the normal law.

Source: the comparison of MEG tokenizers (arXiv 2602.16626), "standard quantiles".
"""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..limits import Limit
from .sample_tokenizer import SampleTokenizer, SampleTokenizerConfig


class QuantileConfig(SampleTokenizerConfig):
    """Settings of a `Quantile`.

    Parameters
    ----------
    n_tokens
        Number of bins.
    n_used
        Number of tokens in use; 0 until they were counted.
    n_used
        Number of tokens that the training data use (found after training).
    """

    model_type = "neurofm_quantile"

    def __init__(self, n_tokens: Annotated[int, Limit(2)] = 108, n_used: int = 0,
                 **of_transformers):
        self.n_tokens = n_tokens
        self.n_used = n_used
        super().__init__(**of_transformers)


class Quantile(SampleTokenizer):
    """Equally frequent bins of the training windows; those of a normal distribution until
    `finish`. A bin decodes to its middle quantile.

    Parameters
    ----------
    config
        Settings.
    """

    config_class = QuantileConfig

    def __init__(self, config: QuantileConfig):
        super().__init__(config)
        quantile = (2**0.5 * torch.erfinv(2 * self._shares() - 1)).float()
        self.value = nn.Parameter(quantile[0::2].clone(), requires_grad=False)
        self.border = nn.Parameter(quantile[1::2].clone(), requires_grad=False)
        self.post_init()

    def _shares(self) -> Float[Tensor, " share"]:
        """Middles of the bins and borders between them, in turn."""
        n = self.config.n_tokens
        return (torch.arange(2 * n - 1, dtype=torch.float64) + 1) / (2 * n)

    def tokens(self, signal: Float[Tensor, "row time"]) -> Int[Tensor, "row time"]:
        return torch.bucketize(signal.contiguous(), self.border)

    def signal(self, tokens: Int[Tensor, "row time"]) -> Float[Tensor, "row time"]:
        return torch.where(tokens < 0, 0.0, self.value[tokens.clamp(min=0)])

    @torch.no_grad()
    def finish(self, batches, at_most: int = 2_000_000) -> str:
        """Bins of equal share in the training windows, then the vocabulary."""
        batches = list(batches)
        seen = torch.cat([batch.signal[batch.valid].flatten() for batch in batches])
        seen = seen[:: max(1, len(seen) // at_most)].double()
        at = (self._shares() * (len(seen) - 1)).round().long()
        quantile = seen.sort().values[at.to(seen.device)].float()
        self.value.copy_(quantile[0::2])
        self.border.copy_(quantile[1::2])
        return super().finish(batches)
