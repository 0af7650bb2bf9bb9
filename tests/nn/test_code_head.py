"""Codebook head: scores follow the codes' geometry and start from their frequencies."""

import pytest
import torch

from neurofm.nn.code_head import CodebookHead
from neurofm.nn.quantizer import ResidualQuantizer


@pytest.fixture
def quantizer() -> ResidualQuantizer:
    torch.manual_seed(0)
    return ResidualQuantizer(dim=8, n_levels=3, n_codes=16).eval()


def test_a_vector_along_a_code_names_that_code(quantizer):
    head = CodebookHead(8, 3, quantizer)
    directions = torch.nn.functional.normalize(quantizer.codebook, dim=-1)
    quantizer.codebook.copy_(directions)  # equal lengths: the largest product is the nearest code
    with torch.no_grad():
        head.vector.weight.copy_(torch.eye(8).repeat(3, 1))
        head.vector.bias.zero_()
        scores = head(directions[1], quantizer)  # [16, 8] → [16, 3, 16]
    assert scores.shape == (16, 3, 16)
    assert scores[:, 1].argmax(dim=-1).tolist() == list(range(16))


def test_a_head_that_learned_nothing_guesses_by_frequency(quantizer):
    quantizer.uses.copy_(torch.rand(3, 16) * 1000)
    head = CodebookHead(8, 2, quantizer)
    head.start_from(quantizer)
    with torch.no_grad():
        head.vector.bias.zero_()
        guess = head(torch.zeros(1, 8), quantizer).softmax(dim=-1)[0]
    wanted = quantizer.uses[:2] / quantizer.uses[:2].sum(dim=1, keepdim=True)
    torch.testing.assert_close(guess, wanted, atol=1e-3, rtol=0.05)


def test_scores_do_not_depend_on_the_codebook_s_scale(quantizer):
    """Deeper levels hold smaller residuals; their scores must not start smaller for it."""
    head, x = CodebookHead(8, 3, quantizer), torch.randn(5, 8)
    before = head(x, quantizer)
    quantizer.codebook[2] *= 0.01
    torch.testing.assert_close(head(x, quantizer), before)
