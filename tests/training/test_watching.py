"""What a training tells of itself: pace, machine, parts of the validation, trackers."""

import contextlib
import json
import sys
import types

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from neurofm.models.flops import forward_flops, training_flops
from neurofm.run import Stopped
from neurofm.training import machine, tracking
from neurofm.training.loop import TrainConfig, accelerator_for, train, validate
from neurofm.training.pace import Pace, pace_of
from neurofm.training.parts import Parts, parts_of
from tests.training.test_resume import a_brainomni, a_tokenizer


def run(make, data, out, stop_after=None, **changes):
    config = TrainConfig(**{"steps": 6, "batch_windows": 8, "log_every": 2, **changes})
    accelerator = accelerator_for(config, out)
    model, windows = make(), data.select("train")
    return train(model, data, windows, config, out, accelerator, stop_after=stop_after,
                 pace=pace_of(model, data, windows, accelerator), say=lambda *_: None)


def test_flops_of_a_product(tmp_path):
    """A linear layer over 3 rows: 2 · 3 · 5 · 7, thrice that in training; frozen parts once."""
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(5, 5), torch.nn.Linear(5, 7)
            self.first.requires_grad_(False)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen += 1
            return self.second(self.first(x) + torch.rand(5))

    model, before = Two(), torch.get_rng_state()
    assert forward_flops(model, torch.ones(3, 5)) == (2 * 3 * 5 * 5 + 2 * 3 * 5 * 7, 2 * 3 * 5 * 7)
    assert model.seen == 0
    assert torch.equal(torch.get_rng_state(), before)

    class Source:
        def widths(self, windows):
            return np.array([3, 5, 4])[windows]

        def batch(self, windows, seeds):
            return torch.ones(int(self.widths(windows)[0]), 5)

    mean = 4 * (2 * 25 + 3 * 2 * 35)
    assert training_flops(model, Source(), np.arange(3)) == pytest.approx(mean)


def test_flops_of_a_transformer(tokenizer_folder, tokens_folder):
    """Within a tenth of the usual estimate: 2 FLOPs a weight of matrices and token."""
    model, data = a_brainomni(tokenizer_folder, dim=64), TokenSet.open(tokens_folder)
    batch = data.batch(np.array([0]), np.array([0]))
    whole, trained = forward_flops(model, batch)
    matrices = [m for m in model.blocks.modules() if isinstance(m, torch.nn.Linear)]
    tokens = batch.ids.shape[1] * batch.ids.shape[2]
    blocks = 2 * tokens * sum(m.weight.numel() for m in matrices)
    assert blocks < trained <= whole < 1.6 * blocks


