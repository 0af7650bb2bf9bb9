"""Tokenizers of single samples: causal, streaming, no dip at window edges, honest baselines."""

import math

import numpy as np
import pytest
import torch

import neurofm
from neurofm.data.batch import Batch
from neurofm.tokenizers.ephys_tokenizer import EphysTokenizer, EphysTokenizerConfig
from neurofm.tokenizers.mu_law import MuLaw, MuLawConfig
from neurofm.tokenizers.quantile import Quantile, QuantileConfig
from neurofm.tokenizers.sample_tokenizer import variance_explained

SFREQ = 250.0


def signal(n: int = 4, n_times: int = 2000, seed: int = 0) -> torch.Tensor:
    """1/f noise with a rhythm, z-scored."""
    rng = np.random.default_rng(seed)
    hz = np.fft.rfftfreq(n_times, 1 / SFREQ)
    size = 1 / np.maximum(hz, 0.5) * (hz < 60) + 0.1 * np.exp(-((hz - 10) ** 2) / 2)
    spectrum = size * np.exp(2j * np.pi * rng.random((n, len(hz))))
    x = np.fft.irfft(spectrum, n_times)
    return torch.from_numpy((x / x.std(axis=1, keepdims=True)).astype(np.float32))


def batch(x: torch.Tensor, channels: int = 2) -> Batch:
    x = x.view(-1, channels, x.shape[-1])
    n = len(x)
    return Batch(x, torch.zeros(n, channels, 6), torch.zeros(n, channels).long(),
                 torch.ones(n, channels).bool())


