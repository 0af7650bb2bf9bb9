"""The loop: accumulation, validation, what it logs, and how it stops."""

import json
import math
import os
import signal
import time
from itertools import pairwise

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from neurofm import checkpoints
from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from neurofm.models.brainomni import BrainOmni, BrainOmniConfig
from neurofm.nn.trainable import Trainable
from neurofm.run import Stopped
from neurofm.tokenizers.brain_tokenizer import BrainTokenizer, BrainTokenizerConfig
from neurofm.training.finite import NotANumber
from neurofm.training.log import Log
from neurofm.training.loop import TrainConfig, accelerator_for, train, validate
from neurofm.training.schedule import learning_rate, parameter_groups
from tests.support import corpora


class Toy(Trainable):
    """Scales the signal; can be told to be slow, or to fail at a step."""

    def __init__(self, sleep_s: float = 0.0, fails_at: int | None = None):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.sleep_s, self.fails_at, self.calls = sleep_s, fails_at, 0

    def forward(self, batch):
        self.calls += self.training
        time.sleep(self.sleep_s)
        error = (batch.signal * self.scale - 1).square().flatten(1).mean(1)
        loss = error.mean() * (math.nan if self.calls == self.fails_at else 1.0)
        return loss, {"sometimes": torch.tensor(math.nan if self.calls == 2 else 1.0)}


def run(model, data, out, **changes):
    options = {name: changes.pop(name) for name in ("validation", "stop_after", "say")
               if name in changes}
    config = TrainConfig(**{"steps": 6, "batch_windows": 8, "log_every": 1,
                            "precision": "float32", **changes})
    return train(model, data, data.select("train"), config, out, accelerator_for(config, out),
                 **{"say": lambda *_: None, **options})


def log(out, name="loss"):
    lines = map(json.loads, (out / "log.jsonl").read_text().splitlines())
    return [line[name] for line in lines if name in line]


@pytest.fixture(scope="module")
def corpus(corpus_folder):
    return Corpus.open(corpus_folder)


def test_accumulation_is_the_larger_batch(tokenizer_folder, tokens_folder, tmp_path):
    data, tokenizer = TokenSet.open(tokens_folder), checkpoints.load(tokenizer_folder)
    for name, accumulate in (("whole", 1), ("parts", 4)):
        torch.manual_seed(0)
        model = BrainOmni(BrainOmniConfig(**corpora.BRAINOMNI), tokenizer=tokenizer)
        run(model, data, tmp_path / name, steps=12, accumulate=accumulate, lr=3e-3)
    whole, parts = log(tmp_path / "whole"), log(tmp_path / "parts")
    assert max(abs(a - b) for a, b in zip(whole, parts, strict=True)) < 1e-5
    assert whole[-1] < whole[0]


def test_validation_does_not_depend_on_batch_size(corpus, tmp_path):
    """Means over windows. How many codes are in use: see the next test."""
    torch.manual_seed(0)
    model = BrainTokenizer(BrainTokenizerConfig(**corpora.TOKENIZER | {"quantize_from": 0.0}))
    run(model, corpus, tmp_path, steps=2)
    values = []
    for batch_windows, accumulate in ((1, 1), (8, 1), (8, 4), (100, 1)):
        config = TrainConfig(batch_windows=batch_windows, accumulate=accumulate)
        accelerator, everything = accelerator_for(config, tmp_path), corpus.select()
        values.append(validate(model, corpus, everything, config, accelerator))
    names = {name for name in values[0] if "perplexity" not in name and "dead" not in name}
    assert {"val/loss", "val/pearson", "val/reconstruction", "val/pearson_hidden"} <= names
    for name in names:
        assert values[1][name] == pytest.approx(values[0][name], abs=2e-6), name
        assert values[2][name] == pytest.approx(values[0][name], abs=2e-6), name
        assert values[3][name] == pytest.approx(values[0][name], abs=2e-6), name


