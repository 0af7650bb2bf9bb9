"""NeuroBOLT: our numbers against the reference implementation's, from the same weights, read where
they were published and through the checkpoint that `neurofm import` makes of them."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import neurofm
from neurofm import published
from neurofm.data.batch import Batch
from neurofm.nn.labram_channels import NAMES
from neurofm.published.command import main as import_published


@pytest.fixture
def folder(golden):
    return golden("neurobolt")


@pytest.fixture
def io(folder):
    return load_file(folder / "io.safetensors")


@pytest.fixture
def settings(folder):
    return json.loads((folder / "config.json").read_text())


@pytest.fixture
def weights(folder):
    return load_file(folder / "weights.safetensors")


def written(out, settings, weights):
    out.mkdir(exist_ok=True)
    (out / "config.json").write_text(json.dumps(settings))
    save_file({name: value.contiguous() for name, value in weights.items()},
              out / "weights.safetensors")
    return out


def difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    assert found.shape == wanted.shape
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def names(io) -> list[str]:
    return [NAMES[row - 1] for row in io["input_channels"].tolist()[1:]]


def volts(io) -> Batch:
    """What the reference was given, as a corpus by the contract holds it."""
    n, channels, _ = io["x"].shape
    return Batch(io["x"] * 1e-4, torch.full((n, channels, 6), torch.nan),
                 torch.zeros(n, channels, dtype=torch.int64),
                 torch.ones(n, channels, dtype=torch.bool))


def test_neurobolt_parity_of_both_branches(folder, io):
    model = published.load("neurobolt", folder)
    rows = io["input_channels"][1:].expand(len(io["x"]), -1)
    with torch.no_grad():
        spatiotemporal, spectral = model.branches(io["x"], rows)
        assert difference(spatiotemporal, io["spatiotemporal"]) < 1e-4
        assert difference(spectral, io["spectral"]) < 1e-4
        assert difference(model.read_out(spatiotemporal, spectral), io["y"]) < 1e-4


def test_neurobolt_parity_through_a_checkpoint(settings, weights, io, tmp_path):
    source = written(tmp_path / "named", {**settings, "channels": names(io)}, weights)
    out = tmp_path / "out"
    assert import_published([str(source), "--family=neurobolt", f"--out={out}"]) == 0
    model = neurofm.load(out)
    with torch.no_grad():
        assert difference(model.predict(volts(io)), io["y"]) < 1e-4
    for name, value in published.load("neurobolt", source).state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert model.contract.window_s == settings["EEG_length"] / 200
    card = (out / "README.md").read_text()
    assert "non-commercial" in card


def test_neurobolt_parity_with_other_sizes(settings, weights, io, tmp_path):
    """A block whose scales are 0 and windows whose weights are 0 add nothing, and a region does not
    know of the others: so these are the reference's numbers, too."""
    depth, level, rois = settings["depth"], settings["win_level"] + 1, settings["num_roi"] - 1
    for name, value in list(weights.items()):
        if name.startswith(f"blocks.{depth - 1}."):
            new = name.replace(f"blocks.{depth - 1}.", f"blocks.{depth}.")
            weights[new] = torch.zeros_like(value) if "gamma" in name else value.clone()
        if name.startswith("head."):
            weights[name] = value[:rois]
    length, window = settings["EEG_length"], 100 * 2**level
    if window > length or rois < 1:
        pytest.skip("these weights have no room for another scale, or only one region")
    for part, shape in (("patch_embedding", (settings["embed_dim"], window // 2 + 1)),
                        ("ts_embedding", (length // 100, length // window))):
        weights[f"mss_module.{part}.{level}.projection.weight"] = torch.zeros(shape)
        weights[f"mss_module.{part}.{level}.projection.bias"] = torch.zeros(shape[0])
    changed = {"depth": depth + 1, "win_level": level, "num_roi": rois, "channels": names(io)}
    model = published.load("neurobolt", written(tmp_path, settings | changed, weights))
    assert (model.config.n_blocks, model.config.n_scales) == (depth + 1, level + 1)
    with torch.no_grad():
        assert difference(model.predict(volts(io)), io["y"][:, :rois]) < 1e-4


SPECTRAL = "mss_module.transformer.layers.layers.1."


@pytest.mark.parametrize(("change", "said"), [
    (lambda c, w: w.pop("head.bias"), "missing head.bias"),
    (lambda c, w: w.pop("mss_module.index"), "missing mss_module.index"),
    (lambda c, w: w.pop("cls_token"), "missing cls_token"),
    (lambda c, w: w.update(another=torch.zeros(2)), "unexpected another"),
    (lambda c, w: w.update({SPECTRAL + "0.fn.to_x.weight": w.pop(SPECTRAL + "0.fn.to_k.weight")}),
     "missing .*to_k.weight; unexpected .*to_x.weight"),
    (lambda c, w: w.update({SPECTRAL + "1.fn.fn.w1.bias": torch.zeros(3)}),
     r"w1.bias is \[3\], wanted"),
    (lambda c, w: c.update(num_roi=c["num_roi"] + 1), r"head.weight is .*, wanted"),
    (lambda c, w: c.update(win_level=c["win_level"] - 1), r"unexpected mss_module.patch_embedding"),
    (lambda c, w: c.update(win_level=9), "windows of the last scale"),
    (lambda c, w: c.update(EEG_length=3300), "n_times must be"),
    (lambda c, w: w["mss_module.index"].add_(1), "mss_module.index holds other numbers"),
    (lambda c, w: w["mss_module.positional_encoding.pe"].mul_(2), "pe holds other numbers"),
    (lambda c, w: c.update(roi=3), r"unknown arguments \['roi'\]"),
])
def test_bad_input_neurobolt_is_loaded_strictly(released, tmp_path, change, said):
    settings = json.loads((released("neurobolt") / "config.json").read_text())
    weights = load_file(released("neurobolt") / "weights.safetensors")
    change(settings, weights)
    with pytest.raises(ValueError, match=said):
        published.load("neurobolt", written(tmp_path, settings, weights))
