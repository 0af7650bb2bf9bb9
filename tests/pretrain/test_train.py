"""`neurofm pretrain`: what it refuses, what it says, what it leaves behind."""

import json
import shutil

import pytest
import yaml

import neurofm.pretrain.train
from neurofm import artifacts, checkpoints
from neurofm.data.corpus import Corpus
from neurofm.pretrain.train import main
from neurofm.run import FAILED, STOPPED, Stopped
from tests.support import corpora
from tests.support.corpora import write_yaml


@pytest.fixture
def settings(corpus_folder, tmp_path):
    return {
        "data": str(corpus_folder), "out": str(tmp_path / "run"), "model": "brain_tokenizer",
        "architecture": dict(corpora.TOKENIZER), "train": {"steps": 4, "batch_windows": 8},
    }  # fmt: skip


def start(settings, tmp_path, *words) -> int:
    return main([f"--config={write_yaml(tmp_path / 'run', settings)}", *words])


def stop_after(monkeypatch, step):
    """As if a signal came after this step."""
    train = neurofm.pretrain.train.train
    monkeypatch.setattr(neurofm.pretrain.train, "train",
                        lambda *args, **options: train(*args, **options, stop_after=step))


@pytest.mark.parametrize(
    ("changes", "words", "told"),
    [
        ({"train": {"lrr": 1}}, [], "unknown key 'train.lrr'; did you mean 'train.lr'?"),
        ({"trian": {"lr": 1}}, [], "unknown key 'trian'; did you mean 'train'?"),
        ({"achitecture": {"dim": 8}}, [], "did you mean 'architecture'?"),
        ({"splitz": ["train"]}, [], "unknown key 'splitz'; did you mean 'splits'?"),
        ({}, ["--train.lrr=1"], "unknown key 'train.lrr'; did you mean 'train.lr'?"),
        ({}, ["--train.wokers", "1"], "did you mean 'train.workers'?"),
        ({"architecture": {"dimm": 8}}, [], "unknown key 'dimm'; did you mean 'dim'?"),
        ({}, ["--architecture.n_filter=8"], "did you mean 'n_filters'?"),
        ({"architecture": {"dim": 15}}, [], "dim (15) must be a multiple of n_heads"),
        ({"model": "brain_tokeniser"}, [],
         "unknown model 'brain_tokeniser'; there are brain_tokenizer, "),
        ({"train": {"steps": "many"}}, [], 'train.steps: wanted a whole number, got many'),
        ({"train": {"precision": "fp16"}}, [],
         "train.precision: wanted one of auto, float32, bf16, got 'fp16'"),
        ({"model": "brainomni", "architecture": {}}, [], "name the checkpoint of the tokenizer"),
        ({"tokenizer": "runs/tokenizer"}, [], "takes no tokenizer"),
        ({"architecture": {"dim": "x"}}, [], "which wants dim: int = 256"),
        ({"architecture": {"ratios": 8}}, [], "which wants ratios: "),
        ({}, ["--confg=x.yaml"], "unknown key 'confg'; did you mean 'config'?"),
        ({}, ["run.yaml"], "'run.yaml' stands alone: a file of settings is given by --config"),
        ({"model": "decoder", "architecture": {}}, [], "then `neurofm finetune --model`"),
        ({"model": "decoder"}, ["--tokenizer=x"], "learns from labels"),
        ({"splits": []}, [], "splits must name whom to train on"),
        ({"splits": ["train", "train"]}, [], "each once; got ['train', 'train']"),
        ({"splits": ["trian"]}, [], "of train, validation, test; got 'trian'"),
        ({"watch": "tets"}, [], "of train, validation, test; got 'tets'"),
        ({"train": {"lr": -1}}, [], "train.lr must be above 0, got -1.0"),
        ({"train": {"precision": None}}, [], "key 'train.precision' has no value"),
    ],
)
def test_bad_input_settings(settings, tmp_path, capsys, changes, words, told):
    with pytest.raises(SystemExit) as exit_:
        start(settings | changes, tmp_path, *words)
    assert exit_.value.code == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_checkpoint(settings, tmp_path, capsys):
    """A finished run is a sealed checkpoint that loads; running it again does nothing."""
    settings["train"] |= {"save_every": 2, "validate_every": 2}
    assert start(settings, tmp_path) == 0
    manifest = artifacts.open_sealed(tmp_path / "run", "checkpoint", hashes=True)
    corpus = Corpus.open(settings["data"])
    assert manifest.parents == {"data": corpus.fingerprint}
    assert manifest.config["architecture"] == settings["architecture"]
    assert manifest.config["train"]["warmup"] == 0.1  # resolved: defaults are in it
    assert yaml.safe_load((tmp_path / "run/run.yaml").read_text()) == manifest.config
    assert not {"state", "unfinished.json"} & {p.name for p in (tmp_path / "run").iterdir()}
    model = checkpoints.load(tmp_path / "run")
    assert model.contract.corpus == corpus.fingerprint
    ledger = checkpoints.read_ledger(tmp_path / "run")
    assert {(r["recording"], r["role"]) for r in ledger["recordings"]} == {
        ("sub-00", "train"), ("sub-01", "train"), ("sub-02", "train"), ("sub-03", "train"),
    }  # fmt: skip
    assert "| val/reconstruction |" in (tmp_path / "run/README.md").read_text()
    capsys.readouterr()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
    assert start(settings, tmp_path) == 0
    assert "is finished" in (said := capsys.readouterr().out)
    assert "nothing to do" in said
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")} == before
    assert start(settings, tmp_path, "--train.workers=1") == 0  # makes no difference
    with pytest.raises(ValueError, match=r"other settings \(train\.lr: 0\.001, wanted 0\.5\)"):
        start(settings, tmp_path, "--train.lr=0.5")


