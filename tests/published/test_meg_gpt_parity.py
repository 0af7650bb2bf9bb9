"""MEG-GPT: our numbers against the reference implementation's, from the same weights, read where
they were published and through the checkpoint that `neurofm import` makes of them."""

import json

import pytest
import torch
from safetensors.torch import load_file

from neurofm import checkpoints, published
from neurofm.data.batch import Batch
from neurofm.nn.patched_attention import Plan, blocked
from neurofm.published.command import main as import_published
from neurofm.tokenizers.sample_tokenizer import variance_explained


def both_ways(folder, tmp_path):
    """Read where it lies, and through `neurofm import`."""
    yield published.load("meg_gpt", folder)
    assert import_published([str(folder), "--family=meg_gpt", f"--out={tmp_path / 'out'}"]) == 0
    yield checkpoints.load(tmp_path / "out")


def test_meg_gpt_tokenizer_parity(golden, tmp_path):
    folder = golden("meg_gpt_tokenizer")
    io = load_file(folder / "io.safetensors")
    signal = io["x"].transpose(1, 2)  # ours: [batch, channel, time]
    n, channels, _ = signal.shape
    batch = Batch(signal, torch.zeros(n, channels, 6), torch.full((n, channels), 4),
                  torch.ones(n, channels, dtype=torch.bool))
    for tokenizer in both_ways(folder, tmp_path):
        tokens = tokenizer.tokens(signal.flatten(0, 1)).view(signal.shape).transpose(1, 2)
        assert (tokens == io["tokens"]).float().mean() >= 0.995
        labels = tokenizer.encode(batch).ids[..., 0]
        assert (labels.transpose(1, 2) == io["labels"]).float().mean() >= 0.995
        rows = io["tokens"].transpose(1, 2).flatten(0, 1)
        found = tokenizer.signal(rows).view(signal.shape).transpose(1, 2)
        assert (found - io["recon"]).abs().max() < 1e-4 * io["recon"].abs().max()
        pve = json.loads((folder / "metrics.json").read_text())["pve"]
        assert variance_explained(found, io["x"]).item() == pytest.approx(pve, abs=0.05)
        assert tokenizer.config.n_codes == int(load_file(folder / "vocab.safetensors")[
            "label_map"].max()) + 1


def test_meg_gpt_model_parity(golden, tmp_path):
    folder = golden("meg_gpt")
    io = load_file(folder / "io.safetensors")
    labels = io["tokens"].transpose(1, 2)  # [batch, channel, time]
    for model in both_ways(folder, tmp_path):
        context = model.config.context
        found = model.logits(labels[..., :context], session=io["session_labels"][:, 0])
        wanted = io["logits"].transpose(1, 2)
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
        target = model.targets(labels)
        loss = torch.nn.functional.cross_entropy(found.flatten(0, 2), target.flatten())
        assert loss.item() == pytest.approx(io["loss"].item(), rel=1e-4)


def test_meg_gpt_masks_parity(golden):
    """What a query may not look at, against the masks that lie among the weights."""
    folder = golden("meg_gpt")
    plan = json.loads((folder / "config.json").read_text())["transformer_decoder"]
    weights = load_file(folder / "weights.safetensors")
    name = "transformer_decoder.layers.{}.gasp_time_attention.gasp_layer.attention_mask"
    for k, band in enumerate(plan["l_patched_b"]):
        layer = Plan(plan["n_patches_in"][k], plan["patch_len_in"][k], plan["n_patches_out"][k],
                     plan["patch_len_out"][k], band or 0)
        assert torch.equal(blocked(layer), weights[name.format(k)])


@pytest.mark.parametrize(("change", "message"), [
    (lambda c, w: w.pop("prediction_head.bias"), "missing: head.bias"),
    (lambda c, w: w.update({"another": torch.zeros(2)}), "not known: another"),
    (lambda c, w: c["transformer_decoder"].update(do_chan_attention=[True] * 5),
     "do_chan_attention is on"),
    (lambda c, w: c["input_embedding"].update(n_tokens=21), "mis-shaped: "),
    (lambda c, w: c.pop("n_channels"), "says no 'n_channels'"),
])
def test_bad_input_meg_gpt_is_loaded_strictly(released, tmp_path, change, message):
    from safetensors.torch import save_file

    folder = released("meg_gpt")
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "weights.safetensors")
    change(config, weights)
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(weights, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match=message):
        published.load("meg_gpt", tmp_path)
