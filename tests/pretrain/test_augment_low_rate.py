"""`neurofm pretrain --augment_share`: a resumed run ends with the same weights; refusals."""

import pytest
import torch
from safetensors.torch import load_file

import neurofm.pretrain.train
from neurofm import cli
from neurofm.pretrain.train import main
from neurofm.run import STOPPED
from tests.support import corpora
from tests.support.corpora import write_yaml


def settings(data, out, **more) -> dict:
    return {"data": str(data), "out": str(out), "model": "brain_tokenizer",
            "architecture": dict(corpora.TOKENIZER), "train": {"steps": 4, "batch_windows": 8},
            **more}


def trained(data, out, *words, **more) -> dict[str, torch.Tensor]:
    assert main([f"--config={write_yaml(out, settings(data, out, **more))}", *words]) == 0
    return load_file(out / "model.safetensors")


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_resumed_run_sees_the_same_changes(corpus_folder, tmp_path, monkeypatch):
    whole = trained(corpus_folder, tmp_path / "whole", augment_share=0.6)
    train = neurofm.pretrain.train.train
    with monkeypatch.context() as patch:
        patch.setattr(neurofm.pretrain.train, "train",
                      lambda *args, **options: train(*args, **options, stop_after=2))
        out = tmp_path / "parts"
        words = [f"--config={write_yaml(out, settings(corpus_folder, out, augment_share=0.6))}"]
        assert main(words) == STOPPED
    assert same(whole, trained(corpus_folder, out, augment_share=0.6))
    assert not same(whole, trained(corpus_folder, tmp_path / "plain"))


@pytest.mark.parametrize(("words", "told"), [
    (["--augment_share=2"], "augment_share must be in [0, 1], got 2"),
    (["--augment_share=0.5", "--augment_by=[pitch]"], "augment_by"),
    (["--augment_shar=0.5"], "did you mean 'augment_share'?"),
])
def test_bad_input(corpus_folder, tmp_path, capsys, words, told):
    path = write_yaml(tmp_path / "out", settings(corpus_folder, tmp_path / "out"))
    with pytest.raises(SystemExit, match="2"):
        cli.main(["pretrain", f"--config={path}", *words])
    assert told in capsys.readouterr().err


def test_bad_input_tokens_are_made_already(tokens_folder, tokenizer_folder, tmp_path, capsys):
    assert cli.main(["pretrain", f"--data={tokens_folder}", f"--out={tmp_path / 'out'}",
                     "--model=brainomni", f"--tokenizer={tokenizer_folder}",
                     f"--architecture={corpora.BRAINOMNI}", "--augment_share=0.5"]) == 1
    assert "augment_share needs signals" in capsys.readouterr().err
