"""Dropout by seeds of windows: alike in any batch, padding and number of processes."""

from dataclasses import fields

import pytest
import torch
from torch import Tensor

from neurofm.data.contract import InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.models import find
from neurofm.nn import example
from neurofm.nn.dropout import Dropout, drop_at, seed_dropout, window_keys
from tests.support.shape_checks import paused

SEEDS = torch.tensor([5, 2**40 + 7, 11, 3])
KEY = window_keys(SEEDS, 4, 1, torch.device("cpu"))[0]


def test_share_and_mean():
    x = torch.ones(4, 3, 64, 65)
    dropped = drop_at(x, KEY, 0.3)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.005)
    assert dropped.max().item() == pytest.approx(1 / 0.7)
    for one, other in ((dropped[0], dropped[1]), (dropped[0, 0], dropped[0, 1]),
                       (dropped[0, 0, 0], dropped[0, 0, 1]), (dropped[..., 0], dropped[..., 1])):
        alike = ((one == 0) & (other == 0)).float().mean().item()
        assert alike == pytest.approx(0.09, abs=0.04)  # independent of each other


def test_same_in_any_batch_and_padding():
    x = torch.randn(8, 6, 10, 5)  # two rows a window
    whole = drop_at(x, KEY, 0.4)
    assert torch.equal(whole[2:4], drop_at(x[2:4], KEY[1:2], 0.4))
    assert torch.equal(whole[:, :4, :7], drop_at(x[:, :4, :7], KEY, 0.4))


def test_compiled_the_same():
    layer, x = Dropout(0.2), torch.randn(4, 7, 9, requires_grad=True)
    seed_dropout(layer, SEEDS, 4, x.device)
    with paused():  # shapes are not checked inside of a graph
        found = torch.compile(layer, backend="aot_eager", fullgraph=True)(x)
    torch._dynamo.reset()
    found.sum().backward()
    assert torch.equal(found, drop_at(x, KEY, 0.2))
    assert torch.equal(x.grad == 0, found == 0)


def test_without_seeds_or_training():
    layer, x = Dropout(0.5), torch.ones(2, 1000)
    assert 300 < (layer(x) == 0).sum() / 2 < 700  # torch's generator
    assert not torch.equal(layer(x), layer(x))
    seed_dropout(layer, SEEDS[:2], 2, x.device)
    assert torch.equal(layer(x), layer(x))
    assert layer.eval()(x) is x


MODELS = {
    "brain_tokenizer": {"n_filters": 4, "dim": 16, "n_codes": 16, "window_length": 64},
    "meg_gpt": {"dim": 16, "n_heads": 2, "feedforward_dim": 32, "n_blocks": 2, "context": 40},
    "meg_gpt patched": {"body": "patched", "plan": [[40, 1, 40, 1, 0]], "n_channels": 24, "dim": 16,
                        "n_heads": 2, "feedforward_dim": 32, "channel_attention": True},
    "brainmae": {"dim": 16, "n_factors": 8},
}


@pytest.mark.parametrize("name", MODELS)
def test_distributed_shares_of_a_batch(name):
    """The loss of two windows with dropout is the mean of those of each by itself."""
    torch.manual_seed(0)
    kind = find(name.split()[0])
    model = kind(kind.config_class(**MODELS[name], dropout=0.3)).train()
    contract = FMRIContract() if name == "brainmae" else InputContract(
        sfreq=64.0, lowpass_hz=None, notch_hz=(), window_s=2.0, kinds=("mag",))
    batch = example.windows(contract, n_channels=24)
    if name == "brain_tokenizer":
        part(model, batch, slice(0, 2))  # the quantizer starts
        model.quantizer.eval()  # its codes move with each batch
    whole = part(model, batch, slice(0, 2))
    shares = [part(model, batch, slice(k, k + 1)) for k in (0, 1)]
    assert whole.item() == pytest.approx(sum(shares).item() / 2, rel=1e-5)
    assert part(model, batch, slice(0, 2)).item() == whole.item()
    assert abs(part(model, batch, slice(0, 2), seed=1) - whole).item() > 1e-5


def part(model, batch, rows: slice, seed: int = 0) -> Tensor:
    of = {each.name: getattr(batch, each.name) for each in fields(batch)}
    of = {name: value[rows] if isinstance(value, Tensor | list) else value
          for name, value in of.items()}
    return model(type(batch)(**{**of, "seed": torch.tensor([7, 8])[rows] + seed}))[0].detach()
