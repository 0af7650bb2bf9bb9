"""The lead field: any order and number of channels, hidden channels without influence, physics."""

import pytest
import torch

from neurofm.data.sensors import KINDS
from neurofm.nn.leadfield import LeadField, LeadFieldCodec, spiral
from neurofm.nn.losses import pearson

N_SOURCES = 16


def cap(n: int, batch: int = 2):
    """Geometry, kind and valid of n electrodes over the upper head."""
    place = spiral(n, lowest=-0.3)
    geometry = torch.cat([place, torch.zeros_like(place)], dim=1).expand(batch, -1, -1)
    return geometry, torch.zeros(batch, n, dtype=torch.int64), torch.ones(batch, n).bool()


def smooth_field(place: torch.Tensor, n_times: int = 200, seed: int = 0) -> torch.Tensor:
    """Potentials of a few sources below the scalp, [channel, time]: low spatial rank, no noise."""
    generator = torch.Generator().manual_seed(seed)
    sources = torch.nn.functional.normalize(torch.randn(8, 3, generator=generator), dim=1) * 0.5
    sources[:, 2] = sources[:, 2].abs()
    gain = 1 / torch.cdist(place, sources)
    signal = gain @ torch.randn(8, n_times, generator=generator)
    return signal - signal.mean(0)


@pytest.fixture
def field() -> LeadField:
    torch.manual_seed(0)
    return LeadField(N_SOURCES)


def test_smooth_fields_pass_before_any_training(field):
    geometry, kind, valid = cap(64, batch=1)
    signal = smooth_field(geometry[0, :, :3])[None]
    lead = field(geometry, kind, valid)
    back = lead @ field.sources(signal, lead)
    assert pearson(back, signal).mean() > 0.9


def test_hidden_channels_are_filled_in_from_their_neighbors(field):
    geometry, kind, valid = cap(64, batch=1)
    signal = smooth_field(geometry[0, :, :3])[None]
    seen = valid.clone()
    seen[0, ::4] = False
    sources = field.sources(signal, field(geometry, kind, seen))
    back = field(geometry, kind, valid) @ sources
    assert pearson(back, signal)[~seen].mean() > 0.8


def test_same_sources_from_another_device(field):
    """The same field sampled at 64 and at 40 other places is about the same sources."""
    one, other = cap(64, batch=1), cap(40, batch=1)
    sources = [
        field.sources(smooth_field(geometry[0, :, :3])[None], field(geometry, kind, valid))
        for geometry, kind, valid in (one, other)
    ]
    assert pearson(*sources).mean() > 0.8


def test_order_of_channels_does_not_matter(field):
    geometry, kind, valid = cap(20)
    signal = torch.randn(2, 20, 50)
    order = torch.randperm(20)
    straight = field.sources(signal, field(geometry, kind, valid))
    shuffled = field.sources(
        signal[:, order], field(geometry[:, order], kind[:, order], valid[:, order])
    )
    torch.testing.assert_close(straight, shuffled, rtol=1e-4, atol=1e-4)


def test_padding_changes_nothing(field):
    geometry, kind, valid = cap(20)
    signal = torch.randn(2, 20, 50)
    pad = (0, 0, 0, 7)
    padded = field(
        torch.nn.functional.pad(geometry, pad), torch.nn.functional.pad(kind, (0, 7)),
        torch.nn.functional.pad(valid, (0, 7)),
    )
    straight = field.sources(signal, field(geometry, kind, valid))
    more = field.sources(torch.nn.functional.pad(signal, pad), padded)
    torch.testing.assert_close(straight, more, rtol=0, atol=1e-5)


def test_hidden_channels_have_no_gradient(field):
    geometry, kind, valid = cap(20)
    signal = torch.randn(2, 20, 50, requires_grad=True)
    seen = valid.clone()
    seen[:, 3] = False
    field.sources(signal, field(geometry, kind, seen)).square().sum().backward()
    assert signal.grad[:, 3].abs().max() == 0
    assert signal.grad[:, 4].abs().max() > 0


def test_planar_gradiometer_measures_the_slope(field):
    """Its row is the derivative, along its orientation, of the rows of field sensors nearby."""
    place = torch.nn.functional.normalize(torch.tensor([[0.3, 0.5, 0.8]]), dim=1)
    along = torch.nn.functional.normalize(
        torch.linalg.cross(place, torch.tensor([[1.0, 0.0, 0.0]])), dim=1
    )
    step = 1e-3
    near = torch.cat([place - step * along, place + step * along])
    field_sensors = torch.cat([near, torch.zeros(2, 3)], dim=1)[None]
    planar = torch.cat([place, along], dim=1)[None]
    mag = torch.full((1, 2), KINDS.index("mag"))
    rows = field(field_sensors, mag, torch.ones(1, 2).bool())[0]
    slope = (rows[1] - rows[0]) / (2 * step)
    row = field(planar, torch.full((1, 1), KINDS.index("planar_grad")), torch.ones(1, 1).bool())
    assert torch.nn.functional.cosine_similarity(row[0, 0], slope, dim=0) > 0.999


def test_opposite_orientation_flips_a_gradiometer(field):
    geometry = torch.randn(1, 5, 6)
    flipped = geometry * torch.tensor([1.0, 1, 1, -1, -1, -1])
    kind, seen = torch.full((1, 5), KINDS.index("planar_grad")), torch.ones(1, 5).bool()
    torch.testing.assert_close(field(geometry, kind, seen), -field(flipped, kind, seen))


def test_codec_keeps_relative_amplitudes_and_shapes():
    torch.manual_seed(0)
    codec = LeadFieldCodec(16, N_SOURCES, 4, [8, 4, 2], 5, 5)
    geometry, kind, valid = cap(20)
    windows = torch.randn(2, 20, 3, 128)
    features = codec.encode(windows, geometry, kind, valid)
    assert features.shape == (2, N_SOURCES, 3, 2, 16)
    assert codec.decode(features, geometry, kind, valid).shape == windows.shape
    assert codec.source_embedding().shape == (N_SOURCES, 16)
