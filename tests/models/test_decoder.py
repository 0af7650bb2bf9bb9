"""Decoder: what trains, what it takes, and that it comes back from disk as it was."""

import pytest
import torch
from transformers import AutoModel

import neurofm
from neurofm.data.batch import Tokens
from neurofm.data.contract import InputContract
from neurofm.models.brainomni import BrainOmni, BrainOmniConfig
from neurofm.models.decoder import Decoder, DecoderConfig
from neurofm.models.decoder_head import Pooled
from neurofm.nn.second_order import log_gram
from neurofm.training.schedule import parameter_groups
from tests.support import small


def make(
    mode: str = "frozen", head: str = "linear", classes=("left", "right", "rest"),
    pool: str = "covariance",
) -> Decoder:
    tokenizer = small.tokenizer()
    backbone = BrainOmni(BrainOmniConfig(dim=32, n_heads=4, n_blocks=3), tokenizer=tokenizer)
    backbone.contract = InputContract(window_s=4.0)
    torch.manual_seed(1)
    return Decoder(DecoderConfig(classes=classes, mode=mode, pool=pool, head=head), backbone).eval()


def tokens(n: int = 6, frames: int = 24, seed: int = 0) -> Tokens:
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(16, (n, 4, frames, 3), generator=random)
    return Tokens(ids, target=torch.arange(n) % 3)


@pytest.mark.parametrize("mode", ["frozen", "full"])
@pytest.mark.parametrize("head", ["mlp", "linear"])
@pytest.mark.parametrize("pool", ["covariances", "covariance", "mean"])
def test_comes_back_from_disk(tmp_path, mode, head, pool):
    decoder = make(mode, head, pool=pool)
    assert decoder.pool(tokens()).shape == (6, decoder.config.n_features)
    decoder.head.fit(decoder.pool(tokens()), tokens().target)
    decoder.save_pretrained(tmp_path)
    for loaded in (neurofm.load(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert isinstance(loaded, Decoder)
        assert loaded.classes == ("left", "right", "rest")
        assert loaded.contract == decoder.contract
        assert torch.equal(loaded.predict(tokens()), decoder.predict(tokens()))
        trains = {name: p.requires_grad for name, p in decoder.named_parameters()}
        assert {name: p.requires_grad for name, p in loaded.named_parameters()} == trains


def test_only_what_the_features_depend_on_trains():
    for mode, expected in (("frozen", ("head.",)), ("full", ("head.", "backbone."))):
        decoder = make(mode).train()
        loss, _ = decoder(tokens())
        loss.backward()
        for name, parameter in decoder.named_parameters():
            assert parameter.requires_grad == (parameter.grad is not None), name
            assert not (name.startswith("backbone.tokenizer") and parameter.requires_grad), name
            assert not parameter.requires_grad or name.startswith(expected), name
        assert decoder.head.training
        assert not any(module.training for module in decoder.backbone.modules())


def test_loss_is_the_mean_over_windows_however_they_are_cut():
    decoder = make()
    decoder.head.fit(decoder.pool(tokens(9)), tokens(9).target)
    whole, cut = tokens(9), tokens(9)
    parts = [Tokens(cut.ids[i : i + 3], target=cut.target[[0, 0, 1]]) for i in (0, 3, 6)]
    whole.target = torch.cat([part.target for part in parts])
    mean = sum(decoder(part)[0] for part in parts) / 3
    assert torch.allclose(decoder(whole)[0], mean, atol=1e-6)


@pytest.mark.parametrize("frames", [8, 24, 100])
def test_windows_of_any_length(frames):
    probability = make().predict(tokens(frames=frames))
    assert probability.shape == (6, 3)
    assert torch.allclose(probability.sum(dim=1), torch.ones(6))


def test_covariances_are_those_of_features_and_of_codes():
    decoder, batch = make(pool="covariances"), tokens()
    found, n = decoder.pool(batch), 4 * 5 // 2
    assert torch.equal(found[:, :n], log_gram(decoder.embed(batch)))
    codes = decoder.backbone.tokenizer.quantizer.codes(batch.ids)
    assert torch.equal(found[:, n : 2 * n], log_gram(codes))
    n_groups = decoder.config.backbone.n_waveforms
    assert found.shape[1] == decoder.config.n_features == n * (2 + n_groups)
    assert torch.equal(found[:, :n], make(pool="covariance").pool(batch))
    full = make("full", pool="covariances").train()
    full(batch)[0].backward()  # codes take nothing of the gradient from the features
    assert full.backbone.blocks[0].over_sources.qkv.weight.grad.abs().max() > 0


def test_cached_features_give_the_same_loss():
    decoder = make()
    pooled = Pooled(decoder.pool(tokens()), tokens().target)
    assert torch.equal(decoder(tokens())[0], decoder.head(pooled)[0])


def test_order_of_channels_and_padding_change_nothing():
    decoder, batch = make(), small.batch()
    order = torch.randperm(batch.signal.shape[1], generator=torch.Generator().manual_seed(0))
    shuffled = small.batch()
    for name in ("signal", "geometry", "kind", "valid"):
        setattr(shuffled, name, getattr(batch, name)[:, order])
    wanted = decoder.predict(batch)
    assert wanted.std() > 0
    assert torch.allclose(decoder.predict(shuffled), wanted, atol=1e-5)
    assert torch.allclose(decoder.predict(small.padded(batch, 3)), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": ("one",)}, "at least two"),
        ({"classes": ("a", "a")}, "different"),
        ({"mode": "half"}, "frozen"),
        ({"head": "deep"}, "linear"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"n_hidden": 3}, "hidden_dim"),
    ],
)
def test_bad_input_config(fields, message):
    with pytest.raises(ValueError, match=message):
        DecoderConfig(**fields)


def test_bad_input_without_target():
    batch = tokens()
    batch.target = None
    with pytest.raises(ValueError, match="target"):
        make()(batch)


def test_layers_further_from_the_head_learn_more_slowly():
    decoder = make("full")
    scale = {name: decoder.lr_scale(name) for name, p in decoder.named_parameters()
             if p.requires_grad}
    assert scale["head.layers.1.weight"] == 1.0
    assert scale["backbone.blocks.1.over_time.qkv.weight"] == 0.75
    assert scale["backbone.blocks.0.over_time.qkv.weight"] == 0.75**2
    assert scale["backbone.project.weight"] == 0.75**3
    groups = parameter_groups(decoder, 0.1)
    assert {group["lr_scale"] for group in groups} == {1.0, 0.75, 0.75**2, 0.75**3}
    assert sum(len(group["params"]) for group in groups) == len(scale)


def test_temperature_makes_probabilities_right_without_changing_the_class():
    """Logits five times too large: the temperature found is near five."""
    decoder, random = make(classes=("a", "b"), head="linear"), torch.Generator().manual_seed(0)
    n = decoder.config.n_features
    features = torch.randn(4000, n, generator=random)
    weight = torch.randn(n, generator=random) / n**0.5
    p = torch.sigmoid(features @ weight)
    target = (torch.rand(4000, generator=random) < p).long()
    with torch.no_grad():
        layer = decoder.head.layers[1]
        layer.weight.copy_(torch.stack([-weight, weight]) * 2.5)
        layer.bias.zero_()
    named = decoder.head.predict(features).argmax(dim=1)
    decoder.head.calibrate(features, target)
    assert 4 < decoder.head.temperature.item() < 6
    assert torch.equal(decoder.head.predict(features).argmax(dim=1), named)
    assert torch.allclose(decoder.head.predict(features)[:, 1], p, atol=0.1)
