"""How a step is computed: one graph a block, no wait for a GPU, numbers looked at late."""

import math
from itertools import pairwise

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from neurofm import checkpoints
from neurofm.data.corpus import Corpus
from neurofm.data.tokens import TokenSet
from neurofm.models.brainomni import BrainOmni, BrainOmniConfig
from neurofm.nn.attention import CrissCrossBlock, rotary_table
from neurofm.nn.dropout import window_keys
from neurofm.run import Stopped
from neurofm.training import compute, late
from neurofm.training.finite import NotANumber
from neurofm.training.loop import TrainConfig, accelerator_for, train
from tests.support import corpora, shape_checks
from tests.training.test_loop import Toy

WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "item", "masked_select", "bincount",
         "equal", "unique")


class Waits(TorchDispatchMode):
    """Counts operations for which the host would wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        boolean = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            each is not None and each.dtype == torch.bool for each in args[1])
        if name in WAITS or boolean:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def brainomni(tokenizer_folder):
    torch.manual_seed(0)
    return BrainOmni(BrainOmniConfig(**corpora.BRAINOMNI | {"dropout": 0.1}),
                     tokenizer=checkpoints.load(tokenizer_folder))


def run(model, data, out, stop_after=None, **changes):
    config = TrainConfig(**{"steps": 6, "batch_windows": 8, "log_every": 100, "lr": 3e-3,
                            "precision": "float32", **changes})
    return train(model, data, data.select("train"), config, out, accelerator_for(config, out),
                 stop_after=stop_after, say=lambda *_: None)


@pytest.fixture
def tokens(tokens_folder):
    return TokenSet.open(tokens_folder)


@pytest.fixture
def unchecked():
    """Without the checks of shapes, whose own code dynamo would trace."""
    torch._dynamo.reset()
    with shape_checks.paused():
        yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("unchecked")
def test_a_block_is_one_graph():
    block, table = CrissCrossBlock(16, 4, dropout=0.1).train(), rotary_table(5, 8)
    x = torch.randn(2, 3, 5, 16)
    keys = window_keys(torch.tensor([1, 2]), 2, 3, x.device)
    found = torch._dynamo.explain(block)(x, table, keys)
    assert (found.graph_count, found.graph_break_count) == (1, 0)
    torch._dynamo.reset()
    whole = torch.compile(block, backend="aot_eager", fullgraph=True, dynamic=False)
    torch.testing.assert_close(whole(x, table, keys), block(x, table, keys))


@pytest.mark.usefixtures("unchecked")
def test_all_blocks_share_one_graph(tokenizer_folder, tokens):
    """Regional: what is compiled for the first block serves the others; weights keep their
    names."""
    model = brainomni(tokenizer_folder)
    names = list(model.state_dict())
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    for block in model.blocks_of_one_kind():
        block.compile(backend=backend, dynamic=False)
    batch = tokens.batch(tokens.select("train")[:4])
    model.train()(batch)[0].backward()
    assert len(model.blocks) > 1
    assert len(graphs) == 1
    assert list(model.state_dict()) == names


def test_a_step_waits_for_no_gpu(tokenizer_folder, tokens, tmp_path, monkeypatch):
    monkeypatch.setattr(late, "ON_CPU", True)
    model, waits, seen = brainomni(tokenizer_folder), Waits(), []
    forward = model.forward

    def watched(batch):
        seen.append(len(waits.seen))
        return forward(batch)

    model.forward = watched
    with waits:
        run(model, tokens, tmp_path)
    # From the second step's forward pass to the last one's: all that a step does.
    assert [b - a for a, b in pairwise(seen[1:])] == [0] * 4, waits.seen


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}])
def test_late_numbers_change_nothing(tokenizer_folder, tokens, tmp_path, monkeypatch, changes):
    at_once = run(brainomni(tokenizer_folder), tokens, tmp_path / "at_once", log_every=3, **changes)
    monkeypatch.setattr(late, "ON_CPU", True)
    other = run(brainomni(tokenizer_folder), tokens, tmp_path / "late", log_every=3, **changes)
    with pytest.raises(Stopped):
        run(brainomni(tokenizer_folder), tokens, tmp_path / "parts", 2, log_every=3, **changes)
    parts = run(brainomni(tokenizer_folder), tokens, tmp_path / "parts", log_every=3, **changes)
    for name, value in at_once.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
        assert torch.equal(value, parts.state_dict()[name]), name


def test_late_loss_that_is_not_a_number(corpus_folder, tmp_path, monkeypatch):
    """It is told a step later, by the step and the batch that it is of, and reaches no weight."""
    monkeypatch.setattr(late, "ON_CPU", True)
    data, seen = Corpus.open(corpus_folder), []

    class Watched(Toy):
        def forward(self, batch):
            seen.append((batch.source, self.scale.item()))
            return super().forward(batch)

    model = Watched(fails_at=3)
    with pytest.raises(NotANumber) as caught:
        run(model, data, tmp_path, lr=0.1)
    assert str(caught.value).startswith("step 3: loss nan")
    assert len(seen) == 4
    assert all(name in str(caught.value) for name in seen[2][0])
    assert seen[3][1] == seen[2][1] != seen[1][1]
    assert math.isfinite(model.scale.item())


def test_checkpointing_changes_nothing(tokenizer_folder, tokens, tmp_path):
    kept = run(brainomni(tokenizer_folder), tokens, tmp_path / "kept", steps=3)
    again = run(brainomni(tokenizer_folder), tokens, tmp_path / "again", steps=3,
                checkpointing=True)
    for name, value in kept.state_dict().items():
        torch.testing.assert_close(value, again.state_dict()[name], atol=1e-6, rtol=1e-5)


def test_bad_input_checkpointing_without_blocks(corpus_folder, tmp_path):
    with pytest.raises(ValueError, match="a Toy has no blocks"):
        run(Toy(), Corpus.open(corpus_folder), tmp_path, checkpointing=True)


def test_auto_is_bf16_where_that_is_faster(tokenizer_folder, monkeypatch):
    cpu, model, auto = torch.device("cpu"), brainomni(tokenizer_folder), TrainConfig()
    monkeypatch.setattr(compute, "has_amx", lambda: True)
    assert compute.precision_of(auto, cpu, model) == "bf16"
    assert compute.precision_of(auto, cpu, Toy()) == "float32"
    assert compute.precision_of(TrainConfig(precision="float32"), cpu, model) == "float32"
    monkeypatch.setattr(compute, "has_amx", lambda: False)
    assert compute.precision_of(auto, cpu, model) == "float32"


def test_signals_are_decoded_in_float32_within_autocast(corpus_folder, tokenizer_folder):
    """Training in bf16 loses a tokenizer much of its reconstruction otherwise."""
    tokenizer = checkpoints.load(tokenizer_folder).eval()
    data = Corpus.open(corpus_folder)
    batch = data.batch(data.select("train")[:4])
    features = tokenizer.embed(batch)[:, :, :4].flatten(0, 1)

    def parts():
        return (tokenizer.codec.lead_field(batch.geometry, batch.kind, batch.valid),
                tokenizer.codec.decoder(features))

    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            rows, found = parts()
        for one, other in zip((rows, found), parts(), strict=True):
            assert torch.equal(one, other)


def test_auto_trains_a_tokenizer_in_float32_on_a_cpu(tokenizer_folder, monkeypatch):
    monkeypatch.setattr(compute, "has_amx", lambda: True)
    tokenizer = checkpoints.load(tokenizer_folder)
    assert compute.precision_of(TrainConfig(), torch.device("cpu"), tokenizer) == "float32"
