"""NeuroBOLT and the LaBraM inside: regions, electrodes, what must not matter, errors that teach."""

from dataclasses import replace

import pytest
import torch

from neurofm.data.batch import Batch
from neurofm.data.contract import InputContract
from neurofm.data.sensors import HEAD_CENTER_M, HEAD_RADIUS_M
from neurofm.models.decoder import Decoder, DecoderConfig
from neurofm.models.labram import LaBraM, LaBraMConfig
from neurofm.models.neurobolt import NeuroBOLT, NeuroBOLTConfig
from neurofm.nn.labram_channels import PLACES_MM
from tests.support.small import padded

NAMES = ("FZ", "C3", "CZ", "C4", "PZ")
ENCODER = {"n_filters": 4, "dim": 100, "n_blocks": 2, "n_heads": 5}


def make(n_rois: int = 3, seed: int = 0, **fields) -> NeuroBOLT:
    torch.manual_seed(seed)
    small = {"n_times": 400, "n_scales": 2, "n_spectral_blocks": 1, "n_spectral_heads": 5,
             "channels": NAMES}
    model = NeuroBOLT(NeuroBOLTConfig(**{**ENCODER, **small, "n_rois": n_rois, **fields}))
    return model.eval()


def labram(**fields) -> LaBraM:
    torch.manual_seed(0)
    return LaBraM(LaBraMConfig(**{**ENCODER, **fields})).eval()


def eeg(n: int = 2, n_times: int = 400, names=NAMES, seed: int = 0) -> Batch:
    """Smooth signals of 20 µV about a large offset, at the places of these electrodes."""
    random = torch.Generator().manual_seed(seed)
    signal = torch.randn(n, len(names), n_times, generator=random)
    signal = torch.nn.functional.avg_pool1d(signal, 5, 1, 2) * 45e-6 + 100e-6
    place = torch.tensor([PLACES_MM[name] for name in names]) / 1000
    place = (place - torch.from_numpy(HEAD_CENTER_M)) / HEAD_RADIUS_M
    geometry = torch.cat([place, torch.zeros_like(place)], dim=1).expand(n, -1, -1)
    return Batch(signal, geometry, torch.zeros(n, len(names), dtype=torch.int64),
                 torch.ones(n, len(names), dtype=torch.bool), seed=torch.arange(n))


@pytest.mark.parametrize("n_rois", [1, 7, 64])
def test_neurobolt_any_number_of_regions(n_rois):
    model, batch = make(n_rois), eeg()
    found = model.predict(batch)
    assert found.shape == (2, n_rois)
    loss, metrics = model(replace(batch, target=found.detach() + 2))
    assert loss.item() == pytest.approx(4)
    assert set(metrics) == {"r2"}
    loss, metrics = model(replace(batch, target=found.detach()))
    assert (loss.item(), metrics["r2"].item()) == pytest.approx((0, 1), abs=1e-6)


def rhythms(seed: int, n: int = 32) -> Batch:
    """A rhythm of 10 Hz at one electrode, and its strength as what one region measures, and less of
    it another."""
    random = torch.Generator().manual_seed(seed)
    batch, strength = eeg(n, seed=seed), torch.rand(n, generator=random)
    phase = 2 * torch.pi * torch.rand(n, 1, generator=random)
    wave = torch.sin(2 * torch.pi * 10 / 200 * torch.arange(400) + phase)
    batch.signal[:, 1] += 60e-6 * strength[:, None] * wave
    return replace(batch, target=3 * torch.stack([strength - 0.5, 0.5 - strength], dim=1))


def test_neurobolt_learns_how_strong_a_rhythm_is():
    model = make(2, spectral_dropout=0.0).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(60):
        optimizer.zero_grad()
        model(rhythms(step))[0].backward()
        optimizer.step()
    assert model.eval()(rhythms(1000, n=64))[1]["r2"] > 0.6


def test_neurobolt_regions_that_were_not_measured_leave_the_loss_alone():
    model, batch = make(3), eeg()
    target = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    target[0, 1] = torch.nan
    measured = ~target.isnan()
    loss, metrics = model(replace(batch, target=target))
    wanted = torch.square(model.predict(batch) - target)[measured].mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert metrics["r2"].isfinite()
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    nothing, _ = model(replace(batch, target=torch.full((2, 3), torch.nan)))
    nothing.backward()
    assert nothing.item() == 0


