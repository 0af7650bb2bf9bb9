"""μ-law: samples are squeezed by a logarithm and rounded; nothing is learned.

Source: ITU-T G.711's curve, as in the comparison of MEG tokenizers (arXiv 2602.16626): clipped at
±4 deviations, n levels, μ = n − 1.
"""

import math
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..limits import Limit, Positive
from .sample_tokenizer import SampleTokenizer, SampleTokenizerConfig


class MuLawConfig(SampleTokenizerConfig):
    """Settings of a `MuLaw`.

    Parameters
    ----------
    n_tokens
        Number of levels.
    n_used
        Number of tokens in use; 0 until they were counted.
    clip
        Standard deviations beyond which a sample takes the last level.
    n_used
        Number of tokens that the training data use (found after training).
    """

    model_type = "neurofm_mu_law"

    def __init__(self, n_tokens: Annotated[int, Limit(2)] = 108, n_used: int = 0,
                 clip: Positive = 4.0,
                 **of_transformers):
        self.n_tokens = n_tokens
        self.n_used = n_used
        self.clip = clip
        super().__init__(**of_transformers)


class MuLaw(SampleTokenizer):
    """Logarithmic quantization (μ-law) of standardized samples.

    Parameters
    ----------
    config
        Settings.
    """
    config_class = MuLawConfig

    def __init__(self, config: MuLawConfig):
        super().__init__(config)
        # transformers does not save a model without a parameter
        self.clip = nn.Parameter(torch.tensor(float(config.clip)), requires_grad=False)
        self.post_init()

    def tokens(self, signal: Float[Tensor, "row time"]) -> Int[Tensor, "row time"]:
        mu, clip = self.config.n_tokens - 1, self.clip
        x = (signal / clip).clamp(-1, 1)
        squeezed = x.sign() * torch.log1p(mu * x.abs()) / math.log1p(mu)
        return ((squeezed + 1) / 2 * mu).round().long()

    def signal(self, tokens: Int[Tensor, "row time"]) -> Float[Tensor, "row time"]:
        mu, clip = self.config.n_tokens - 1, self.clip
        squeezed = 2 * tokens.float() / mu - 1
        x = squeezed.sign() * torch.expm1(squeezed.abs() * math.log1p(mu)) / mu
        return torch.where(tokens < 0, 0.0, x * clip)