@pytest.fixture(scope="module")
def trained() -> EphysTokenizer:
    """A small one, after some training."""
    torch.manual_seed(0)
    model = EphysTokenizer(EphysTokenizerConfig(n_tokens=32, n_units=32)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    n_steps = 160
    for step in range(n_steps):
        model.anneal(step / n_steps)
        loss, _ = model(batch(signal(16, 400, seed=step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    model.finish([batch(signal(16, 2000, seed=1000))])
    return model


def test_learns_to_reconstruct_signals_it_has_not_seen(trained):
    x = signal(8, seed=5000)
    found = trained.decode(trained.encode(batch(x))).flatten(0, 1)
    assert variance_explained(found, x) > 90
    assert 2 < trained.config.n_used <= 32


def test_no_worse_at_window_edges_than_in_the_middle(trained):
    """Windows are warmed up: the first samples of one are encoded as well as its others."""
    x = signal(32, 4000, seed=6000)
    found = trained.decode(trained.encode(batch(x))).flatten(0, 1)
    error = torch.square(x - found)[:, 200:]  # the begin of the recording has nothing before it
    stride = trained.config.window_length - trained.config.margin
    place = (torch.arange(200, 4000) - trained.config.margin) % stride
    by_place = torch.stack([error[:, place == k].mean() for k in range(stride)])
    middle = by_place[stride // 4 : 3 * stride // 4].mean()
    assert by_place[:10].mean() < 1.15 * middle
    published = EphysTokenizer(EphysTokenizerConfig(n_tokens=32, n_units=32, margin=0,
                                                    n_used=trained.config.n_used)).eval()
    published.load_state_dict(trained.state_dict())
    cold = torch.square(x - published.decode(published.encode(batch(x))).flatten(0, 1))
    starts = cold[:, 200:].view(32, -1, 200)[:, :, :3].mean()
    assert starts > by_place.mean()  # what the margin mends is there to be mended


def test_nothing_before_a_sample_changes_with_it(trained):
    x = signal(2, 600)
    other = x.clone()
    other[:, 300:] += 1.0
    one, two = (trained.encode(batch(y)).ids for y in (x, other))
    assert torch.equal(one[:, :, :300], two[:, :, :300])
    assert not torch.equal(one[:, :, 300:], two[:, :, 300:])
    first, second = (trained.decode(ids) for ids in (one, two))
    assert torch.equal(first[..., :300], second[..., :300])


def test_a_stream_is_the_same_in_pieces_of_any_size(trained):
    x = signal(3, 500)
    whole = trained.stream().push(x)
    stream = trained.stream()
    parts = [stream.push(x[:, a:b]) for a, b in ((0, 1), (1, 60), (60, 333), (333, 500))]
    assert torch.equal(torch.cat(parts, dim=1), whole)
    # Of whole recordings in windows it is nearly the same: their margins warm them up.
    offline = trained.encode(batch(x, 3)).ids[0, :, :, 0]
    assert (offline == whole).float().mean() > 0.95


@pytest.mark.parametrize(("make", "least"), [
    (lambda: MuLaw(MuLawConfig(n_tokens=108)), 99.5),
    (lambda: Quantile(QuantileConfig(n_tokens=108)), 99.0),
])
def test_baselines_go_there_and_back(make, least, tmp_path):
    model, x = make().eval(), signal(6)
    model.finish([batch(signal(20, seed=9))])
    found = model.decode(model.encode(batch(x))).flatten(0, 1)
    assert variance_explained(found, x) > least
    model.save_pretrained(tmp_path)
    loaded = neurofm.load(tmp_path)
    assert torch.equal(loaded.encode(batch(x)).ids, model.encode(batch(x)).ids)
    assert loaded.config.n_used == model.config.n_used


def test_mu_law_is_its_formula():
    model = MuLaw(MuLawConfig(n_tokens=256))
    x = torch.tensor([[0.0, 0.5, -2.0, 9.0]])
    mu = 255
    wanted = [round((math.copysign(math.log1p(mu * min(abs(v), 4) / 4) / math.log1p(mu), v) + 1)
                    / 2 * mu) for v in x[0].tolist()]
    assert model.tokens(x)[0].tolist() == wanted


def test_quantiles_are_equally_frequent():
    model = Quantile(QuantileConfig(n_tokens=10))
    x = torch.randn(1, 100_000).exp()  # far from normal
    model.finish([batch(x.view(1, -1), 1)])
    count = torch.bincount(model.tokens(x).flatten(), minlength=10)
    assert count.min() > 9500
    assert count.max() < 10500


def test_labels_come_by_frequency_and_unknown_is_0():
    model = EphysTokenizer(EphysTokenizerConfig(n_tokens=6, n_units=4))
    assert model.vocabulary.order(torch.tensor([5, 0, 9, 1, 0, 7])) == 4
    assert model.vocabulary.label_of.tolist() == [3, 0, 1, 4, 0, 2]
    assert model.vocabulary.token_of.tolist() == [-1, 2, 5, 0, 3, -1, -1]
    silent = model.signal(torch.full((1, 20), -1))
    assert torch.allclose(silent, model.kernels.bias.sum().expand(1, 20))
    with pytest.raises(ValueError, match="no tokens were counted"):
        model.vocabulary.order(torch.zeros(6).long())


def test_padding_channels_have_no_token(trained):
    one = batch(signal(2, 400))
    one.valid[:, 1] = False
    assert (trained.encode(one).ids[:, 1] == 0).all()


def test_a_start_as_levels_is_a_quantiser_and_stays_one_when_loaded(tmp_path):
    torch.manual_seed(0)
    model, x = EphysTokenizer(EphysTokenizerConfig(n_tokens=66, start="levels")), signal(6)
    found = model.signal(model.tokens(x))
    assert variance_explained(found, x) > 99
    assert torch.bincount(model.tokens(x).flatten(), minlength=66).gt(0).sum() > 40
    model.save_pretrained(tmp_path)
    loaded = EphysTokenizer.from_pretrained(tmp_path)
    assert torch.equal(loaded.tokens(x), model.tokens(x))
    with pytest.raises(ValueError, match="n_units of 32 or more"):
        EphysTokenizerConfig(n_units=16, start="levels")
    with pytest.raises(ValueError, match="start must be one of"):
        EphysTokenizerConfig(start="level")


@pytest.mark.long
def test_explains_97_percent_of_signals_it_has_not_seen_and_keeps_its_tokens():
    """Trained, with 66 tokens; as well at window edges as in the middle."""
    torch.manual_seed(0)
    model = EphysTokenizer(EphysTokenizerConfig(n_tokens=66, start="levels",
                                                mixed_until=0.7)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(n_steps := 100):
        model.anneal(step / n_steps)
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / n_steps)
        loss, _ = model(batch(signal(32, 400, seed=step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().finish([batch(signal(16, 2000, seed=1000))])
    x = signal(96, 4000, seed=6000)
    found = model.decode(model.encode(batch(x))).flatten(0, 1)
    assert variance_explained(found, x) > 97
    assert 30 < model.config.n_used <= 66
    stride = model.config.window_length - model.config.margin
    place = (torch.arange(200, 4000) - model.config.margin) % stride
    error = torch.square(x - found)[:, 200:]
    assert error[:, place < 10].mean() < 1.15 * error[:, place >= 10].mean()