def test_an_unfinished_run(settings, tmp_path, monkeypatch, capsys):
    """Its folder is no checkpoint; it goes on with the same settings only."""
    stop_after(monkeypatch, 2)
    assert start(settings, tmp_path) == STOPPED
    monkeypatch.undo()
    assert "run the same command again" in capsys.readouterr().out
    with pytest.raises(artifacts.ArtifactError, match="unfinished"):
        artifacts.open_sealed(tmp_path / "run")
    with pytest.raises(ValueError, match="unfinished run"):
        checkpoints.load(tmp_path / "run")
    saved = yaml.safe_load((tmp_path / "run/run.yaml").read_text())
    assert saved["train"]["beta2"] == 0.95
    with pytest.raises(ValueError, match=r"begun with other settings .*train\.lr"):
        start(settings, tmp_path, "--train.lr=0.5")
    assert main([f"--config={tmp_path / 'run/run.yaml'}", "--train.log_every=3"]) == 0
    assert "continuing at step 2" in capsys.readouterr().out
    artifacts.open_sealed(tmp_path / "run", "checkpoint")


def test_a_mistake_at_the_start_does_not_block_the_folder(settings, tmp_path, monkeypatch):
    """Nothing is saved yet (too large a batch, a typing error): other settings may take over."""
    def out_of_memory(*_, **__):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(neurofm.pretrain.train, "train", out_of_memory)
    with pytest.raises(RuntimeError):
        start(settings, tmp_path)
    monkeypatch.undo()
    assert start(settings, tmp_path, "--train.batch_windows=4") == 0
    manifest = artifacts.open_sealed(tmp_path / "run", "checkpoint")
    assert manifest.config["train"]["batch_windows"] == 4


def test_a_finished_run_of_other_data_is_refused(settings, tmp_path, capsys):
    assert start(settings, tmp_path) == 0
    other = corpora.make(tmp_path / "other", n_windows=9)
    with pytest.raises(ValueError, match=r"made with other settings \(data: \w{16}, wanted \w{16}"):
        start(settings, tmp_path, f"--data={other}")
    other.rename(tmp_path / "moved")
    assert start(settings, tmp_path, f"--data={other}") == 0  # cannot be told any more
    assert "nothing to do" in capsys.readouterr().out


