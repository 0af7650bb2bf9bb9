"""LaBraM, which NeuroBOLT stands on: our numbers against the reference implementation's, read where
they were published and through the checkpoint that `neurofm import` makes of them."""

import argparse
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import neurofm
from neurofm import checkpoints, published
from neurofm.data.batch import Batch
from neurofm.nn.labram_channels import NAMES
from neurofm.published.command import main as import_published


@pytest.fixture
def folder(golden):
    return golden("labram")


@pytest.fixture
def io(folder):
    return load_file(folder / "io.safetensors")


def difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    assert found.shape == wanted.shape
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def named(folder, io, out):
    """The folder again, with the names of the electrodes in its config."""
    out.mkdir()
    settings = json.loads((folder / "config.json").read_text())
    settings["channels"] = [NAMES[row - 1] for row in io["input_channels"].tolist()[1:]]
    (out / "config.json").write_text(json.dumps(settings))
    (out / "weights.safetensors").write_bytes((folder / "weights.safetensors").read_bytes())
    return out


def volts(io) -> Batch:
    """What the reference was given, as a corpus by the contract holds it."""
    n, channels, _ = io["x"].shape
    return Batch(io["x"] * 1e-4, torch.full((n, channels, 6), torch.nan),
                 torch.zeros(n, channels, dtype=torch.int64),
                 torch.ones(n, channels, dtype=torch.bool))


def as_published(folder, out, norm="norm"):
    """A training checkpoint as `labram-base.pth` is: the encoder behind "student.", its last norm
    by the name it bears there, what was trained beside it, and how. Nothing else in the folder."""
    weights = {f"student.{name.replace('fc_norm', norm)}": value
               for name, value in load_file(folder / "weights.safetensors").items()}
    more = {"student.mask_token": torch.randn(1, 1, 4), "student.lm_head.weight": torch.randn(9, 4),
            "lm_head.weight": torch.randn(9, 4), "projection_head.0.bias": torch.randn(4)}
    out.mkdir()
    torch.save({"model": weights | more, "epoch": 3, "args": argparse.Namespace(lr=1e-3)},
               out / "labram-base.pth")
    return out, sorted(more)


def test_labram_neurobolt_parity_of_tokens_and_features(folder, io):
    model = published.load("labram", folder)
    rows = io["input_channels"][1:].expand(len(io["x"]), -1)
    with torch.no_grad():
        tokens = model.encoder(io["x"], rows)
        assert difference(model.encoder.norm(tokens), io["tokens"]) < 1e-4
        assert difference(model.encoder.pooled(tokens, rows), io["features"]) < 1e-4


def test_labram_neurobolt_parity_through_a_checkpoint(folder, io, tmp_path):
    source, out = named(folder, io, tmp_path / "named"), tmp_path / "out"
    assert import_published([str(source), "--family=labram", f"--out={out}"]) == 0
    model, batch = neurofm.load(out), volts(io)
    assert not model.reads_places
    with torch.no_grad():
        assert difference(model.pooled(batch, "mean"), io["features"]) < 1e-4
        patches = io["tokens"][:, 1:]
        assert difference(model.pooled(batch, "attention"), patches) < 1e-4
        assert difference(model.embed(batch).flatten(1, 2), patches) < 1e-4
        last = model.encoder.norm(model.embed_at(batch, model.layer_names[-1]))
        assert difference(last.flatten(1, 2), patches) < 1e-4
    for name, value in published.load("labram", source).state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert (model.contract.sfreq, model.contract.scale) == (200.0, "none")
    settings = json.loads((folder / "config.json").read_text())
    assert model.contract.window_s == settings["EEG_size"] / settings["patch_size"]
    (entry,) = checkpoints.read_ledger(out)["published"]
    assert entry["licence"] == "MIT"
    assert "eegmmidb" in entry["datasets"]


def test_labram_neurobolt_parity_of_names_and_rows(folder):
    listed = json.loads((folder / "channels.json").read_text())["names"]
    assert tuple(listed[: len(NAMES)]) == NAMES
    assert len(published.load("labram", folder).encoder.electrode) == 1 + len(NAMES)


@pytest.mark.parametrize("norm", ["norm", "fc_norm"])
def test_labram_neurobolt_parity_of_the_training_checkpoint(folder, tmp_path, capsys, norm):
    """Alone in its folder: its shape is read off its tensors, and what is left out is said."""
    source, more = as_published(folder, tmp_path / "checkpoints", norm)
    out = tmp_path / "out"
    assert import_published([str(source), "--family=labram", f"--out={out}"]) == 0
    said = capsys.readouterr().out
    assert f"left out, since features need none of it: {', '.join(more)}" in said
    found, wanted = neurofm.load(out), published.load("labram", folder)
    shape = {key: getattr(wanted.config, key) for key in ("dim", "n_blocks", "n_heads", "patch")}
    assert {key: getattr(found.config, key) for key in shape} == shape
    for name, value in wanted.state_dict().items():
        assert torch.equal(value, found.state_dict()[name]), name


@pytest.mark.parametrize(("change", "said"), [
    (lambda c, w: w.pop("time_embed"), "missing time_embed"),
    (lambda c, w: w.update({"blocks.0.mlp.fc9.bias": w.pop("blocks.0.mlp.fc1.bias")}),
     "missing blocks.0.mlp.fc1.bias; unexpected blocks.0.mlp.fc9.bias"),
    (lambda c, w: w.update({"blocks.0.attn.q_bias": torch.zeros(1)}),
     "unexpected blocks.0.attn.q_bias"),
    (lambda c, w: w.update(pos_embed=w["pos_embed"][:, :-1].clone()),
     r"pos_embed is \[1, 128, \d+\], wanted \[1, 129, \d+\]"),
    (lambda c, w: w.update({"patch_embed.conv2.weight": w["patch_embed.conv2.weight"][:, :, 0]
                            .clone()}), "patch_embed.conv2.weight is"),
    (lambda c, w: c.update(depth=c["depth"] + 1), r"missing blocks\.\d+\.attn"),
    (lambda c, w: c.update(num_heads=7), "multiple of n_heads"),
    (lambda c, w: c.update(in_chans=8), "in_chans is 8"),
    (lambda c, w: c.update(depths=2), r"unknown arguments \['depths'\]"),
    (lambda c, w: c.update(channels=["Cz", "C99"]), "electrode 'C99' is none of the 128"),
])
def test_bad_input_labram_neurobolt_is_loaded_strictly(released, tmp_path, change, said):
    folder = released("labram")
    settings = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "weights.safetensors")
    change(settings, weights)
    (tmp_path / "config.json").write_text(json.dumps(settings))
    save_file({name: value.contiguous() for name, value in weights.items()},
              tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match=said):
        published.load("labram", tmp_path)


def test_bad_input_labram_neurobolt_files(released, tmp_path):
    folder = released("labram")
    source, _ = as_published(folder, tmp_path / "checkpoints")
    torch.save({"model": {"student.a": torch.zeros(1)}}, source / "labram-base.pth")
    with pytest.raises(ValueError, match=r"looked for 'patch_embed\.conv1\.bias', found a"):
        published.load("labram", source)
    torch.save({"b": torch.zeros(1)}, source / "vqnsp.pth")
    with pytest.raises(ValueError, match=r"exactly one .pt or .pth file.*vqnsp\.pth"):
        published.load("labram", source)
    with pytest.raises(ValueError, match="not on the Hub"):
        published.load("labram", "935963004/LaBraM")
