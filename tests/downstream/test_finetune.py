"""Fine-tuning: learns what is there, nothing that is not, and tells what must be told."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from neurofm import artifacts, checkpoints, cli
from neurofm.data.corpus import Corpus
from neurofm.downstream.finetune import main as finetune
from neurofm.results import Results
from tests.support.planted import CONTRACT, make_backbone, make_corpus

QUICK = ["--decoder=network", "--train.steps=40", "--train.lr=1e-3",
         "--train_full.batch_windows=16"]


def run(corpus, model, out, *words) -> dict:
    assert finetune([f"--data={corpus}", f"--model={model}", f"--out={out}", *QUICK, *words]) == 0
    return json.loads((out / "test" / "metrics.json").read_text())


def test_learns_a_planted_effect_on_unseen_subjects(decoder, planted):
    metrics = json.loads((decoder / "test" / "metrics.json").read_text())
    assert metrics["balanced_accuracy"] > 0.85
    assert metrics["low"] > metrics["chance_high"]
    assert metrics["p_chance"] < 0.01
    table = pd.read_parquet(decoder / "test" / "predictions.parquet")
    corpus = Corpus.open(planted.corpus)
    assert set(table["window"]) == set(corpus.select("test"))
    assert table["subject"].nunique() == 4
    assert not table["seen_in_pretraining"].any()
    assert np.allclose(table["p_left"] + table["p_right"], 1)
    assert artifacts.open_sealed(decoder, "checkpoint", hashes=True)
    assert not (decoder / "state").exists()


def test_shuffled_labels_stay_at_chance(planted, tmp_path):
    corpus = make_corpus(tmp_path / "corpus", shuffled=True)
    metrics = run(corpus, planted.backbone, tmp_path / "out")
    assert metrics["p_chance"] > 0.01
    assert 0.35 < metrics["balanced_accuracy"] < 0.65


def test_frozen_keeps_the_backbone_to_the_bit(decoder, planted):
    before = load_file(planted.backbone / "model.safetensors")
    after = load_file(decoder / "model.safetensors")
    assert all(torch.equal(value, after[f"backbone.{name}"]) for name, value in before.items())


def test_full_changes_the_transformer_but_not_the_tokenizer(planted, tmp_path):
    run(planted.corpus, planted.backbone, tmp_path / "out", "--mode=full", "--train.lr=1e-4",
        "--train_full.steps=12")
    before = load_file(planted.backbone / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    changed = {name for name, value in before.items()
               if not torch.equal(value, after[f"backbone.{name}"])}
    assert any(name.startswith("blocks.0.") for name in changed)
    assert not any(name.startswith("tokenizer.") for name in changed)


def test_full_training_that_does_harm_is_taken_back(planted, tmp_path, capsys):
    run(planted.corpus, planted.backbone, tmp_path / "out", "--mode=full", "--train_full.steps=2",
        "--train_full.lr=1")
    assert "the head alone is kept" in capsys.readouterr().out
    before = load_file(planted.backbone / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(value, after[f"backbone.{name}"]) for name, value in before.items())


def test_random_weights_share_nothing_with_the_pretrained(planted, tmp_path):
    run(planted.corpus, planted.backbone, tmp_path / "out", "--random_weights=true")
    before = load_file(planted.backbone / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    for name in ("blocks.0.over_time.qkv.weight", "tokenizer.quantizer.codebook"):
        assert before[name].shape == after[f"backbone.{name}"].shape
        assert not torch.equal(before[name], after[f"backbone.{name}"])
    assert checkpoints.read_ledger(tmp_path / "out")["recordings"][0]["role"] == "train"


def test_weights_are_those_of_the_lowest_validation_loss(planted, tmp_path):
    """With labels that mean nothing the validation loss only rises once training windows are
    learned by heart."""
    out, folder = tmp_path / "out", make_corpus(tmp_path / "corpus", shuffled=True)
    run(folder, planted.backbone, out, "--train.validate_every=1", "--train.lr=1e-2",
        "--architecture.head=mlp")
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    losses = [line["val/loss"] for line in lines if "val/loss" in line]
    assert min(losses) < 0.9 * losses[-1]
    corpus, decoder = Corpus.open(folder), checkpoints.load(out)
    windows = corpus.select("validation")
    target = (corpus.labels(windows) == "right").astype(np.int64)
    with torch.no_grad():
        loss, _ = decoder(corpus.batch(windows, target=target))
    assert loss.item() == pytest.approx(min(losses), rel=1e-3)


def test_a_subject_seen_in_pretraining_is_flagged(planted, tmp_path, capsys):
    corpus = Corpus.open(planted.corpus)
    seen = corpus.select("test", subject="11")
    ledger = checkpoints.training_ledger(corpus, {"train": seen})
    model = make_backbone(tmp_path / "backbone", ledger)
    run(planted.corpus, model, tmp_path / "out")
    sentence = "LEAK: model: 1 of 4 subjects judged here is in its training data"
    assert sentence in capsys.readouterr().out
    assert sentence in (tmp_path / "out" / "report.html").read_text()
    assert Results.load(tmp_path / "out").flags[0].subjects == ("planted/11",)
    table = pd.read_parquet(tmp_path / "out" / "test" / "predictions.parquet")
    assert set(table.loc[table["seen_in_pretraining"], "subject"]) == {"planted/11"}
    kept = checkpoints.read_ledger(tmp_path / "out")["recordings"]
    assert {"planted/11", "planted/00", "planted/08"} <= {entry["subject"] for entry in kept}


def test_finished_does_nothing_again(decoder, planted, capsys):
    before = checkpoints.fingerprint(decoder)
    finetune([f"--data={planted.corpus}", f"--model={planted.backbone}", f"--out={decoder}",
              "--decoder=network", "--train.steps=40", "--train.lr=1e-3"])
    assert "nothing to do" in capsys.readouterr().out
    assert checkpoints.fingerprint(decoder) == before


def test_bad_input_finished_with_other_settings(decoder, planted, capsys):
    said = fails(capsys, f"--data={planted.corpus}", f"--model={planted.backbone}",
                 f"--out={decoder}", "--decoder=network", "--mode=full")
    assert "was made with other settings (mode" in said


def test_contract_names_the_kinds_it_has_seen(decoder):
    assert checkpoints.load(decoder).contract.kinds == ("eeg",)
    assert CONTRACT.kinds != ("eeg",)


def fails(capsys, *words) -> str:
    assert cli.main(["finetune", *map(str, words)]) != 0
    return capsys.readouterr().err


def test_bad_input_without_labels(planted, tmp_path, capsys):
    corpus = make_corpus(tmp_path / "corpus", labeled=False, n_windows=4)
    said = fails(capsys, f"--data={corpus}", f"--model={planted.backbone}",
                 f"--out={tmp_path / 'out'}")
    assert "no window has a label" in said
    assert "--label.source" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (["train"] * 3 + ["validation"], "the test split has no labeled window"),
        (["train"] * 3 + ["test"], "the validation split has no labeled window"),
        (["train", "validation", "test"], "has 1 train subject"),
    ],
)
def test_bad_input_split(planted, tmp_path, capsys, split, said):
    corpus = make_corpus(tmp_path / "corpus", split=split, n_windows=4)
    assert said in fails(capsys, f"--data={corpus}", f"--model={planted.backbone}",
                         f"--out={tmp_path / 'out'}")


def test_bad_input_labels_and_columns(planted, tmp_path, capsys):
    common = [f"--data={planted.corpus}", f"--model={planted.backbone}",
              f"--out={tmp_path / 'out'}"]
    assert "['left', 'right']" in fails(capsys, *common, "--classes=[left,up]")
    assert "no such column" in fails(capsys, *common, "--only.amplifier=x")
    assert "there are cap16" in fails(capsys, *common, "--only.device=cap99")


def test_bad_input_contract(planted, tmp_path, capsys):
    model = checkpoints.load(planted.backbone)
    model.contract = CONTRACT.with_(highpass_hz=1.0)
    checkpoints.save_checkpoint(model, tmp_path / "model", config={}, parents={},
                        ledger={"recordings": []}, metrics={})
    said = fails(capsys, f"--data={planted.corpus}", f"--model={tmp_path / 'model'}",
                 f"--out={tmp_path / 'out'}")
    assert "highpass_hz: 1.0, 0.1" in said
    assert "ingest it again" in said


def test_bad_input_tokenizer_instead_of_model(planted, tmp_path, capsys):
    tokenizer = checkpoints.load(planted.backbone).tokenizer
    tokenizer.contract = CONTRACT
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    said = fails(capsys, f"--data={planted.corpus}", f"--model={tmp_path / 'tokenizer'}",
                 f"--out={tmp_path / 'out'}")
    assert "BrainTokenizer" in said
    assert "neurofm pretrain" in said


def test_bad_input_other_settings_in_the_same_folder(planted, tmp_path, capsys):
    out = tmp_path / "out"
    artifacts.claim(out, {"mode": "full"})
    assert "begun with other settings" in fails(
        capsys, f"--data={planted.corpus}", f"--model={planted.backbone}", f"--out={out}"
    )


@pytest.mark.parametrize("mode", ["lora", "dora"])
def test_adapters_change_the_transformer_and_leave_nothing_behind(planted, tmp_path, mode, capsys):
    metrics = run(planted.corpus, planted.backbone, tmp_path / "out", f"--mode={mode}",
                  "--train_full.steps=12", "--train_full.lr=3e-4", "--train.steps=20",
                  '--architecture={"rank": 2, "pool": "covariance"}')  # codes alone are enough here
    assert metrics["balanced_accuracy"] > 0.85
    assert "adapters of rank 2" in capsys.readouterr().out
    before = load_file(planted.backbone / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert {f"backbone.{name}" for name in before} == {
        name for name in after if name.startswith("backbone.")}
    changed = [name for name, value in before.items()
               if not torch.equal(value, after[f"backbone.{name}"])]
    assert any(name.startswith("blocks.0.") for name in changed)
    assert not any(name.startswith("tokenizer.") for name in changed)
    name = "blocks.0.over_time.qkv.weight"
    change = after[f"backbone.{name}"] - before[name]
    if mode == "lora":
        assert torch.linalg.matrix_rank(change, rtol=1e-4) == 2


def test_regression_predicts_a_number_of_unseen_subjects(planted, tmp_path):
    """The label is how weak the rhythm on one side is."""
    corpus = make_corpus(tmp_path / "corpus", number=True)
    metrics = run(corpus, planted.backbone, tmp_path / "out", "--task=age")
    assert metrics["pearson_r"] > 0.6
    table = pd.read_parquet(tmp_path / "out" / "test" / "predictions.parquet")
    decoder = checkpoints.load(tmp_path / "out")
    assert decoder.classes == ()
    assert table["label"].between(20, 70).all()
    assert not [name for name in table if name.startswith("p_")]
    assert "labels that are numbers" in fails_on(planted, tmp_path / "no", "--task=age")


def fails_on(planted, out, *words) -> str:
    with pytest.raises(ValueError, match="labels") as error:
        run(planted.corpus, planted.backbone, out, *words)
    return str(error.value)


def test_attention_over_places_learns_too(planted, tmp_path):
    metrics = run(planted.corpus, planted.backbone, tmp_path / "out", "--train.steps=80",
                  '--architecture={"pool": "attention", "head": "linear"}', "--train.lr=1e-2")
    assert metrics["p_chance"] < 0.01


def test_probabilities_are_calibrated_on_validation_subjects(decoder):
    temperature = checkpoints.load(decoder).head.temperature.item()
    assert 0.1 <= temperature <= 20
    assert temperature != 1.0
