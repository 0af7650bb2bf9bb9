"""Labels of tokens: those in use, the most frequent first.

Source: MEG-GPT (arXiv 2510.18080), "refactored vocabulary": tokens are counted on the training
data, ordered by how often they come, and those that never do are dropped. Labels are 1 … V; 0 is
a token that training has never seen.
"""

import torch
from jaxtyping import Int
from torch import Tensor, nn


class Vocabulary(nn.Module):
    """n_tokens: before any are dropped. Until they are counted, each token t has the label t + 1.
    label_of: label of each token. token_of: token of each label; a label without one has −1."""

    label_of: Tensor
    token_of: Tensor

    def __init__(self, n_tokens: int):
        super().__init__()
        self.register_buffer("label_of", torch.arange(1, n_tokens + 1))
        self.register_buffer("token_of", torch.arange(-1, n_tokens))

    @torch.no_grad()
    def order(self, count: Int[Tensor, " token"]) -> int:
        """Label tokens by how often they come; returns how many are in use."""
        used = int((count > 0).sum())
        if used == 0:
            raise ValueError("no tokens were counted: cannot make a vocabulary")
        order = torch.argsort(count, descending=True, stable=True)[:used]
        self.token_of.fill_(-1)
        self.token_of[1 : used + 1] = order
        self.label_of.zero_()
        self.label_of[order] = torch.arange(1, used + 1, device=order.device)
        return used