@pytest.mark.parametrize("fields", [{}, {"qkv_bias": True}, {"layer_scale": 0.0}])
def test_neurobolt_gradient_reaches_every_parameter(fields):
    model = make(3, n_times=3200, n_blocks=3, **fields)  # all 16 seconds
    loss, _ = model(replace(eeg(n_times=3200), target=torch.randn(2, 3)))
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    rows = model.encoder.electrode.grad.abs().sum(dim=1)
    assert (rows > 0).sum() == 1 + len(NAMES)  # the class token's, and those of the electrodes


def test_neurobolt_offsets_do_not_matter_and_units_do():
    model, batch = make(), eeg()
    shifted = replace(batch, signal=batch.signal + 3e-4 * torch.arange(5.0)[:, None])
    torch.testing.assert_close(model.predict(shifted), model.predict(batch), atol=1e-4, rtol=0)
    microvolts = replace(batch, signal=batch.signal * 1e6)
    assert (model.predict(microvolts) - model.predict(batch)).abs().max() > 0.01


def test_neurobolt_bad_input_lengths_channels_and_targets():
    model = make()
    for batch, said in (
        (eeg(n_times=600), r"5 channels and 400 samples \(2 s\), got 5 channels and 600 samples"),
        (eeg(names=NAMES[:4]), "got 4 channels and 400 samples"),
        (padded(eeg(names=NAMES[:4]), 1), "got 4 channels and 400 samples"),
    ):
        with pytest.raises(ValueError, match=said):
            model.predict(batch)
    for target, said in ((None, "got None"), (torch.zeros(2, 4), r"3 regions .* got \[2, 4\]")):
        with pytest.raises(ValueError, match=said):
            model(replace(eeg(), target=target))
    loss, _ = make(1)(replace(eeg(), target=torch.zeros(2)))  # one region, one value a window
    assert loss.isfinite()


def test_neurobolt_bad_input_configs():
    for fields, said in (
        ({"channels": ("Cz", "Nowhere")}, "electrode 'Nowhere' is none of the 128"),
        ({"n_channels": 4}, "leave n_channels out"),
        ({"n_times": 500}, "n_times must be"),
        ({"n_times": 3400}, "n_times must be"),
        ({"n_scales": 4}, "windows of the last scale"),
        ({"n_rois": 0}, "n_rois must be"),
        ({"dim": 96}, "dim must be what the convolutions make of a patch, 100"),
        ({"n_spectral_heads": 7}, "n_spectral_heads"),
        ({"n_roi": 3}, "did you mean 'n_rois'"),
    ):
        with pytest.raises(ValueError, match=said):
            make(**fields)


def test_neurobolt_electrodes_by_place_are_those_by_name():
    by_name, by_place = make(), make(channels=(), n_channels=5)
    by_place.load_state_dict(by_name.state_dict())
    assert torch.equal(by_name.predict(eeg()), by_place.predict(eeg()))
    assert (by_name.reads_places, by_place.reads_places) == (False, True)
    batch = eeg()
    geometry = batch.geometry.clone()
    geometry[1, 3, :3] = geometry[1, 1, :3]
    with pytest.raises(ValueError, match=r"channel [13] of window 1 lies at no electrode"):
        by_place.predict(replace(batch, geometry=geometry))


def test_neurobolt_begins_with_a_labram():
    inside = labram(channels=("Oz",))
    inside.contract = InputContract(sfreq=200.0, lowpass_hz=75.0)
    config = make().config
    model = NeuroBOLT(config, inside)
    assert model.contract == inside.contract
    for name, value in inside.encoder.state_dict().items():
        assert torch.equal(value, model.encoder.state_dict()[name]), name
    with pytest.raises(ValueError, match=r"n_blocks \(1 there, 2 here\)"):
        NeuroBOLT(config, labram(n_blocks=1))


def test_neurobolt_layers_learn_at_their_own_rate():
    model = make(layer_decay=0.5)
    assert model.lr_scale("head.weight") == model.lr_scale("spectral.channel") == 1
    assert model.lr_scale("encoder.blocks.1.up.weight") == 0.5
    assert model.lr_scale("encoder.patches.norms.0.bias") == 0.5**3


