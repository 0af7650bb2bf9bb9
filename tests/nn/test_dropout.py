"""Random bits of places: the same however they are made, and random."""

import pytest
import torch

from neurofm.nn import dropout
from neurofm.nn.attention import CrissCrossBlock, rotary_table

SEEDS = torch.tensor([5, 2**61 + 7, -3])


@pytest.fixture
def key():
    return dropout.window_keys(SEEDS, 3, 4, torch.device("cpu"))


@pytest.mark.parametrize("n", [1, 7, 1000, 300_001])
def test_chunks_are_the_whole(key, n, monkeypatch):
    in_chunks = dropout.kept(key[0], n, 0.1)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.equal(dropout.kept(key[0], n, 0.1), in_chunks)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_share_of_places(key, share):
    kept = dropout.kept(key[1], 200_000, share).float()
    assert (kept.mean(dim=1) - (1 - share)).abs().max() < 0.004
    if 0 < share < 1:
        neighbors = torch.stack([kept[0, :-1], kept[0, 1:], kept[1, 1:]])
        assert (torch.corrcoef(neighbors) - torch.eye(3)).abs().max() < 0.01


def test_bits_are_uniform_and_normal_ones_normal(key):
    x = dropout.bits(key.flatten(), 50_000).double() / 2**32
    assert x.min() < -0.499
    assert x.max() > 0.499
    assert (x.mean(dim=1)).abs().max() < 0.006
    for bit in range(32):
        share = (dropout.bits(key[2], 50_000) >> bit & 1).float().mean()
        assert abs(share - 0.5) < 0.01, bit
    z = dropout.normal(key[3], 100_000)
    assert (z.mean(dim=1)).abs().max() < 0.015
    assert (z.std(dim=1) - 1).abs().max() < 0.01
    assert (z.pow(4).mean(dim=1) - 3).abs().max() < 0.15


def test_windows_drop_alike_in_any_batch():
    """A block in training gives a window what it gives it alone, with another seed something
    else."""
    torch.manual_seed(0)
    block, table = CrissCrossBlock(16, 4, dropout=0.3).train(), rotary_table(5, 8)
    x = torch.randn(3, 2, 5, 16)
    together = block(x, table, dropout.window_keys(SEEDS, 3, 3, x.device))
    for one in range(3):
        keys = dropout.window_keys(SEEDS[one : one + 1], 1, 3, x.device)
        torch.testing.assert_close(block(x[one : one + 1], table, keys), together[one : one + 1])
        other = dropout.window_keys(SEEDS[one : one + 1] + 1, 1, 3, x.device)
        assert not torch.allclose(block(x[one : one + 1], table, other), together[one : one + 1])


def test_dropout_leaves_the_mean():
    """Over many seeds, what a block adds in training is what it adds in evaluation, about."""
    torch.manual_seed(0)
    block, table = CrissCrossBlock(16, 4, dropout=0.1), rotary_table(3, 8)
    x = torch.randn(1, 2, 3, 16).expand(4000, -1, -1, -1)
    keys = dropout.window_keys(torch.arange(4000), 4000, 3, x.device)
    with torch.no_grad():
        mean = block.train()(x, table, keys).mean(dim=0)
        exact = block.eval()(x[:1], table)[0]
    assert (mean - exact).abs().max() < 0.03 * (exact - x[0]).abs().max()
