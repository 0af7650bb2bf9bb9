"""SEANet: lengths, padding, chunks, weight norm."""

import pytest
import torch

from neurofm.nn import seanet
from neurofm.nn.seanet import Conv, SEANetDecoder, SEANetEncoder, TransposedConv, reflect_pad


@pytest.mark.parametrize("time", [128, 64, 130, 72])
def test_frames_are_window_over_ratios_rounded_up(time):
    encoder, decoder = (cls(8, 4, [4, 4, 2], 5, 5) for cls in (SEANetEncoder, SEANetDecoder))
    features = encoder(torch.randn(3, time))
    assert features.shape == (3, -(-time // 32), 8)
    assert decoder(features).shape == (3, features.shape[1] * 32)


def test_reflection_of_a_signal_shorter_than_its_padding():
    x = torch.tensor([1.0, 2.0]).view(1, 2, 1)
    assert reflect_pad(x, 1, 1).flatten().tolist() == [2.0, 1.0, 2.0, 1.0]
    # lengthened by zeros to 1 2 0 0, reflected to 0 0 2 1 2 0 0 0 2 1, two cut off at the end
    assert reflect_pad(x, 3, 3).flatten().tolist() == [0.0, 0.0, 2.0, 1.0, 2.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(("left", "right"), [(1, 1), (2, 0), (0, 3), (4, 4)])
def test_reflection_is_torchs_own(left, right):
    x = torch.randn(2, 5, 3)
    theirs = torch.nn.functional.pad(x.mT, (left, right), mode="reflect").mT
    assert torch.equal(reflect_pad(x, left, right), theirs)


def test_weight_norm_gain_is_the_length_of_a_filter():
    for layer in (Conv(3, 5, 3), TransposedConv(3, 5, 4, 2)):
        with torch.no_grad():
            layer.gain.copy_(torch.arange(1.0, 1 + len(layer.gain)).view_as(layer.gain))
            layer.direction.mul_(7.0)
        lengths = layer.weight().flatten(1).norm(dim=1)
        torch.testing.assert_close(lengths, layer.gain.flatten())


def test_chunks_change_nothing(monkeypatch):
    torch.manual_seed(0)
    encoder, decoder = (cls(8, 4, [4, 2], 5, 5) for cls in (SEANetEncoder, SEANetDecoder))
    x = torch.randn(11, 64)
    features = encoder(x)
    signals = decoder(features)
    monkeypatch.setattr(seanet, "CPU_CHUNK", 4 * 4 * 64)  # four rows
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), features)
        torch.testing.assert_close(decoder(features), signals)


def test_inference_follows_weights_that_change():
    """Nothing folded for speed outlives a call."""
    encoder, x = SEANetEncoder(8, 4, [4, 2], 5, 5), torch.randn(100, 64)
    with torch.no_grad():
        encoder(x)
        encoder.layers[0].gain.mul_(2.0)
        after = encoder(x)
    torch.testing.assert_close(after, encoder(x))  # with gradients: nothing is folded


def test_input_is_left_alone_without_gradients():
    encoder, x = SEANetEncoder(8, 4, [4, 2], 5, 5), torch.randn(5, 64)
    kept = x.clone()
    with torch.no_grad():
        encoder(x)
    assert torch.equal(x, kept)


def test_gradients_reach_all_weights():
    encoder, decoder = (cls(8, 4, [4, 2], 5, 5) for cls in (SEANetEncoder, SEANetDecoder))
    decoder(encoder(torch.randn(3, 64))).square().sum().backward()
    for module in (encoder, decoder):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
