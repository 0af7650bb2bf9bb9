"""Attention: masks, rotary positions, dropout."""

import pytest
import torch

from neurofm.nn.attention import CrissCrossBlock, SelfAttention, attend, rotary_table, rotate


def test_masked_keys_are_not_seen():
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 3, 8), torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    mask = torch.tensor([[True, True, True, False, False], [True] * 5])
    out = attend(q, k, v, n_heads=2, mask=mask)
    torch.testing.assert_close(out[:1], attend(q[:1], k[:1, :3], v[:1, :3], n_heads=2))
    torch.testing.assert_close(out[1:], attend(q[1:], k[1:], v[1:], n_heads=2))


def test_rotary_scores_depend_on_distance_alone():
    torch.manual_seed(0)
    table = rotary_table(20, 12)
    q, k = (rotate(torch.randn(1, 1, 12).expand(1, 20, 12), table)[0] for _ in range(2))
    scores = q @ k.T
    for distance in (0, 3, 7):
        along = scores.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(scores[0, 0], scores[0, 5])


def test_rotation_keeps_lengths():
    x = torch.randn(2, 9, 12)
    torch.testing.assert_close(rotate(x, rotary_table(9, 12)).norm(dim=-1), x.norm(dim=-1))


@pytest.mark.parametrize("layer", [SelfAttention(16, 4, dropout=0.5)])
def test_dropout_acts_in_training_only(layer):
    x = torch.randn(2, 6, 16)
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    layer.train()
    assert not torch.equal(layer(x), layer(x))


def test_criss_cross_mixes_time_in_a_source_and_sources_in_a_frame_only():
    """One block moves information along rows and columns, never diagonally."""
    torch.manual_seed(0)
    block = CrissCrossBlock(16, 4).eval()
    x = torch.randn(1, 3, 5, 16, requires_grad=True)
    block(x, rotary_table(5, 8))[0, 1, 2].sum().backward()
    touched = x.grad[0].abs().sum(dim=-1) > 0
    wanted = torch.zeros(3, 5, dtype=torch.bool)
    wanted[1, :] = True
    wanted[:, 2] = True
    assert torch.equal(touched, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rotation_on_a_cpu_without_gradients_is_the_other_one(dtype):
    torch.manual_seed(0)
    qkv = torch.randn(6, 9, 36).to(dtype)
    x, table = qkv.chunk(3, dim=-1)[1], rotary_table(9, 12)  # not contiguous
    with torch.no_grad():
        fast = rotate(x, table)
    torch.testing.assert_close(fast, rotate(x, table))
    assert fast.dtype == dtype
