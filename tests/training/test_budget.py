"""Every process has the same work in every step, whatever layouts windows have; the loss and its
gradient are those of the whole batch, however it is cut."""

import json
import os
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from neurofm.data.batch import Batch
from neurofm.data.corpus import Corpus
from neurofm.nn.losses import masked_mean
from neurofm.nn.trainable import Trainable
from neurofm.tokenizers.brain_tokenizer import BrainTokenizer, BrainTokenizerConfig
from neurofm.tokenizers.ephys_tokenizer import EphysTokenizer, EphysTokenizerConfig
from neurofm.training import balance
from neurofm.training.by_width import ByWidth
from neurofm.training.compute import end
from neurofm.training.loop import TrainConfig, accelerator_for, train
from neurofm.training.sampler import Order, StepData
from tests.support import corpora

STEPS = 200
TRAIN = {"steps": STEPS, "batch_windows": 48, "log_every": 1, "save_every": STEPS, "lr": 1e-3}
WILD = (19, 306, 64, 19, 19)  # channels of five subjects


class Rows(Trainable):
    """Predicts the second half of each channel by the first; notes what it is given."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inside = torch.nn.Linear(corpora.N_TIMES // 2, corpora.N_TIMES // 2)
        self.given: list[list[tuple[int, int, int]]] = []  # windows, width, channels: of a batch

    def anneal(self, progress: float) -> None:
        self.given.append([])

    def forward(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        self.given[-1].append((*batch.signal.shape[:2], int(batch.valid.sum())))
        before, after = batch.signal.chunk(2, dim=-1)
        each = masked_mean((self.inside(before) - after).square(), batch.valid)
        return each.mean(), {"most": each.detach().max()}


def trained(folder: str, out: Path, world: int = 1, **changes) -> Rows:
    corpus, config = Corpus.open(folder), TrainConfig(**{**TRAIN, **changes})
    accelerator, model = accelerator_for(config, out), Rows()
    assert accelerator.num_processes == world
    windows = corpus.select("train")
    train(model, corpus, windows, config, out, accelerator, say=lambda *_: None)
    (out / f"given-{accelerator.process_index}.json").write_text(json.dumps(model.given))
    end(accelerator)
    return model


def one_of(rank: int, world: int, port: int, folder: str, out: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
                   "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    trained(folder, Path(out), world)


def log(out: Path, name: str) -> np.ndarray:
    return np.array([json.loads(line)[name]
                     for line in (out / "log.jsonl").read_text().splitlines()])


@pytest.fixture(scope="module")
def wild(tmp_path_factory) -> str:
    """A corpus in which three of five windows have 19 channels, one 64 and one 306."""
    return str(corpora.make(tmp_path_factory.mktemp("wild") / "corpus", n_channels=WILD,
                            n_windows=20, splits=("train",) * 5))


@pytest.mark.long
def test_budget_of_two_processes(wild, tmp_path):
    """200 steps over wildly mixed layouts: no stall, work alike, and the losses of one process."""
    one, two, world = tmp_path / "one", tmp_path / "two", int(os.environ.get("NEUROFM_WORLD", "2"))
    for out in (one, two):
        out.mkdir()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    mp.spawn(one_of, args=(world, port, wild, str(two)), nprocs=world)
    given = [json.loads((two / f"given-{rank}.json").read_text()) for rank in range(world)]
    counts = {len(step) for step in zip(*given, strict=True) if len(set(map(len, step))) > 1}
    assert not counts  # as many micro-batches on each: nobody waits for an exchange that never is
    assert [len(steps) for steps in given] == [STEPS] * world
    padded = np.array([[sum(n * width for n, width, _ in step) for step in steps]
                       for steps in given])
    real = np.array([[sum(channels for _, _, channels in step) for step in steps]
                     for steps in given])
    spread = (padded.max(axis=0) - padded.min(axis=0)) / padded.mean(axis=0)
    print(f"work of processes: spread {spread.max():.3f}; of steps: "
          f"{np.ptp(real.sum(axis=0)) / real.sum(axis=0).mean():.3f}; "
          f"padding {1 - real.sum() / padded.sum():.3f}")
    assert spread.max() < 0.1
    assert np.ptp(real.sum(axis=0)) / real.sum(axis=0).mean() < 0.1
    assert np.ptp(padded, axis=1).max() / padded.mean() < 0.15
    assert 1 - real.sum() / padded.sum() < 0.1
    model = trained(wild, one)
    assert np.abs(log(one, "loss") - log(two, "loss")).max() < 1e-6
    assert np.abs(log(one, "grad_norm") - log(two, "grad_norm")).max() < 1e-5
    assert log(one, "loss")[-20:].mean() < log(one, "loss")[:20].mean()
    assert all({width for _, width, _ in step} == {19, 64, 306} for step in model.given)


def test_budget_of_a_small_batch_is_told(wild):
    """Which batch would do, by a count of that batch; nothing where all is even, or alone."""
    corpus = Corpus.open(wild)
    windows, work = ByWidth.of(corpus.select("train"), corpus.widths), Rows().work
    said = balance.in_words(windows, 24, work, 4)
    assert (small := balance.spread(windows, 24, work, 4)) > 0.1
    assert f"differs by {100 * small:.0f} % on average" in said
    wanted = int(re.search(r"train.batch_windows (\d+) it would by", said)[1])
    assert balance.spread(windows, wanted, work, 4) <= 0.1
    assert balance.in_words(windows, wanted, work, 4) == ""
    assert balance.in_words(windows, 24, work, 1) == ""


def tokenizer() -> BrainTokenizer:
    return BrainTokenizer(BrainTokenizerConfig(**corpora.TOKENIZER | {"noise": 0.0}))


def attention_tokenizer() -> BrainTokenizer:
    return BrainTokenizer(BrainTokenizerConfig(
        **corpora.TOKENIZER | {"noise": 0.0, "spatial": "attention"}))


def ephys() -> EphysTokenizer:
    return EphysTokenizer(EphysTokenizerConfig(n_tokens=8, n_units=8, window_length=16,
                                               margin=0))


MODELS = {"rows": Rows, "leadfield": tokenizer, "attention": attention_tokenizer, "ephys": ephys}


@pytest.mark.parametrize("name", MODELS)
def test_budget_gradient_is_that_of_the_whole_batch(name, wild):
    """1, 2 and 4 processes, with and without accumulation: mean loss and mean gradient."""
    corpus = Corpus.open(wild)
    windows = corpus.select("train")
    order = Order(ByWidth.of(windows, corpus.widths), 16, seed=0)
    torch.manual_seed(0)
    model = MODELS[name]()
    real = torch.float32 if name == "leadfield" else torch.float64  # it computes in float32
    model.to(real)
    found = {}
    for world, accumulate in ((1, 1), (2, 1), (4, 1), (2, 2)):
        model.zero_grad()
        model.anneal(0.0)
        total = 0.0
        for rank in range(world):
            data = StepData(corpus, order, work=model.work, rank=rank, world=world,
                            accumulate=accumulate)
            for batch in data[2]:
                batch.signal, batch.geometry = batch.signal.to(real), batch.geometry.to(real)
                loss = model(batch)[0] * len(batch) / 16
                loss.backward()
                total += loss.item()
        gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()
                              if parameter.grad is not None])
        found[world, accumulate] = (total, gradient)
    whole, gradient = found.pop((1, 1))
    for total, other in found.values():
        assert abs(total - whole) < 1e-6
        assert (gradient - other).abs().max() < 1e-6 * max(1, gradient.abs().max())
