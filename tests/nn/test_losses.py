"""Losses: known values, padding, gradients."""

import math

import torch

from neurofm.nn.losses import distance, masked_mean, pearson, zscore
from neurofm.nn.spectral import magnitude_and_phase


def test_zscore_and_a_flat_channel():
    x = torch.stack([torch.randn(100) * 5 + 3, torch.full((100,), 2.0)])
    z = zscore(x)
    assert abs(z[0].mean()) < 1e-5
    assert abs(z[0].std() - 1) < 1e-4
    assert z[1].abs().max() == 0


def test_pearson_of_known_signals():
    t = torch.arange(256) / 256
    x = torch.sin(2 * math.pi * 8 * t)
    assert abs(pearson(x, 3 * x + 2) - 1) < 1e-5
    assert abs(pearson(x, -x) + 1) < 1e-5
    assert abs(pearson(x, torch.cos(2 * math.pi * 8 * t))) < 1e-5
    assert pearson(x, torch.ones(256)) == 0


def test_spectrum_of_a_sine():
    t = torch.arange(256) / 256
    magnitude, phase = magnitude_and_phase(torch.sin(2 * math.pi * 16 * t + 0.3))
    assert magnitude.argmax() == 16
    assert abs(phase[16] - (0.3 - math.pi / 2)) < 1e-2


def test_padding_and_its_content_do_not_count():
    torch.manual_seed(0)
    x, y = torch.randn(2, 3, 2, 64), torch.randn(2, 3, 2, 64)
    valid = torch.tensor([[True, True, False], [True, True, True]])
    all_of_it = distance(x, y, valid)
    x[0, 2], y[0, 2] = 1e6, -1e6
    for a, b in zip(all_of_it, distance(x, y, valid), strict=True):
        assert torch.equal(a, b)
    alone = distance(x[:1, :2], y[:1, :2], valid[:1, :2])
    for a, b in zip(all_of_it, alone, strict=True):
        torch.testing.assert_close(a[:1], b)


def test_masked_mean_averages_channels_evenly():
    x = torch.tensor([[[1.0, 3.0], [5.0, 7.0], [100.0, 100.0]]])
    assert masked_mean(x, torch.tensor([[True, True, False]])).tolist() == [4.0]


def test_gradients_stay_finite_for_silence():
    x = torch.zeros(1, 2, 1, 64, requires_grad=True)
    far = distance(x, torch.zeros(1, 2, 1, 64), torch.ones(1, 2, dtype=torch.bool))
    sum(part.sum() for part in far).backward()
    assert torch.isfinite(x.grad).all()