def test_the_log_has_pace_and_machine(tokenizer_folder, tokens_folder, tmp_path):
    data = TokenSet.open(tokens_folder)
    run(lambda: a_brainomni(tokenizer_folder), data, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    ids = data.batch(np.array([0])).ids
    for line in lines:
        assert line["tokens_per_s"] == pytest.approx(
            line["windows_per_s"] * ids.shape[1] * ids.shape[2])
        assert line["tflop_per_s"] > 0
        assert line["rss_gb"] > 0.05
        assert "share_of_peak" not in line  # of a CPU it is not known


def test_share_of_peak():
    found = Pace(flops=2e12, tokens=3, peak=1e14).rates(10.0)
    assert found == {"tokens_per_s": 30.0, "tflop_per_s": 20.0, "share_of_peak": 0.2}
    assert Pace().rates(10.0) == {}


def test_energy(tmp_path):
    """RAPL's counters, which wrap; parts of a package are not counted twice."""
    for name, used in (("intel-rapl:0", 1_000_000), ("intel-rapl:0:0", 5), ("intel-rapl:1", 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(str(used))
        (tmp_path / name / "max_energy_range_uj").write_text("10000000")
    energy = machine.Energy(tmp_path)
    assert energy.what == "processors (RAPL)"
    (tmp_path / "intel-rapl:0/energy_uj").write_text("500000")  # 9.5 J later
    (tmp_path / "intel-rapl:1/energy_uj").write_text("500000")
    assert energy.since_wh() == pytest.approx(10 / 3600)
    assert machine.Energy(tmp_path / "none").since_wh() is None
    assert machine.Energy(tmp_path / "none").what == ""


def test_validation_by_layout(corpus_folder, tmp_path):
    """The parts' means are those of their windows alone, and give the whole."""
    data, model = Corpus.open(corpus_folder), a_tokenizer()
    windows = np.concatenate([data.select("validation"), data.select("test")])
    accelerator, config = Accelerator(cpu=True), TrainConfig(batch_windows=8)
    parts = parts_of(data, windows)
    found = validate(model, data, windows, config, accelerator, parts)
    whole = validate(model, data, windows, config, accelerator)
    widths = data.widths(windows)
    names = [f"val/loss/{n} channels" for n in sorted(set(widths))]
    assert len(names) == 2
    assert {name for name in found if name.startswith("val/loss/")} == {*names}
    assert found["val/loss"] == pytest.approx(whole["val/loss"], abs=1e-6)
    shares = [np.mean(widths == n) for n in sorted(set(widths))]
    assert sum(share * found[name] for share, name in zip(shares, names, strict=True)
               ) == pytest.approx(whole["val/loss"], abs=1e-6)
    assert parts_of(data, data.select("validation")) is None  # one data set, one layout


def test_parts_that_are_many():
    parts = Parts([f"d{k}" for k in range(20)] * 2, ["19 channels"] * 40)
    assert len(parts.names) == 13
    sums = torch.ones(13, 2, dtype=torch.float64)
    assert "val/loss/others" in parts.means(sums)
    assert "val/loss/19 channels" not in parts.means(sums)  # the only layout


def test_resume_of_tensorboard(tokenizer_folder, tokens_folder, tmp_path):
    """One curve, without the steps that were done twice."""
    def make():
        return a_brainomni(tokenizer_folder)

    data = TokenSet.open(tokens_folder)
    with pytest.raises(Stopped):
        run(make, data, tmp_path, 4, track=["tensorboard"], save_every=3)
    state = tmp_path / "state/step-00000004"
    (state / "manifest.json").unlink()  # killed: goes on from step 3
    run(make, data, tmp_path, track=["tensorboard"])
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [event.step for event in events.Scalars("loss")]
    assert steps == [line["step"] for line in lines] == [2, 4, 6]
    assert events.Scalars("lr")[-1].value == pytest.approx(lines[-1]["lr"])


def a_fake(name: str, monkeypatch) -> list:
    """A tracker's package that writes down what it is told."""
    told, module = [], types.ModuleType(name)

    class Run:
        def log(self, values, step=None, **_):
            told.append(("log", step, sorted(values)[:2]))

        def finish(self):
            told.append(("finish",))

    module.init = lambda **how: told.append(("init", how)) or Run()
    module.config = types.SimpleNamespace(
        update=lambda values, **_: told.append(("config", values["train.lr"])))
    module.__spec__ = types.SimpleNamespace(name=name)
    monkeypatch.setitem(sys.modules, name, module)
    return told


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_resume_of_the_same_run(name, tokenizer_folder, tokens_folder, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    told, out = a_fake(name, monkeypatch), tmp_path / "tiny"
    data = TokenSet.open(tokens_folder)
    config = TrainConfig(steps=6, batch_windows=8, log_every=2, track=[name])
    for stop_after in (4, None):
        with contextlib.suppress(Stopped):
            train(a_brainomni(tokenizer_folder), data, data.select("train"), config, out,
                  accelerator_for(config, out), stop_after=stop_after,
                  hyperparameters={"train.lr": config.lr}, say=lambda *_: None)
    first, second = (entry[1] for entry in told if entry[0] == "init")
    assert first == second
    assert first["project"] == "neurofm"
    assert first["resume"] == "allow"
    assert "tiny" in first["name"]
    assert [entry[1] for entry in told if entry[0] == "log"] == [2, 4, 6]
    assert [entry[0] for entry in told].count("finish") == 2
    assert ("config", config.lr) in told


def test_bad_input_a_tracker_that_is_not_installed(tmp_path):
    assert "wandb" not in sys.modules
    with pytest.raises(ValueError, match=r"train.track wandb needs wandb, which is not installed: "
                                         r"pip install wandb"):
        accelerator_for(TrainConfig(track=["wandb"]), tmp_path)
    assert tracking.check(["auto", "tensorboard"]) == ["tensorboard"]
