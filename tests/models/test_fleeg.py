"""FLEEG: sites of any shape end in the same frames, and share what the paper says they share."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import neurofm
from neurofm.data.batch import collate
from neurofm.data.contract import InputContract
from neurofm.models.fleeg import FLEEG, FLEEGConfig, sizes, widths
from neurofm.nn import example

LENGTHS = (50, 64, 100, 128, 200, 256, 333, 400, 501, 640, 1000, 1125, 1536, 2000, 4096, 8000)


@pytest.mark.parametrize("shared_blocks", [1, 2, 3])
def test_any_length_comes_to_the_same_frames(shared_blocks):
    for n_times in LENGTHS:
        kernels, pools = sizes(n_times, shared_blocks)
        assert widths(n_times, kernels, pools)[-1] == 7
        assert set(kernels[4 - shared_blocks :]) == {10}
        assert min(kernels) >= 3
        assert min(pools) >= 1


def test_a_thousand_samples_give_deepconvnet():
    assert sizes(1000) == ((10, 10, 10, 10), (3, 3, 3, 3))


@pytest.mark.parametrize(("n_times", "words"), [(15, "longer"), (10**7, "shorter")])
def test_what_cannot_fit_says_why(n_times, words):
    with pytest.raises(ValueError, match=f"samples can; give {words} windows"):
        FLEEGConfig(n_times=n_times)
    with pytest.raises(ValueError, match="wanted 7 after the last"):
        FLEEGConfig(n_times=400, kernels=(10, 10, 10, 10), pools=(3, 3, 3, 3))


def test_the_published_share_is_that_of_the_paper():
    """Conv 100 → 200 and classifier: 202,802 numbers, 0.81 MB; no batch norm among them."""
    sites = [FLEEG(FLEEGConfig(ch_names=[f"E{k}" for k in range(n)], n_times=n_times))
             for n, n_times in ((22, 1000), (62, 750), (128, 2000), (3, 200))]
    shapes = [{name: site.state_dict()[name].shape for name in site.shared_names()}
              for site in sites]
    assert all(one == shapes[0] for one in shapes)
    assert sum(shape.numel() for shape in shapes[0].values()) == 202_802
    assert not any("norm" in name for name in shapes[0])
    more = FLEEG(FLEEGConfig(n_times=500, shared_blocks=3, shared_norms=True)).shared_names()
    assert sum("norms" in name for name in more) == 12
    assert {"convolutions.0.weight", "convolutions.1.weight"} < set(more)


def test_channels_are_found_by_name():
    """In whatever order and beside whatever others, windows of unlike montages side by side."""
    torch.manual_seed(0)
    model = FLEEG(FLEEGConfig(ch_names=["C3", "Cz", "C4"], n_times=200)).eval()
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((3, 200))
    caps = ("C3", "Cz", "C4"), ("C4", "Fz", "C3", "Cz"), ("Cz", "C4", "C3")
    windows = [np.stack([signal[("C3", "Cz", "C4").index(name)] if name != "Fz" else
                         rng.standard_normal(200) for name in names]) for names in caps]
    batch = collate(windows, [example.layout("eeg", names) for names in caps], "head")
    found = model.predict(batch)
    assert torch.allclose(found, found[:1].expand(3, -1), atol=1e-6)
    expected = model.logits(torch.from_numpy(signal).float()[None]).softmax(dim=-1)
    assert torch.allclose(found[:1], expected, atol=1e-6)
    assert torch.equal(model.name(model.pool(batch)), found)
    assert model.embed(batch).shape == (3, 1, 7, 200)
    assert torch.allclose(model.embed(batch)[:, 0].mT.flatten(1), model.pool(batch))
    lacking = collate(windows[:1], [example.layout("eeg", ("C3", "Fz", "C4"))], "head")
    with pytest.raises(ValueError, match="the recording has no Cz"):
        model.predict(lacking)


def test_one_convolution_is_that_in_time_and_then_in_space():
    """Merged filters, against the layers of DeepConvNet one after another."""
    torch.manual_seed(0)
    model = FLEEG(FLEEGConfig(ch_names=list("abcde"), n_times=400)).eval()
    model.start(3 + 5 * torch.randn(8, 5, 400), torch.tensor([0, 1] * 4))
    signal = torch.randn(6, 5, 400)
    found = model.logits(signal)  # first: it shortens weights
    x = (signal - model.mean) * model.scale
    x = F.conv2d(x[:, None], model.temporal[:, None, None])  # [batch, filter, channel, time]
    x = F.conv2d(x, model.spatial[..., None])[:, :, 0]
    for block in range(4):
        if block:
            x = model.convolutions[block - 1](x)
        x = F.max_pool1d(F.elu(model.norms[block](x)), model.config.pools[block])
    expected = model.classifier(x.flatten(1))
    assert torch.allclose(found, expected, atol=1e-5)


def test_statistics_are_the_sites_own_and_norms_are_bounded():
    model = FLEEG(FLEEGConfig(ch_names=["a", "b"], n_times=256)).train()
    signal = torch.stack([torch.randn(40, 256) * 3 + 7, torch.zeros(40, 256)], dim=1)
    model.start(signal, torch.tensor([0] * 30 + [1] * 10))
    scaled = (signal - model.mean) * model.scale
    assert scaled[:, 0].mean().abs() < 1e-3
    assert scaled[:, 0].std() == pytest.approx(1, abs=1e-3)
    assert torch.isfinite(scaled).all()
    assert model.class_weight.tolist() == pytest.approx([40 / 60, 2.0])
    with torch.no_grad():
        model.convolutions[2].weight *= 100
        model.classifier.weight *= 100
    model.logits(signal)
    assert model.convolutions[2].weight.flatten(1).norm(dim=1).max() < 2 + 1e-4
    assert model.classifier.weight.norm(dim=1).max() < 0.5 + 1e-4
    with pytest.raises(ValueError, match="takes 2 channels of 256 samples"):
        model.logits(signal[..., :200])


def test_saved_and_loaded(tmp_path):
    model = FLEEG(FLEEGConfig(ch_names=["a", "b"], n_times=300, sfreq=100.0,
                              classes=["left", "right"])).eval()
    model.contract = InputContract(sfreq=100.0, window_s=3.0, lowpass_hz=40.0)
    model.save_pretrained(tmp_path / "site")
    again = neurofm.load(tmp_path / "site")
    signal = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 2, 300))).float()
    assert torch.equal(again.logits(signal), model.logits(signal))
    assert again.config.kernels == model.config.kernels
    assert set(load_file(tmp_path / "site" / "model.safetensors")) == set(model.state_dict())
