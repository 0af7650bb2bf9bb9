"""A run that was stopped and continued is, bit for bit, the run that never stopped."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from neurofm import artifacts, checkpoints
from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from neurofm.models.brainomni import BrainOmni, BrainOmniConfig
from neurofm.nn.trainable import Trainable
from neurofm.run import Stopped
from neurofm.tokenizers.brain_tokenizer import BrainTokenizer, BrainTokenizerConfig
from neurofm.training import state
from neurofm.training.loop import TrainConfig, accelerator_for, train
from neurofm.training.pace import MEASURED
from tests.support import corpora


def a_tokenizer() -> BrainTokenizer:
    torch.manual_seed(0)
    return BrainTokenizer(BrainTokenizerConfig(**corpora.TOKENIZER))


def a_brainomni(tokenizer: Path, **changes) -> BrainOmni:
    torch.manual_seed(0)
    config = BrainOmniConfig(**{**corpora.BRAINOMNI, "dropout": 0.1, **changes})
    return BrainOmni(config, tokenizer=checkpoints.load(tokenizer))


@pytest.fixture(params=["tokenizer", "brainomni"])
def task(request, corpus_folder, tokenizer_folder, tokens_folder):
    """(a function that makes the model, the data)"""
    if request.param == "tokenizer":
        return a_tokenizer, Corpus.open(corpus_folder)
    return lambda: a_brainomni(tokenizer_folder), TokenSet.open(tokens_folder)


def run(make, data, out: Path, stop_after=None, **changes):
    config = TrainConfig(**{
        "steps": 20, "batch_windows": 8, "log_every": 4, "save_every": 100, "validate_every": 8,
        "lr": 3e-3, **changes,
    })  # fmt: skip
    return train(
        make(), data, data.select("train"), config, out, accelerator_for(config, out),
        validation=(data, data.select("validation")), stop_after=stop_after, say=lambda *_: None,
    )


def log(out: Path) -> list[dict]:
    lines = map(json.loads, (out / "log.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name not in MEASURED} for line in lines]


def assert_same_end(one: Path, other: Path, step: int = 20) -> None:
    """Weights, codebooks, moments, generators and logged numbers, to the bit."""
    assert str(log(one)) == str(log(other))  # as text: NaN equals itself there
    names = sorted(p.name for p in (one / f"state/step-{step:08d}").glob("*.safetensors"))
    assert names == ["model.safetensors", "optimizer.safetensors", "random-0.safetensors"]
    for name in names:
        a, b = (load_file(out / f"state/step-{step:08d}" / name) for out in (one, other))
        assert a.keys() == b.keys()
        for key in a:
            assert torch.equal(a[key], b[key]), f"{name}: {key}"


def test_resume_is_exact(task, tmp_path):
    make, data = task
    run(make, data, tmp_path / "whole")
    # Stopped before the quantizer starts (step 7), between two lines of the log, and after.
    for stop_after in (5, 10, 13):
        with pytest.raises(Stopped, match=f"after step {stop_after} .*run the same command"):
            run(make, data, tmp_path / "parts", stop_after)
    run(make, data, tmp_path / "parts")
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_resume_window_holds_start_and_revival(corpus_folder, tmp_path):
    """What the exactness above is worth: k-means start and dead codes do fall into those steps."""
    data = Corpus.open(corpus_folder)
    with pytest.raises(Stopped):
        run(a_tokenizer, data, tmp_path, stop_after=5)
    before = load_file(tmp_path / "state/step-00000005/model.safetensors")
    assert not before["quantizer.started"]
    assert before["quantizer.bypassed"]
    with pytest.raises(Stopped):
        run(a_tokenizer, data, tmp_path, stop_after=10)
    after = load_file(tmp_path / "state/step-00000010/model.safetensors")
    assert after["quantizer.started"]
    assert after["quantizer.n_updates"] == 4
    # A code that has just been revived has exactly as many uses as revival gives it.
    assert (after["quantizer.uses"] == 2.0).any()


class Another(Trainable):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2, 2))


class Late(Trainable):
    """Has a parameter that takes no part in the first half of a run."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Parameter(torch.ones(3))
        self.second = torch.nn.Parameter(torch.ones(()))

    def anneal(self, progress):
        self.late = progress >= 0.5

    def forward(self, batch):
        loss = (batch.ids.float().mean() * self.first - 3).square().sum()
        return (loss * self.second if self.late else loss), {}


