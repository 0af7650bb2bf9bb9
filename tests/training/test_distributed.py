"""Two processes learn what one learns from the same global batch."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file

from neurofm import artifacts, config
from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from neurofm.pretrain.sources import open_data
from neurofm.pretrain.tokenize import main as tokenize_main
from neurofm.pretrain.train import PretrainConfig, build
from neurofm.pretrain.train import main as pretrain_main
from neurofm.run import Stopped
from neurofm.training import state
from neurofm.training.by_width import ByWidth
from neurofm.training.loop import TrainConfig, accelerator_for, train
from neurofm.training.sampler import Order, StepData
from neurofm.training.sharded import whole as parts_of_state
from tests.support import corpora
from tests.support.spiky import STEPS as STEPS_OF_SPIKY
from tests.support.spiky import Spiky

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs" / "accelerate"
LAUNCH = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch",
          f"--config_file={CONFIGS / 'cpu.yaml'}"]  # fmt: skip
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
STEPS = 24
TOKENIZER = corpora.TOKENIZER | {"ema_decay": 0.9}
TRAIN = {"steps": STEPS, "batch_windows": 8, "log_every": 1, "validate_every": 8, "lr": 3e-3,
         "precision": "float32"}  # compared to six digits, which bfloat16 does not have
DROPPED = {**corpora.BRAINOMNI, "dropout": 0.1}


def launch_environment(name: str) -> dict[str, str]:
    """What `accelerate launch --config_file` hands to its processes."""
    words = [f"--config_file={CONFIGS / name}", "--num_processes=2", "-m", "neurofm.pretrain"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    return prepare_multi_gpu_env(arguments)


def window_for_the_second_process(folder: Path) -> tuple[str, int, int]:
    """(recording, its window, step) that the second of two processes will be the first to see."""
    corpus = Corpus.open(folder)
    windows = corpus.select("train")
    order = Order(ByWidth.of(windows, corpus.widths), TRAIN["batch_windows"], seed=0)
    step, data = 2, StepData(corpus, order, rank=1, world=2)
    window = int(data.parts(step)[0].windows[1])
    recording, row = (int(corpus.windows[name].iat[window]) for name in ("recording", "row"))
    return corpus.recordings["recording"].iat[recording], row, step + 1


@pytest.fixture(scope="module")
def work(tmp_path_factory, corpus_folder):
    """All runs by two processes, and the same by one."""
    work = tmp_path_factory.mktemp("work")
    name, row, step = window_for_the_second_process(corpus_folder)
    spoilt = corpora.make(work / "spoilt_corpus", spoil={name: row})
    tokenizer = {"model": "brain_tokenizer", "data": str(corpus_folder), "architecture": TOKENIZER,
                 "train": {**TRAIN, "lr": 1e-4}}
    # One process makes the tokenizer and the tokens that everything later stands on.
    first = {**tokenizer, "train": {"steps": 8, "batch_windows": 8}}
    brainomni = {"model": "brainomni", "data": str(work / "tokens"), "train": TRAIN,
                 "tokenizer": str(work / "first"), "architecture": corpora.BRAINOMNI}
    runs = {
        "tokenizer": tokenizer,
        "without_phase": {**tokenizer, "train": TRAIN,
                          "architecture": {**TOKENIZER, "phase": 0.0}},
        "brainomni": brainomni,
        "accumulated": {**brainomni, "train": {**TRAIN, "accumulate": 2}},
        "sharded": {**brainomni, "train": {**TRAIN, "accumulate": 2}},
        "dropped": {**brainomni, "architecture": DROPPED},
        "ddp": {**brainomni, "architecture": DROPPED},
        "fsdp": {**brainomni, "architecture": DROPPED},
        "spoilt": {**tokenizer, "data": str(spoilt)},
    }
    write(work / "first", first)
    assert pretrain_main([f"--config={work / 'first.yaml'}"]) == 0
    assert tokenize_main([f"--data={corpus_folder}", f"--model={work / 'first'}",
                          f"--out={work / 'tokens'}"]) == 0
    for number, count in enumerate(("two", "one")):
        (work / count).mkdir()
        for name, run in runs.items():
            write(work / count / name, run)
            if number and name in ("tokenizer", "without_phase", "brainomni"):
                assert pretrain_main([f"--config={work / count / f'{name}.yaml'}"]) == 0
    for name, stop_after in (("one/dropped", None), ("two/ddp", 8), ("two/fsdp", 8)):
        part_of_run(work, name, stop_after)
    fsdp = {name: value for name, value in launch_environment("fsdp.yaml").items()
            if name.startswith(("FSDP", "ACCELERATE_USE_FSDP"))}
    (work / "two" / "settings.json").write_text(
        json.dumps({"work": str(work / "two"), "fsdp": fsdp, "step": step})
    )
    done = subprocess.run([*LAUNCH, ROOT / "tests/support/two_processes.py", work / "two"],
                          env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    for name in ("ddp", "fsdp"):
        part_of_run(work, f"two/{name}", None)
    return work


def part_of_run(work: Path, name: str, stop_after: int | None) -> None:
    """One process trains up to a step."""
    run = config.parse(PretrainConfig, [f"--config={work / name}.yaml"], command="pretrain")
    data = open_data(run)
    windows = data.select("train")
    torch.manual_seed(run.train.seed)
    with contextlib.suppress(Stopped):
        train(build(run, data, windows), data, windows, run.train, Path(run.out),
              accelerator_for(run.train, Path(run.out)), stop_after=stop_after,
              validation=(data, data.select("validation")), say=lambda *_: None)


def write(out: Path, run: dict) -> None:
    corpora.write_yaml(out, {**run, "out": str(out)})


def log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def differences(one: Path, other: Path, *names: str) -> list[float]:
    pairs = list(zip(log(one), log(other), strict=True))
    assert len(pairs) == STEPS + 3  # a line a step, and three of validation
    return [abs(a[name] - b[name]) for a, b in pairs for name in names if name in a]


@pytest.mark.long
def test_distributed(work):
    """All of what follows, in one test: each process of pytest would launch the runs anew."""
    there_were_two(work)
    tokenizer_losses(work)
    tokenizer_losses_with_phase(work)
    codebooks(work)
    brainomni_losses(work, "brainomni")
    brainomni_losses(work, "accumulated")
    checkpoints(work)
    nan_is_told_by_the_process_that_had_it(work)
    spikes_are_skipped_by_all(work)
    there_and_back(work)
    sharded(work)
    sharded_state_goes_on_in_one_process(work)


def there_were_two(work):
    for rank in (0, 1):
        seen = json.loads((work / f"two/seen-{rank}.json").read_text())
        assert seen == {"processes": 2, "type": "DistributedType.MULTI_CPU"}


def tokenizer_losses(work):
    """Quantiser's start and revival included."""
    one, two = work / "one/without_phase", work / "two/without_phase"
    largest = max(differences(one, two, "loss", "val/loss", "val/reconstruction"))
    print("tokenizer without phase: largest difference of losses", largest)
    assert largest < 1e-5
    lines = [line for line in log(two) if "loss" in line]
    assert lines[0]["loss"] - lines[-1]["loss"] > 0.01
    assert lines[5]["perplexity_0"] == 0  # not quantizing yet …
    assert lines[-1]["perplexity_0"] > 2  # … and now it is


