"""Neighbors: who reaches whom, and that waves are predicted from their neighbors at once."""

import math

import torch

from neurofm.nn.neighbors import Neighbors


def reached(layer: Neighbors, source: int, frame: int) -> set[tuple[int, int]]:
    """(source, frame) whose output depends on the input at `source`, `frame`."""
    x = torch.randn(1, 4, 12, 8)
    other = x.clone()
    other[0, source, frame] += 1.0
    with torch.no_grad():
        moved = (layer(other) - layer(x)).abs().sum(-1)[0] > 1e-6
    return {tuple(place) for place in moved.nonzero().tolist()}


def test_near_frames_of_a_source_and_once_learned_other_sources_of_a_frame():
    torch.manual_seed(0)
    layer = Neighbors(8, n_sources=4, n_frames=5, n_heads=2)
    frames = {(1, frame) for frame in range(4, 9)}
    assert reached(layer, 1, 6) == frames
    torch.nn.init.normal_(layer.between)
    assert reached(layer, 1, 6) == frames | {(source, 6) for source in range(4)}


def test_a_hidden_frame_of_a_wave_is_predicted_from_its_neighbors():
    """A wave of any phase in two sources; one of them is hidden at a frame in the middle."""
    torch.manual_seed(0)
    layer = Neighbors(8, n_sources=2, n_frames=5, n_heads=2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
    time, place = torch.arange(9)[:, None], torch.arange(8)
    for step in range(300):
        random = torch.Generator().manual_seed(step)
        phase = 2 * math.pi * torch.rand(64, 1, 1, 1, generator=random)
        wave = torch.cos(0.7 * time + 0.3 * place + phase).expand(-1, 2, -1, -1)
        shown = wave.clone()
        shown[:, 0, 4] = 0.0
        error = (layer(shown)[:, 0, 4] - wave[:, 0, 4]).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert error < 0.01 * wave.square().mean()
