"""Segments on a common grid: identity at the kernel's own repetition time, and times are kept."""

import numpy as np
import pytest
import torch

from neurofm.nn.segments import cut, grid, inverse


def wave(t_r: float, seconds: float, hz: float = 0.04) -> torch.Tensor:
    time = (np.arange(round(seconds / t_r)) + 0.5) * t_r
    return torch.from_numpy(np.sin(2 * np.pi * hz * time)).float()[None, None]


def test_at_the_kernels_own_repetition_time_it_is_the_identity():
    found = grid(0.735, 480, 35.28, 48)
    assert found.weight.shape == (10, 48, 48)
    assert torch.allclose(found.weight, torch.eye(48).expand(10, -1, -1), atol=1e-6)
    assert torch.allclose(inverse(found.weight[None], 0.735)[0], torch.eye(48).expand(10, -1, -1),
                          atol=1e-5)
    signal = torch.randn(2, 3, 480)
    seg = cut(signal, torch.full((2,), 0.735), torch.ones(2, 480).bool(), 35.28, 48)
    assert torch.allclose(seg.taps, signal.unflatten(2, (10, 48)), atol=1e-4)
    assert seg.valid.all()


@pytest.mark.parametrize("t_r", [0.5, 0.72, 1.5, 2.0, 3.0])
def test_every_volume_is_in_one_segment_and_segments_do_not_drift(t_r):
    n = 200
    found = grid(t_r, n, 17.64, 24)
    counts = found.there.sum(dim=1)
    assert counts.sum() == n
    assert torch.equal(found.first, counts.cumsum(0) - counts)
    begin_s = torch.arange(len(counts)) * 17.64
    assert ((found.first + 0.5) * t_r - begin_s >= -1e-5).all()
    assert ((found.first + 0.5) * t_r - begin_s < t_r + 1e-5).all()
    full = counts[:-1] * t_r
    assert (full - 17.64).abs().max() <= t_r


@pytest.mark.parametrize("t_r", [0.5, 1.5, 2.0, 3.0])
def test_taps_are_the_wave_at_the_times_of_the_grid(t_r):
    seconds = 8 * 17.64
    signal = wave(t_r, seconds)
    seg = cut(signal, torch.tensor([t_r]), torch.ones(1, signal.shape[2]).bool(), 17.64, 24)
    wanted = wave(0.735, seconds).unflatten(2, (8, 24))
    r = torch.corrcoef(torch.stack([seg.taps[0, 0, :7].flatten(), wanted[0, 0, :7].flatten()]))
    assert r[0, 1] > 0.99
    back = torch.einsum("bsvm,brsm->brsv", seg.weight, seg.taps)
    if t_r >= 0.735:  # fewer volumes than taps: nothing of them is lost
        assert torch.allclose(back, seg.volumes, atol=1e-4)


def test_scans_of_unlike_repetition_times_share_a_batch():
    short, long = wave(3.0, 88.2), wave(1.5, 88.2)
    signal = torch.zeros(2, 1, long.shape[2])
    signal[0, :, : short.shape[2]], signal[1] = short[0], long[0]
    measured = torch.ones(2, long.shape[2]).bool()
    measured[0, short.shape[2]:] = False
    both = cut(signal, torch.tensor([3.0, 1.5]), measured, 17.64, 24)
    alone = cut(short, torch.tensor([3.0]), torch.ones(1, short.shape[2]).bool(), 17.64, 24)
    n = alone.taps.shape[2]
    assert torch.allclose(both.taps[:1, :, :n], alone.taps, atol=1e-6)
    assert both.valid[0].tolist() == [True] * 5 + [False] * (both.valid.shape[1] - 5)
    assert both.valid[1, :5].all()
