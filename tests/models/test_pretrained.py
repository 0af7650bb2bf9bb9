"""Saving and loading: exact, strict, with the contract, through AutoModel."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from neurofm import checkpoints
from neurofm.data.contract import InputContract
from neurofm.models import register_auto_classes
from neurofm.models.brainomni import BrainOmni, BrainOmniConfig
from neurofm.tokenizers.brain_tokenizer import BrainTokenizer, BrainTokenizerConfig
from tests.support import small


def trained_model() -> BrainOmni:
    """A little trained, so that codebooks and their statistics are not as made."""
    tokenizer = small.tokenizer().train()
    for seed in range(3):
        tokenizer(small.batch(seed=seed))
    tokenizer.contract = InputContract(window_s=2.0, corpus="abc")
    return BrainOmni(BrainOmniConfig(dim=32, n_heads=4, n_blocks=2, n_levels=2), tokenizer)


def test_round_trip_is_exact(tmp_path):
    model = trained_model()
    model.save_pretrained(tmp_path)
    again = BrainOmni.from_pretrained(tmp_path)
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert again.contract == model.contract
    config = model.config.to_diff_dict()
    config["tokenizer"]["dtype"] = "float32"  # transformers notes it when it loads
    assert again.config.to_diff_dict() == config
    batch = small.batch()
    with torch.no_grad():
        assert torch.equal(model.eval().embed(batch), again.embed(batch))
    assert not any(p.requires_grad for p in again.tokenizer.parameters())


def test_only_safe_files_are_written(tmp_path):
    trained_model().save_pretrained(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "config.json", "model.safetensors", "preprocessor_config.json"}


def test_auto_classes_find_them(tmp_path):
    from transformers import AutoConfig, AutoModel

    register_auto_classes()
    for name, model in (("tokenizer", small.tokenizer()), ("model", trained_model())):
        model.save_pretrained(tmp_path / name)
        config = AutoConfig.from_pretrained(tmp_path / name)
        again = AutoModel.from_pretrained(tmp_path / name)
        assert type(config) is type(model).config_class
        assert type(again) is type(model)
        for key, value in model.state_dict().items():
            assert torch.equal(value, again.state_dict()[key]), key


def test_config_inside_keeps_its_class_and_fields(tmp_path):
    trained_model().config.save_pretrained(tmp_path)
    config = BrainOmniConfig.from_pretrained(tmp_path)
    assert isinstance(config.tokenizer, BrainTokenizerConfig)
    assert config.tokenizer.window_length == 128
    written = json.loads((tmp_path / "config.json").read_text())
    assert "id2label" not in written["tokenizer"]


def test_missing_unexpected_and_mis_shaped_weights_are_all_named(tmp_path):
    small.tokenizer().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    del weights["codec.sensors.norm.weight"]
    weights["stranger"] = torch.zeros(1)
    weights["quantizer.codebook"] = torch.zeros(3, 8, 16)
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="do not fit BrainTokenizer") as error:
        BrainTokenizer.from_pretrained(tmp_path)
    message = str(error.value)
    assert "missing: codec.sensors.norm.weight" in message
    assert "unexpected: stranger" in message
    assert "quantizer.codebook is [3, 8, 16], wanted [3, 16, 16]" in message


def test_pickled_weights_are_not_read(tmp_path):
    tokenizer = small.tokenizer()
    tokenizer.config.save_pretrained(tmp_path)
    torch.save(tokenizer.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        BrainTokenizer.from_pretrained(tmp_path)


def test_asking_for_tolerance_is_an_error(tmp_path):
    small.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="loads strictly"):
        BrainTokenizer.from_pretrained(tmp_path, ignore_mismatched_sizes=True)


def test_without_contract_there_is_none(tmp_path):
    small.tokenizer().save_pretrained(tmp_path)
    assert BrainTokenizer.from_pretrained(tmp_path).contract is None


def test_weights_in_bfloat16_run_and_leave_codebooks_exact(tmp_path):
    full, batch = trained_model().eval(), small.batch()
    full.save_pretrained(tmp_path)
    half = BrainOmni.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.blocks[0].feedforward.up.weight.dtype == torch.bfloat16
    assert torch.equal(half.tokenizer.quantizer.codebook, full.tokenizer.quantizer.codebook)
    tokens = full.tokenize(batch)
    with torch.no_grad():
        assert half.tokenize(batch).ids.shape == tokens.ids.shape
        torch.testing.assert_close(half.embed(tokens), full.embed(tokens), atol=0.02, rtol=0.0)
        assert torch.isfinite(half(batch)[0])
        assert torch.isfinite(half.tokenizer(batch)[0])


def test_config_file_with_an_unknown_key_is_an_error(tmp_path):
    small.tokenizer().save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    fields = json.loads(file.read_text())
    file.write_text(json.dumps({**fields, "n_codess": 3}))
    with pytest.raises(ValueError, match="'n_codess'; did you mean 'n_codes'"):
        BrainTokenizer.from_pretrained(tmp_path)


def test_a_checkpoint_can_be_read_by_the_group(tmp_path, planted):
    """safetensors writes for its owner alone."""
    copy = tmp_path / "copy"
    checkpoints.save_checkpoint(checkpoints.load(planted.backbone), copy, parents={}, ledger={
        "recordings": [], "datasets": {}}, metrics={}, config={})
    usual = (copy / "config.json").stat().st_mode
    assert (copy / "model.safetensors").stat().st_mode == usual
