"""States whose processes write their own parts, in the background."""

import threading
import time

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed as dist
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore

from neurofm import artifacts
from neurofm.cli import main as neurofm
from neurofm.data.corpus import Corpus
from neurofm.lock import only_one
from neurofm.models import find
from neurofm.training import sharded, state
from neurofm.training.loop import TrainConfig, accelerator_for, train
from tests.support import corpora

SETTINGS = {"steps": 6, "batch_windows": 4, "log_every": 1, "save_every": 2, "lr": 1e-3}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, corpus_folder):
    """(train(out, **settings), folder of a run that saved whole states, of one that saved parts)"""
    work, data = tmp_path_factory.mktemp("sharded"), Corpus.open(corpus_folder)

    def run(out, stop_after=None, **settings):
        torch.manual_seed(0)
        kind = find("brain_tokenizer")
        model = kind(kind.config_class(**corpora.TOKENIZER))
        config = TrainConfig(**{**SETTINGS, **settings})
        return train(model, data, data.select("train"), config, out, accelerator_for(config, out),
                     stop_after=stop_after, say=lambda *_: None)

    for save in ("whole", "sharded"):
        run(work / save, save=save)
    return run, work / "whole" / "state", work / "sharded" / "state"


def test_parts_hold_what_a_whole_state_holds(runs, tmp_path):
    _, one, other = runs
    for before, after in zip(state.finished(one), state.finished(other), strict=True):
        assert before.name == after.name
        assert not state.is_sharded(before)
        assert state.is_sharded(after)
        files = set(artifacts.open_sealed(after, "state", hashes=True).files)
        assert {"random-0.safetensors"} < files
        assert all(name.endswith(".safetensors") for name in files)  # nothing else, no pickle
        assert {str(path.relative_to(after)) for path in after.rglob("*") if path.is_file()} == {
            *files, "manifest.json"}
        for tensors, name in zip(sharded.whole(after), ("model", "optimizer"), strict=True):
            wanted = load_file(before / f"{name}.safetensors")
            assert tensors.keys() == wanted.keys()
            for key in wanted:
                assert torch.equal(tensors[key], wanted[key]), key


def test_resume_from_parts_is_exact(runs, tmp_path):
    """Also from parts to whole states, and back."""
    from neurofm.run import Stopped

    run, one, _ = runs
    with pytest.raises(Stopped):
        run(tmp_path, stop_after=3, save="sharded")
    with pytest.raises(Stopped):
        run(tmp_path, stop_after=5, save="whole")
    run(tmp_path, save="sharded")
    last = state.finished(tmp_path / "state")[-1]
    weights, moments = sharded.whole(last)
    for found, name in ((weights, "model"), (moments, "optimizer")):
        for key, value in load_file(one / last.name / f"{name}.safetensors").items():
            assert torch.equal(found[key], value), key


def test_resharding_to_four_processes(runs):
    """Each of four reads its own quarter. Nothing is exchanged, so three of them may be missing."""
    _, _, parts = runs
    found = state.finished(parts)[-1]
    whole, moments = sharded.whole(found)
    dist.init_process_group("fake", store=FakeStore(), rank=2, world_size=4)
    try:
        kind = find("brain_tokenizer")
        model = fully_shard(kind(kind.config_class(**corpora.TOKENIZER)),
                            mesh=init_device_mesh("cpu", (4,)))
        optimizer = torch.optim.AdamW(model.parameters())
        sharded.load(found, model, optimizer)
        for name, parameter in model.named_parameters():
            rows = whole[name].chunk(4)
            quarter = rows[2] if len(rows) > 2 else whole[name][:0]
            assert torch.equal(parameter.to_local(), quarter), name
            if parameter in optimizer.state:
                moment = optimizer.state[parameter]["exp_avg"].to_local()
                rows = moments[f"{name}/exp_avg"].chunk(4)
                assert torch.equal(moment, rows[2] if len(rows) > 2 else whole[name][:0]), name
        assert len(optimizer.state) > 10
    finally:
        dist.destroy_process_group()


def test_consolidate_command(runs, tmp_path, capsys):
    _, one, parts = runs
    out = tmp_path / "whole"
    out.mkdir()
    (out / "model.safetensors").write_bytes(b"half")
    assert neurofm(["consolidate", str(parts.parent), f"--out={out}"]) == 1
    assert "wanted a new folder" in capsys.readouterr().err
    assert (out / "model.safetensors").read_bytes() == b"half"  # of somebody, for all it knows
    (out / ".lock").touch()  # of a call that was killed
    with only_one(out, "consolidate"):
        assert neurofm(["consolidate", str(parts.parent), f"--out={out}"]) == 1
    assert "another neurofm is working in this folder" in capsys.readouterr().err
    assert neurofm(["consolidate", str(parts.parent), f"--out={out}"]) == 0
    assert f"state of step 6 in {out}" in capsys.readouterr().out
    assert artifacts.open_sealed(out, "state", hashes=True).config["step"] == 6
    for name in ("model", "optimizer"):
        wanted, found = (load_file(folder / f"{name}.safetensors")
                         for folder in (one / "step-00000006", out))
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    for words, said in (
        ([str(parts.parent), f"--out={out}"], "wanted a new folder"),
        ([str(parts.parent), f"--out={out}2", "--step=3"], "has states of step 4, 6; got --step 3"),
        ([str(one.parent), f"--out={out}2"], "is whole already"),
        ([str(tmp_path), f"--out={out}2"], "holds no saved state"),
    ):
        assert neurofm(["consolidate", *words]) == 1
        assert said in capsys.readouterr().err