class Codes(Toy):
    """Uses a code a window: its seed, or the number of its channels."""

    def logged(self, vectors):
        assert vectors.keys() == {"codes"}
        return {"perplexity": torch.special.entr(vectors["codes"]).sum().exp(),
                "dead": (vectors["codes"] == 0).sum()}

    def forward(self, batch):
        loss, _ = super().forward(batch)
        ids = batch.valid.sum(1) if self.training else batch.seed % 11
        share = torch.bincount(ids, minlength=16) / len(batch)
        return loss, {"codes": share, "one": loss.detach()}


@pytest.mark.parametrize(("batch_windows", "accumulate"), [(1, 1), (8, 1), (8, 4), (100, 1)])
def test_perplexity_is_of_all_windows_of_a_split(corpus, tmp_path, batch_windows, accumulate):
    config = TrainConfig(batch_windows=batch_windows, accumulate=accumulate)
    accelerator, everything = accelerator_for(config, tmp_path), corpus.select()
    values = validate(Codes(), corpus, everything, config, accelerator)
    assert len(everything) == 72
    share = torch.bincount(torch.arange(72) % 11) / 72
    assert values["val/perplexity"] == pytest.approx(torch.special.entr(share).sum().exp().item())
    assert values["val/dead"] == 5
    assert values["val/one"] == values["val/loss"]
    assert values.keys() == {"val/loss", "val/one", "val/perplexity", "val/dead"}


def test_perplexity_of_a_step_is_of_its_whole_batch(corpus, tmp_path):
    for accumulate in (1, 4):
        run(Codes(), corpus, tmp_path / str(accumulate), accumulate=accumulate, lr=1e-9)
    whole, parts = log(tmp_path / "1", "perplexity"), log(tmp_path / "4", "perplexity")
    assert parts == pytest.approx(whole)
    assert max(whole) > 1