def test_resume_of_what_had_no_gradient_yet(tokens_folder, tmp_path):
    data = TokenSet.open(tokens_folder)
    config = TrainConfig(steps=8, batch_windows=8, log_every=1)
    for out, stops in (("whole", [None]), ("parts", [3, 6, None])):
        for stop_after in stops:
            try:
                train(Late(), data, data.select("train"), config, tmp_path / out,
                      accelerator_for(config, tmp_path / out), stop_after=stop_after,
                      say=lambda *_: None)
            except Stopped:
                state_ = tmp_path / out / f"state/step-{stop_after:08d}/optimizer.safetensors"
                assert ("second/exp_avg" in load_file(state_)) == (stop_after > 4)
    assert_same_end(tmp_path / "whole", tmp_path / "parts", step=8)


def test_resume_without_a_first_line(task, tmp_path):
    """Killed before anything was saved: the log of the lost steps does not stay."""
    make, data = task
    with pytest.raises(Stopped):
        run(make, data, tmp_path / "killed", stop_after=9)
    shutil.rmtree(tmp_path / "killed" / "state")
    run(make, data, tmp_path / "killed", steps=20)
    run(make, data, tmp_path / "whole")
    assert_same_end(tmp_path / "whole", tmp_path / "killed")


def test_resume_after_a_kill_during_saving(task, tmp_path, monkeypatch):
    make, data = task
    run(make, data, tmp_path / "whole")
    with pytest.raises(Stopped):
        run(make, data, tmp_path / "killed", stop_after=6)

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(state.artifacts, "seal", killed)
    with pytest.raises(KeyboardInterrupt):
        run(make, data, tmp_path / "killed", stop_after=11)
    monkeypatch.undo()
    folder = tmp_path / "killed" / "state"
    assert (folder / "step-00000011" / "model.safetensors").exists()
    assert state.finished(folder) == [folder / "step-00000006"]
    # More processes were at it when it was killed: their files do not end up in the new state.
    (folder / "step-00000011" / "random-7.safetensors").write_bytes(b"")
    with pytest.raises(Stopped):
        run(make, data, tmp_path / "killed", stop_after=11)
    assert not (folder / "step-00000011" / "random-7.safetensors").exists()
    run(make, data, tmp_path / "killed")
    assert_same_end(tmp_path / "whole", tmp_path / "killed")


def test_resume_from_the_older_state_when_the_newest_is_damaged(task, tmp_path):
    make, data = task
    run(make, data, tmp_path / "whole")
    for stop_after in (4, 9):
        with pytest.raises(Stopped):
            run(make, data, tmp_path / "damaged", stop_after)
    file = tmp_path / "damaged/state/step-00000009/optimizer.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    log_file = tmp_path / "damaged/log.jsonl"
    log_file.write_text(log_file.read_text() + '{"step": 10, "lo')  # a line cut by a crash
    run(make, data, tmp_path / "damaged")
    assert_same_end(tmp_path / "whole", tmp_path / "damaged")


def test_resume_in_bf16_is_exact(tokenizer_folder, tokens_folder, tmp_path):
    def make():
        return a_brainomni(tokenizer_folder)

    data = TokenSet.open(tokens_folder)
    run(make, data, tmp_path / "whole", precision="bf16")
    with pytest.raises(Stopped):
        run(make, data, tmp_path / "parts", 7, precision="bf16")
    run(make, data, tmp_path / "parts", precision="bf16")
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    run(make, data, tmp_path / "float32", precision="float32")
    pairs = list(zip(log(tmp_path / "whole"), log(tmp_path / "float32"), strict=True))
    losses = [(a["loss"], b["loss"]) for a, b in pairs if "loss" in a]
    assert all(a != b and abs(a - b) < 0.02 * b for a, b in losses)
    weights = load_file(tmp_path / "whole/state/step-00000020/model.safetensors")
    assert weights["head.weight"].dtype == torch.float32