def test_kill_while_parts_are_written(runs, tmp_path, monkeypatch):
    """Until all is written the state before it is the newest, and stays."""
    run, _, _ = runs
    begun, go_on = threading.Event(), threading.Event()
    write = HuggingFaceStorageWriter.write_data
    seen = []

    def slow(self, *arguments):
        if "step-00000004" in str(self.path):
            begun.set()
            assert go_on.wait(60)
        return write(self, *arguments)

    def look():
        assert begun.wait(60)
        seen.append([each.name for each in state.finished(tmp_path / "state")])
        seen.append((tmp_path / "state/step-00000004").is_dir())
        go_on.set()

    monkeypatch.setattr(HuggingFaceStorageWriter, "write_data", slow)
    watcher = threading.Thread(target=look)
    watcher.start()
    run(tmp_path, save="sharded", keep=1)
    watcher.join()
    assert seen == [["step-00000002"], True]
    assert [each.name for each in state.finished(tmp_path / "state")] == ["step-00000006"]


def test_steps_are_counted_where_the_parameters_are(runs, monkeypatch):
    """Fused AdamW on a GPU reads them there. The device without memory stands for one."""
    _, _, parts = runs
    kind = find("brain_tokenizer")
    with torch.device("meta"):
        model = kind(kind.config_class(**corpora.TOKENIZER))
    optimizer = torch.optim.AdamW(model.parameters())
    monkeypatch.setattr(sharded, "_read", lambda *_: None)
    sharded.load(state.finished(parts)[-1], model, optimizer)
    found = [value for moments in optimizer.state.values() for value in moments.values()]
    assert len(found) > 30
    assert {value.device.type for value in found} == {"meta"}


def test_training_that_fails_waits_for_what_is_written(runs, tmp_path, monkeypatch):
    """Or the processes would part while one of them still writes."""
    run, _, _ = runs
    write, kind = HuggingFaceStorageWriter.write_data, find("brain_tokenizer")
    forward, failed = kind.forward, threading.Event()

    def slow(self, *arguments):
        assert failed.wait(60)
        time.sleep(0.3)
        return write(self, *arguments)

    def fails(self, batch):
        if (tmp_path / "state/step-00000002").exists():
            failed.set()
            raise ValueError("of this step")
        return forward(self, batch)

    monkeypatch.setattr(HuggingFaceStorageWriter, "write_data", slow)
    monkeypatch.setattr(kind, "forward", fails)
    with pytest.raises(ValueError, match="of this step"):
        run(tmp_path, save="sharded")
    assert [each.name for each in state.finished(tmp_path / "state")] == ["step-00000002"]


def test_one_process_that_a_launcher_has_started(runs, tmp_path):
    """Its own group may be of GPUs alone, such as that of a job with one GPU on Slurm."""
    (run, one, _), last = runs, "step-00000006"
    dist.init_process_group("cuda:fake", store=dist.HashStore(), rank=0, world_size=1)
    try:
        run(tmp_path, save="sharded")
    finally:
        dist.destroy_process_group()
    weights, _ = sharded.whole(tmp_path / "state" / last)
    for name, value in load_file(one / last / "model.safetensors").items():
        assert torch.equal(weights[name], value), name


@pytest.mark.parametrize("steps", [[2, 4, 6], [6]])
def test_bad_input_parts_that_cannot_be_written(runs, tmp_path, monkeypatch, steps):
    """Also those of the last state, after which no other one is saved."""
    run, _, _ = runs
    write = HuggingFaceStorageWriter.write_data

    def full(self, *arguments):
        if int(str(self.path).partition("step-")[2][:8]) in steps:
            raise OSError("No space left on device")
        return write(self, *arguments)

    monkeypatch.setattr(HuggingFaceStorageWriter, "write_data", full)
    with pytest.raises(OSError, match=r"a state could not be written to .*No space left"):
        run(tmp_path, save="sharded")
    assert [state.step_of(each) for each in state.finished(tmp_path / "state")] == [
        step for step in (2, 4) if step not in steps]


def test_bad_input_parts_that_are_damaged(runs, tmp_path):
    """Of another architecture, or with a bit that was changed."""
    import shutil

    _, _, parts = runs
    shutil.copytree(parts, tmp_path / "state")
    found = state.finished(tmp_path / "state")[-1]
    with pytest.raises(ValueError, match="is of another architecture"):
        state.load_model(found, torch.nn.Linear(2, 2))
    file = next((found / state.SHARDS).iterdir())
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    accelerator = accelerator_for(TrainConfig(**SETTINGS), tmp_path)
    said = []
    assert state.newest(tmp_path / "state", accelerator, said.append).name == "step-00000004"
    assert "looking for an older state" in said[0]