def test_killed_while_it_was_sealed(settings, tmp_path, monkeypatch, capsys):
    """Before the manifest: still the run it was. After it: the states go at the next call."""
    def killed(*_, **__):
        raise KeyboardInterrupt

    seal = artifacts.seal
    monkeypatch.setattr(artifacts, "seal", lambda folder, kind, **rest: (
        killed() if kind == "checkpoint" else seal(folder, kind, **rest)))
    with pytest.raises(KeyboardInterrupt):
        start(settings, tmp_path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"begun with other settings \(train\.lr\)"):
        start(settings, tmp_path, "--train.lr=0.5")
    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        start(settings, tmp_path)
    monkeypatch.undo()
    assert artifacts.is_sealed(tmp_path / "run")
    assert "unfinished.json" not in artifacts.open_sealed(tmp_path / "run").listed
    assert (tmp_path / "run/state").exists()
    assert start(settings, tmp_path) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert not (tmp_path / "run/state").exists()
    artifacts.open_sealed(tmp_path / "run", "checkpoint", hashes=True)


def test_killed_before_it_was_sealed(settings, tmp_path, monkeypatch):
    """All steps done, no checkpoint yet: the next run only makes the checkpoint."""
    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(neurofm.pretrain.train, "checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        start(settings, tmp_path)
    monkeypatch.undo()
    log = (tmp_path / "run/log.jsonl").read_text()
    assert start(settings, tmp_path) == 0
    assert (tmp_path / "run/log.jsonl").read_text() == log
    assert artifacts.is_sealed(tmp_path / "run")


def test_fsdp_that_cannot_be_is_told(settings, tmp_path, monkeypatch, capsys):
    """Accelerate goes on without it, in silence."""
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert start(settings, tmp_path) == 0
    assert "FSDP was asked for, but" in capsys.readouterr().out


def test_another_corpus_is_not_mixed_in(settings, tmp_path, monkeypatch):
    """The same path, but not what lay there when the run began."""
    stop_after(monkeypatch, 2)
    assert start(settings, tmp_path) == STOPPED
    monkeypatch.undo()
    settings["data"] = str(corpora.make(tmp_path / "other", n_windows=9))
    with pytest.raises(ValueError, match=r"begun with other settings \(data\)"):
        start(settings, tmp_path)


def test_brainomni_from_tokens(settings, tokens_folder, tokenizer_folder, tmp_path):
    settings |= {"model": "brainomni", "architecture": corpora.BRAINOMNI,
                 "data": str(tokens_folder), "tokenizer": str(tokenizer_folder)}
    assert start(settings, tmp_path) == 0
    manifest = artifacts.open_sealed(tmp_path / "run", "checkpoint")
    assert manifest.parents["tokenizer"] == checkpoints.fingerprint(tokenizer_folder)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert {"accuracy_0", "chance_0", "windows_per_s", "data_wait", "lr"} <= lines[0].keys()
    assert "val/accuracy_1" in lines[-1]


def test_bad_input_wrong_tokenizer(settings, tokens_folder, tokenizer_folder, tmp_path):
    settings["train"]["steps"] = 5
    assert start(settings, tmp_path) == 0  # another tokenizer than the one that made the tokens
    other = {**settings, "model": "brainomni", "architecture": corpora.BRAINOMNI,
             "data": str(tokens_folder), "tokenizer": settings["out"],
             "out": str(tmp_path / "model")}
    with pytest.raises(ValueError, match=r"was made by tokenizer .*tokenize again"):
        start(other, tmp_path)
    with pytest.raises(ValueError, match="is a checkpoint"):
        start({**other, "data": str(tokenizer_folder)}, tmp_path)
    with pytest.raises(ValueError, match=r"learns from signals, but .* holds tokens"):
        start({**settings, "data": str(tokens_folder), "out": str(tmp_path / "x")}, tmp_path)


def test_bad_input_nan(settings, tmp_path, capsys):
    settings["data"] = str(corpora.make(tmp_path / "corpus", spoil={"sub-01": 3}))
    settings["train"]["steps"] = 12
    assert start(settings, tmp_path) == FAILED
    error = capsys.readouterr().err
    assert error.startswith("neurofm pretrain: step ")
    assert "/archive/sub-01.edf at 6.0 s" in error


def test_stopped_is_not_an_error_of_the_user():
    assert not issubclass(Stopped, ValueError)