def test_resume_keeps_the_chosen_weights(tokenizer_folder, tokens_folder, tmp_path):
    """`choose`: the weights of the lowest value come back, across a stop as well. (Here of
    something that rises with training, so that they are not the last.)"""
    data = TokenSet.open(tokens_folder)

    def once(out, stop_after=None):
        config = TrainConfig(steps=12, batch_windows=8, lr=0.02, warmup=0.0, validate_every=2)
        return train(
            a_brainomni(tokenizer_folder), data, data.select("train"), config, out,
            accelerator_for(config, out), validation=(data, data.select("validation")),
            choose="val/accuracy_0", stop_after=stop_after, say=lambda *_: None,
        )

    whole = once(tmp_path / "whole")
    with pytest.raises(Stopped):
        once(tmp_path / "parts", 7)
    parts = once(tmp_path / "parts")
    values = [line["val/accuracy_0"] for line in log(tmp_path / "whole")
              if "val/accuracy_0" in line]
    assert values.index(min(values)) < 2
    last = load_file(tmp_path / "whole/state/step-00000012/model.safetensors")
    chosen = load_file(tmp_path / "whole/state/chosen.safetensors")
    assert not torch.equal(last["head.weight"], chosen["head.weight"])
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, chosen[name])
        assert torch.equal(tensor, parts.state_dict()[name])


def test_no_sound_state_is_told(task, tmp_path):
    """Starting from the beginning, with the log of what is lost cut away, is said."""
    make, data = task
    with pytest.raises(Stopped):
        run(make, data, tmp_path, 4)
    (tmp_path / "state/step-00000004/model.safetensors").write_bytes(b"")
    said, config = [], TrainConfig(steps=20)
    assert state.newest(tmp_path / "state", accelerator_for(config, tmp_path), said.append) is None
    assert "model.safetensors: has 0 bytes" in said[0]
    assert said[1] == "no valid state is left: starting from the beginning"
    said.clear()
    assert state.newest(tmp_path / "none", accelerator_for(config, tmp_path), said.append) is None
    assert said == []


def test_resume_of_a_run_with_another_order_is_refused(task, tmp_path):
    """Of an earlier version: half of its pass would come again, and half of it never."""
    make, data = task
    with pytest.raises(Stopped):
        run(make, data, tmp_path, 3)
    folder = tmp_path / "state/step-00000003"
    manifest = json.loads((folder / artifacts.FILE_NAME).read_text())
    del manifest["config"]["order"]
    artifacts.unseal(folder)
    artifacts.seal(folder, "state", config=manifest["config"], code=False,
                   files=[path.name for path in folder.glob("*.safetensors")])
    with pytest.raises(artifacts.ArtifactError, match=r"earlier version.*another order"):
        run(make, data, tmp_path)


def test_a_full_disk_is_told_with_the_file(task, tmp_path, monkeypatch):
    """The states before stay, and the run goes on from them when there is room again."""
    make, data = task
    run(make, data, tmp_path / "whole")
    with pytest.raises(Stopped):
        run(make, data, tmp_path / "full", 6)

    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr(state, "save_file", full)
    with pytest.raises(OSError, match=r"step-00000009/.*could not be written: .*No space left"):
        run(make, data, tmp_path / "full", 9)
    monkeypatch.undo()
    assert [path.name for path in state.finished(tmp_path / "full/state")] == ["step-00000006"]
    run(make, data, tmp_path / "full")
    assert_same_end(tmp_path / "whole", tmp_path / "full")


def test_weights_of_another_shape_are_refused(tmp_path):
    """They would otherwise be spread to fit: one number copied to all."""
    accelerator = accelerator_for(TrainConfig(), tmp_path)
    state.save_weights(tmp_path / "one.safetensors", torch.nn.Linear(4, 1), accelerator)
    other = torch.nn.Linear(4, 3)
    with pytest.raises(ValueError, match=r"another architecture: .* is \[1.*\], wanted \[3"):
        state.load_weights(tmp_path / "one.safetensors", other)


def test_states_that_stay(task, tmp_path):
    make, data = task
    run(make, data, tmp_path, save_every=5, keep=2)
    kept = sorted(path.name for path in (tmp_path / "state").iterdir())
    assert kept == ["step-00000015", "step-00000020"]
    manifest = artifacts.open_sealed(tmp_path / "state/step-00000015", "state", hashes=True)
    assert manifest.config["step"] == 15


def test_another_architecture_is_refused(task, corpus_folder, tmp_path):
    make, data = task
    with pytest.raises(Stopped):
        run(make, data, tmp_path, stop_after=2)
    with pytest.raises(ValueError, match=r"another architecture.*only one of the two"):
        run(Another, data, tmp_path)