def test_validation_learns_nothing(corpus, tmp_path):
    torch.manual_seed(0)
    model = BrainTokenizer(BrainTokenizerConfig(**corpora.TOKENIZER | {"quantize_from": 0.0}))
    run(model, corpus, tmp_path, steps=2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.get_rng_state()
    config = TrainConfig(batch_windows=4)
    validate(model, corpus, corpus.select("validation"), config, accelerator_for(config, tmp_path))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert model.training


def test_bad_input_inf_in_a_window(tmp_path):
    """An infinite sample stops the run; the message names step, recording and last good state."""
    folder = corpora.make(tmp_path / "corpus", spoil={"sub-02": 4})
    data = Corpus.open(folder)
    torch.manual_seed(0)
    model = BrainTokenizer(BrainTokenizerConfig(**corpora.TOKENIZER))
    with pytest.raises(NotANumber) as caught:
        run(model, data, tmp_path / "run", steps=12, save_every=1)
    message = str(caught.value)
    done = len(log(tmp_path / "run"))
    assert message.startswith(f"step {done + 1}: loss nan")
    assert "from /archive/sub-02.edf at 8.0 s (NaN or Inf in the signal itself)" in message
    assert message.count("/archive/") == 1
    good = f"state/step-{done:08d}" if done else "none yet"
    assert f"Last good state: {tmp_path / 'run' / good if done else good}" in message


def test_bad_input_model_that_fails(corpus, tmp_path):
    """Sound data, but a loss that is not a number: the windows of the micro-batch are named, and
    the weights are as they were."""
    model = Toy(fails_at=6)
    with pytest.raises(NotANumber) as caught:
        run(model, corpus, tmp_path, accumulate=4, lr=0.1, save_every=1)
    assert "step 2: loss nan, gradient norm nan. Process 0 had a loss that is not finite from" in (
        str(caught.value)
    )
    assert str(caught.value).count("/archive/") == 2  # 8 windows in 4 micro-batches
    assert "step-00000001" in str(caught.value)
    assert torch.isfinite(model.scale).all()


def test_handlers_are_put_back(corpus, tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    run(Toy(), corpus, tmp_path / "finished")
    with pytest.raises(NotANumber):
        run(Toy(fails_at=2), corpus, tmp_path / "failed")
    with pytest.raises(Stopped):
        run(Toy(), corpus, tmp_path / "stopped", stop_after=2)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_after_the_step(corpus, tmp_path, number):
    class Signaled(Toy):
        def forward(self, batch):
            if self.calls == 2 and self.training:
                os.kill(os.getpid(), number)
            return super().forward(batch)

    with pytest.raises(Stopped, match="stopped after step 3"):
        run(Signaled(), corpus, tmp_path)
    assert [p.name for p in (tmp_path / "state").iterdir()] == ["step-00000003"]


def test_share_of_waiting(corpus, tmp_path, monkeypatch):
    run(Toy(sleep_s=0.05), corpus, tmp_path / "slow_model", log_every=6)
    assert log(tmp_path / "slow_model", "data_wait")[0] < 0.3
    batch = Corpus.batch
    monkeypatch.setattr(Corpus, "batch", lambda *args: time.sleep(0.05) or batch(*args))
    run(Toy(), corpus, tmp_path / "slow_data", log_every=6)
    (share,), (speed,) = (log(tmp_path / "slow_data", n) for n in ("data_wait", "windows_per_s"))
    assert share > 0.7
    assert speed < 8 / 0.05


def test_what_is_logged(corpus, tmp_path):
    """Averages since the last line, numbers that are sometimes missing, TensorBoard."""
    said = []
    run(Toy(), corpus, tmp_path / "each")
    run(Toy(), corpus, tmp_path / "threes", log_every=3, validate_every=3, say=said.append,
        validation=(corpus, corpus.select("validation")))
    each, threes = log(tmp_path / "each"), log(tmp_path / "threes")
    assert threes == [pytest.approx(sum(each[:3]) / 3), pytest.approx(sum(each[3:]) / 3)]
    assert log(tmp_path / "threes", "sometimes") == [1.0, 1.0]
    assert len(log(tmp_path / "threes", "val/loss")) == 2
    assert len(said) == 5
    assert said[0].split()[:3] == ["step", "on", "loss"]
    assert [line.split()[:4] for line in said[1:]] == [
        ["3", "of", "6", "train"], ["3", "of", "6", "val"],
        ["6", "of", "6", "train"], ["6", "of", "6", "val"]]
    assert all(len(line) <= 100 for line in said)
    events = EventAccumulator(str(tmp_path / "threes" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [3, 6]
    (folder,) = [p.parent for p in (tmp_path / "threes" / "tensorboard").glob("*/hparams.yml")]
    assert "batch_windows: 8" in (folder / "hparams.yml").read_text()


def test_killed_while_the_log_is_cut(tmp_path, monkeypatch):
    """A resumed run drops the lines of steps it does again: killed there, the log stays whole."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "val/loss": 3.0}\n{"step": 2, "val/loss": 2.0}\n')
    accelerator = accelerator_for(TrainConfig(), tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("neurofm.training.log.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        Log(tmp_path, accelerator).begin(1, {}, {})
    assert log(tmp_path, "val/loss") == [3, 2]
    monkeypatch.undo()
    mended = Log(tmp_path, accelerator)
    mended.begin(1, {}, {})
    assert log(tmp_path, "val/loss") == [3]
    assert mended.lowest("val/loss") == 3
    assert mended.lowest("val/other") == math.inf
    mended.close()


def test_schedule():
    rates = [learning_rate(step, 100, peak=2.0, warmup=0.1, final=0.05) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert all(a >= b for a, b in pairwise(rates[9:]))
    assert rates[55] == pytest.approx((2.0 + 0.1) / 2)
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)


def test_parameter_groups_follow_the_model():
    model = BrainTokenizer(BrainTokenizerConfig(**corpora.TOKENIZER))
    decayed, kept = parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert {id(p) for p in model.quantizer.parameters()} <= {id(p) for p in kept["params"]}
    assert all(p.ndim >= 2 for p in decayed["params"])
    both = len(decayed["params"]) + len(kept["params"])
    assert both == sum(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", 0), ("accumulate", 0), ("workers", -1), ("warmup", 1.5), ("lr", -1.0), ("lr", 0.0),
     ("lr", math.nan), ("beta2", 1.0), ("eps", 0.0), ("weight_decay", -0.1), ("final_lr", 1.5),
     ("clip_norm", math.nan)],
)
def test_bad_input_settings(field, value):
    with pytest.raises(ValueError, match=rf"train\.{field} .*got {value}"):
        TrainConfig(**{field: value})