def test_neurobolt_round_trip_is_exact(tmp_path):
    model = make(4)
    model.contract = InputContract(sfreq=200.0, lowpass_hz=75.0, scale="none")
    model.save_pretrained(tmp_path)
    again = NeuroBOLT.from_pretrained(tmp_path)
    assert again.contract == model.contract
    assert again.config.channels == NAMES
    assert torch.equal(again.predict(eeg()), model.predict(eeg()))


# ------------------------------------------------------------------------------------ LaBraM alone


def test_neurobolt_labram_padding_and_order_of_channels_do_not_matter():
    model, batch = labram(), eeg()
    wanted = model.pooled(batch, "mean")
    more = padded(batch, 3, filling=5.0)
    torch.testing.assert_close(model.pooled(more, "mean"), wanted, atol=1e-5, rtol=0)
    features = model.embed(more)
    assert features.shape == (2, 8, 2, 100)
    assert (features[:, 5:] == 0).all()
    torch.testing.assert_close(features[:, :5], model.embed(batch), atol=1e-5, rtol=0)
    order = [3, 0, 4, 1, 2]
    turned = Batch(batch.signal[:, order], batch.geometry[:, order], batch.kind, batch.valid)
    torch.testing.assert_close(model.pooled(turned, "mean"), wanted, atol=1e-5, rtol=0)


def test_neurobolt_labram_leaves_out_what_lies_at_no_electrode():
    model, batch = labram(), eeg()
    wanted = model.pooled(eeg(names=NAMES[:4]), "mean")
    batch.signal[:, :4] = eeg(names=NAMES[:4]).signal
    geometry = batch.geometry.clone()
    geometry[:, 4, :3] = 0.0  # the middle of the head
    found = model.pooled(replace(batch, geometry=geometry), "mean")
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_neurobolt_labram_bad_input():
    model, batch = labram(), eeg()
    with pytest.raises(ValueError, match=r"1 to 16 whole patches of 200 samples .* got .* 500"):
        model.pooled(eeg(n_times=500), "mean")
    with pytest.raises(ValueError, match="whole patches"):
        model.pooled(eeg(n_times=3400), "mean")
    with pytest.raises(ValueError, match="window 0 it is not known where electrodes lie"):
        model.pooled(replace(batch, geometry=torch.full((2, 5, 6), torch.nan)), "mean")
    with pytest.raises(ValueError, match=r"none of 5 electrodes lies within 1\.5 cm"):
        model.pooled(replace(batch, geometry=torch.zeros(2, 5, 6), source=["a", "b"]), "mean")
    with pytest.raises(ValueError, match=r"names 2 electrodes .* windows have 5 channels"):
        labram(channels=("Cz", "Pz")).pooled(batch, "mean")
    with pytest.raises(ValueError, match="its own training is not built"):
        model(batch)


@pytest.mark.parametrize(("mode", "pool"), [("frozen", "mean"), ("full", "mean"),
                                            ("full", "attention")])
def test_neurobolt_labram_under_a_decoder(mode, pool):
    backbone = labram()
    config = DecoderConfig(backbone.config, classes=("a", "b"), mode=mode, pool=pool,
                           head="mlp" if pool == "mean" else "linear")
    model = Decoder(config, backbone)
    loss, _ = model(replace(eeg(), target=torch.tensor([0, 1])))
    loss.backward()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert any(name.startswith("backbone.") for name in trained) == (mode == "full")
    assert model.lr_scale("backbone.encoder.electrode") < model.lr_scale(
        "backbone.encoder.blocks.1.up.weight") < model.lr_scale("head.layers.1.weight")


def test_neurobolt_labram_round_trip_and_bfloat16(tmp_path):
    model = labram()
    model.save_pretrained(tmp_path)
    again = LaBraM.from_pretrained(tmp_path)
    assert torch.equal(again.pooled(eeg(), "mean"), model.pooled(eeg(), "mean"))
    half = LaBraM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    torch.testing.assert_close(half.pooled(eeg(), "mean"), model.pooled(eeg(), "mean"),
                               atol=0.1, rtol=0.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.pooled(eeg(), "mean").isfinite().all()
        assert make().predict(eeg()).isfinite().all()
