"""What a model must answer to be asked for the next token."""

from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurofm.tokenizers.sample_tokenizer import SampleTokenizer


class NextToken(Protocol):
    """A model over tokens of single samples. config: has n_codes and context (samples)."""

    config: Any
    tokenizer: SampleTokenizer

    def logits(
        self, labels: Int[Tensor, "batch channel time"], geometry: Float[Tensor, "batch channel 6"],
        valid: torch.Tensor, numbers: torch.Tensor,
    ) -> Float[Tensor, "batch channel time code"]:
        """Of the token after each of those given."""

    def numbers(self, subjects: list[str] | None) -> Tensor:
        """The people as the model numbers them; 0 = unknown."""