def tokenizer_losses_with_phase(work):
    """With the published term: a phase within rounding of ±π may land on either side, 2π apart, so
    single steps may differ by what one phase is worth."""
    one, two = work / "one/tokenizer", work / "two/tokenizer"
    losses = differences(one, two, "loss", "val/loss")
    print("tokenizer: largest difference of losses", max(losses))
    assert sorted(losses)[len(losses) * 3 // 4] < 1e-5
    terms = ("l1", "pearson", "magnitude", "commitment", "val/reconstruction", "val/pearson_hidden")
    assert max(differences(one, two, *terms)) < 1e-5


def codebooks(work):
    """The same on both processes, bit for bit, and after rounding the same as in one."""
    ranks = [load_file(work / f"two/tokenizer-{rank}.safetensors") for rank in (0, 1)]
    assert ranks[0]["quantizer.started"]
    for name in ranks[0]:
        assert torch.equal(ranks[0][name], ranks[1][name]), name
    sealed = load_file(work / "two/tokenizer/model.safetensors")
    for name in sealed:
        assert torch.equal(sealed[name], ranks[0][name]), name
    sealed, one = (load_file(work / count / "without_phase/model.safetensors")
                   for count in ("two", "one"))
    assert torch.allclose(one["quantizer.codebook"], sealed["quantizer.codebook"], atol=1e-3)


def brainomni_losses(work, name):
    largest = max(differences(work / "one/brainomni", work / f"two/{name}", "loss", "val/loss"))
    print(f"{name}: largest difference of losses", largest)
    assert largest < 1e-5
    losses = [line["loss"] for line in log(work / f"two/{name}") if "loss" in line]
    assert losses[-1] < losses[0]


def checkpoints(work):
    for name in ("tokenizer", "brainomni"):
        one, two = (artifacts.open_sealed(work / count / name, hashes=True)
                    for count in ("one", "two"))
        assert one.parents == two.parents
        assert one.files.keys() == two.files.keys()


def nan_is_told_by_the_process_that_had_it(work):
    step = json.loads((work / "two/settings.json").read_text())["step"]
    messages = [(work / f"two/spoilt-{rank}.txt").read_text() for rank in (0, 1)]
    assert messages[0] == messages[1]
    assert messages[0].startswith(f"step {step}: loss nan")
    assert "Process 1 had a loss that is not finite from /archive/sub-" in messages[0]
    assert "Process 0" not in messages[0]
    assert messages[0].count("/archive/") == 1


def spikes_are_skipped_by_all(work):
    """Both processes skip the same steps, go back to the same state, and name the windows of both;
    one process does the same."""
    one, other = (json.loads((work / f"two/guarded-{rank}.json").read_text()) for rank in (0, 1))
    assert one == other
    assert [line.split()[1] for line in one[:4]] == ["40", "41", "42", "43"]
    assert one[4].startswith("4 steps in a row were skipped: back to step 24")
    alone = work / "one/guarded"
    data = TokenSet.open(work / "tokens")
    config = TrainConfig(**{**TRAIN, "steps": STEPS_OF_SPIKY, "save_every": 8, "lr": 1e-3,
                            "validate_every": 0, "spikes": 12.0})
    train(Spiky(poison=30), data, data.select("train"), config, alone,
          accelerator_for(config, alone), say=lambda *_: None)
    assert [line["step"] for line in log(alone)] == [
        line["step"] for line in log(work / "two/guarded")]
    for a, b in zip(log(alone), log(work / "two/guarded"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)


def there_and_back(work):
    """1 → 2 → 1 processes with dropout, at steps 8 and 16: the losses of one."""
    for name in ("ddp", "fsdp"):
        losses = differences(work / "one/dropped", work / f"two/{name}", "loss", "val/loss")
        print(f"1 → 2 → 1, {name}, dropout .1: largest difference of losses", max(losses))
        assert max(losses) < 1e-6
        states = state.finished(work / f"two/{name}/state")
        assert [each.name for each in states] == ["step-00000016", "step-00000024"]
        assert state.is_sharded(states[0]) == (name == "fsdp")
    assert max(differences(work / "one/dropped", work / "one/brainomni", "loss")) > 1e-3


def sharded(work):
    """FSDP over two processes, stopped and resumed: the losses of one process."""
    shapes = [json.loads((work / f"two/local-{rank}.json").read_text()) for rank in (0, 1)]
    whole = load_file(work / "two/brainomni/model.safetensors")
    cut = {name for name in whole if not name.startswith("tokenizer.")}
    assert shapes[0].keys() == shapes[1].keys() == cut
    for name in cut:
        assert shapes[0][name][0] + shapes[1][name][0] == whole[name].shape[0], name
    largest = max(differences(work / "one/brainomni", work / "two/sharded", "loss", "val/loss"))
    print("fsdp: largest difference of losses", largest)
    assert largest < 1e-5
    saved, _ = parts_of_state(work / f"two/sharded/state/step-{STEPS:08d}")
    for name in whole:
        assert torch.allclose(saved[name], whole[name], atol=1e-4), name


def sharded_state_goes_on_in_one_process(work):
    """The state knows neither the wrapper nor the number of processes."""
    run = PretrainConfig(**run_settings(work), train=TrainConfig(**TRAIN))
    data = open_data(run)
    model, out = build(run, data, data.select("train")), work / "two/sharded"
    assert state.finished(out / "state")[0].name == "step-00000007"
    artifacts.unseal(state.finished(out / "state")[-1])
    train(model, data, data.select("train"), run.train, out, accelerator_for(run.train, out),
          validation=(data, data.select("validation")), say=lambda *_: None)
    assert max(differences(work / "one/brainomni", out, "loss", "val/loss")) < 1e-5


def run_settings(work: Path) -> dict:
    return {"model": "brainomni", "data": str(work / "tokens"), "out": str(work / "two/sharded"),
            "tokenizer": str(work / "first"), "architecture": corpora.BRAINOMNI}


@pytest.mark.long
def test_distributed_nan_ends_the_launch(corpus_folder, tmp_path):
    """The real command: no hang, the message on every process, exit status 3 of each."""
    name, row, _ = window_for_the_second_process(corpus_folder)
    spoilt = corpora.make(tmp_path / "corpus", spoil={name: row})
    write(tmp_path / "run", {"model": "brain_tokenizer", "data": str(spoilt), "train": TRAIN,
                             "architecture": TOKENIZER})
    done = subprocess.run(
        [*LAUNCH, "-m", "neurofm.pretrain", f"--config={tmp_path / 'run.yaml'}"],
        env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.count("Process 1 had a loss that is not finite") == 2, done.stderr
    assert "exitcode  : 3" in done.stderr
    assert not artifacts.is_sealed(tmp_path / "run")


@pytest.mark.parametrize("name", ["cpu.yaml", "ddp.yaml", "fsdp.yaml"])
def test_launch_configs(name):
    """Accelerate understands the files as they are meant."""
    environment = launch_environment(name)
    assert environment["ACCELERATE_MIXED_PRECISION"] == "no"
    assert (environment.get("ACCELERATE_USE_FSDP") == "true") == (name == "fsdp.yaml")
    if name == "fsdp.yaml":
        assert environment["FSDP_VERSION"] == "2"
        assert environment["FSDP_TRANSFORMER_CLS_TO_WRAP"] == "CrissCrossBlock"
        assert environment["FSDP_RESHARD_AFTER_FORWARD"] == "true"
        assert environment["FSDP_IGNORED_MODULES"] == "tokenizer"
