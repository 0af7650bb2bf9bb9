"""BrainTokenizer: what must not matter (order, padding, the cut of a batch) and what must."""

from dataclasses import replace

import pytest
import torch

from neurofm.data.batch import Batch
from tests.support import small

CODECS = ["attention", "leadfield"]


def rows(batch: Batch, part) -> Batch:
    """Some windows of a batch."""
    return Batch(batch.signal[part], batch.geometry[part], batch.kind[part], batch.valid[part],
                 seed=batch.seed[part])


# ------------------------------------------------------------------------ invariances


@pytest.mark.parametrize("spatial", CODECS)
def test_order_of_channels_does_not_matter(spatial):
    tokenizer, batch = small.tokenizer(spatial=spatial), small.batch()
    order = torch.randperm(7)
    shuffled = Batch(batch.signal[:, order], batch.geometry[:, order], batch.kind[:, order],
                     batch.valid[:, order])
    with torch.no_grad():
        torch.testing.assert_close(tokenizer.embed(shuffled), tokenizer.embed(batch),
                                   atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("spatial", CODECS)
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_nothing(spatial, training):
    tokenizer, batch = small.tokenizer(spatial=spatial), small.batch()
    # With these seeds no phase lies so near to ±π, and no vector so near to two codes of an
    # untrained tokenizer, that a rounding error makes it jump.
    batch = replace(batch, seed=batch.seed + 2)
    padded = small.padded(batch, 4)
    for plain, more in zip(tokenizer.train()._draw(batch), tokenizer._draw(padded), strict=True):
        assert torch.equal(more[:, :7], plain)
        assert not more[:, 7:].any()
    tokenizer.eval()
    with torch.no_grad():
        plain, more = tokenizer.embed(batch), tokenizer.embed(padded)
        assert (plain - more).abs().max() < 1e-5
        tokenizer.train(training)
        loss, metrics = tokenizer(batch)
        tokenizer = small.tokenizer(spatial=spatial).train(training)
        loss_padded, metrics_padded = tokenizer(padded)
    torch.testing.assert_close(loss, loss_padded, atol=1e-5, rtol=1e-5)
    for name, value in metrics.items():
        torch.testing.assert_close(value, metrics_padded[name], atol=1e-4, rtol=1e-4, msg=name)


def test_content_of_padding_is_never_read():
    """Attention codec: even absurd numbers in padded channels change nothing at all."""
    tokenizer, batch = small.tokenizer(), small.batch()
    with torch.no_grad():
        clean = tokenizer.embed(small.padded(batch, 4))
        assert torch.equal(tokenizer.embed(small.padded(batch, 4, filling=1e9)), clean)


@pytest.mark.parametrize("spatial", CODECS)
def test_padded_channels_decode_to_zero(spatial):
    tokenizer, batch = small.tokenizer(spatial=spatial), small.padded(small.batch(), 4)
    with torch.no_grad():
        tokens = tokenizer.encode(batch)
        signal = tokenizer.decode(tokens, batch.geometry, batch.kind, batch.valid)
    assert signal[:, 7:].abs().max() == 0
    assert (signal[:, :7].abs().amax(dim=-1) > 0).all()


def test_cut_of_a_batch_does_not_matter():
    """Windows by themselves hide the same channels and lose as much as side by side."""
    batch = small.batch(n_windows=4)
    whole = small.tokenizer(noise=0.1, quantize_from=0.5).train()(batch)[0]
    parts = [small.tokenizer(noise=0.1, quantize_from=0.5).train()(rows(batch, [i]))[0]
             for i in range(4)]
    torch.testing.assert_close(torch.stack(parts).mean(), whole, atol=1e-5, rtol=1e-5)


def test_seeds_decide_what_is_hidden():
    tokenizer, batch = small.tokenizer(), small.batch()
    hidden = tokenizer._draw(batch)[0]
    assert torch.equal(tokenizer._draw(batch)[0], hidden)
    other = [tokenizer._draw(replace(batch, seed=batch.seed + 1000 * i))[0] for i in range(1, 9)]
    assert any(not torch.equal(one, hidden) for one in other)


@pytest.mark.parametrize(("n_channels", "wanted"), [(1, 0), (2, 1), (7, 1), (8, 2), (20, 5)])
def test_a_quarter_is_hidden_at_least_one_never_all(n_channels, wanted):
    batch = small.padded(small.batch(n_channels=n_channels), 5)
    hidden = small.tokenizer()._draw(batch)[0]
    assert hidden.sum(dim=1).tolist() == [wanted] * 3
    assert not hidden[~batch.valid].any()


@pytest.mark.parametrize("spatial", CODECS)
def test_hidden_channels_cannot_leak(spatial):
    """What is decoded has no gradient to the signal of a hidden channel."""
    tokenizer, batch = small.tokenizer(spatial=spatial), small.batch()
    windows = tokenizer.windows(batch.signal, 0.0).clone().requires_grad_()
    visible = batch.valid.clone()
    visible[0, 2] = visible[1, 5] = False
    features = tokenizer.codec.encode(windows, batch.geometry, batch.kind, visible)
    signal = tokenizer.codec.decode(features, batch.geometry, batch.kind, batch.valid)
    signal.square().sum().backward()
    reached = windows.grad.abs().sum(dim=(2, 3)) > 0
    assert torch.equal(reached, visible)


def test_evaluation_is_deterministic_with_dropout():
    tokenizer, batch = small.tokenizer(dropout=0.1), small.batch()
    with torch.no_grad():
        assert torch.equal(tokenizer.embed(batch), tokenizer.embed(batch))
        assert torch.equal(tokenizer(batch)[0], tokenizer(batch)[0])
        tokenizer.train()
        assert not torch.equal(tokenizer.embed(batch), tokenizer.embed(batch))


def test_tokenizing_learns_nothing_even_in_training_mode():
    tokenizer = small.tokenizer().train()
    before = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    tokenizer.encode(small.batch())
    assert tokenizer.quantizer.training
    for name, value in tokenizer.state_dict().items():
        assert torch.equal(value, before[name]), name


# ---------------------------------------------------------------------------- windows


@pytest.mark.parametrize(
    ("n_times", "overlap", "tail", "n_windows"),
    [(512, 0.0, "pad", 4), (512, 0.0, "drop", 4), (513, 0.0, "pad", 5), (513, 0.0, "drop", 4),
     (100, 0.25, "pad", 1), (512, 0.25, "pad", 5), (7680 // 4, 0.25, "pad", 20)],
)
def test_number_of_windows(n_times, overlap, tail, n_windows):
    tokenizer = small.tokenizer()
    windows = tokenizer.windows(torch.randn(2, 3, n_times), overlap, tail)
    assert windows.shape == (2, 3, n_windows, 128)


def test_no_sample_is_lost_and_the_tail_is_zeros():
    tokenizer, signal = small.tokenizer(), torch.randn(1, 2, 300)
    windows = tokenizer.windows(signal, 0.0)
    assert torch.equal(windows.flatten(2)[..., :300], signal)
    assert windows.flatten(2)[..., 300:].abs().max() == 0


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_windows_join_to_the_signal_they_were_cut_from(overlap):
    tokenizer, signal = small.tokenizer(), torch.randn(1, 2, 300)
    joined = tokenizer._joined(tokenizer.windows(signal, overlap), overlap)
    torch.testing.assert_close(joined[..., :300], signal)


def test_dropping_the_tail_of_less_than_a_window_is_an_error():
    with pytest.raises(ValueError, match="at least one window of 128 samples, got 100"):
        small.tokenizer().encode(small.batch(n_times=100), 0.0, tail="drop")


# ------------------------------------------------------------------- shapes and decoding


def test_shapes_of_tokens_features_and_signals():
    tokenizer, batch = small.tokenizer(), small.batch(n_times=500)
    with torch.no_grad():
        tokens = tokenizer.encode(batch)
        features, ids = tokenizer.features(batch)
        signal = tokenizer.decode(tokens, batch.geometry, batch.kind, n_times=500)
        assert tokens.ids.shape == (3, 4, 5 * 2, 3)
        assert torch.equal(tokens.ids, ids)
        assert features.shape == tokenizer.embed(batch).shape == (3, 4, 10, 16)
        assert signal.shape == (3, 7, 500)
        again = tokenizer.decode(features, batch.geometry, batch.kind, n_times=500)
        torch.testing.assert_close(again, signal, atol=1e-5, rtol=1e-5)
    assert torch.equal(tokens.seed, batch.seed)


def test_tokens_decode_to_sensors_that_were_never_encoded():
    tokenizer, batch, other = small.tokenizer(), small.batch(), small.batch(n_channels=11, seed=5)
    with torch.no_grad():
        signal = tokenizer.decode(tokenizer.encode(batch), other.geometry, other.kind)
    assert signal.shape == (3, 11, 512)


def test_window_length_that_ratios_do_not_divide():
    tokenizer, batch = small.tokenizer(window_length=100), small.batch(n_times=200)
    with torch.no_grad():
        tokens = tokenizer.encode(batch, overlap=0.0)
        assert tokens.ids.shape == (3, 4, 2 * 2, 3)
        assert tokenizer.decode(tokens, batch.geometry, batch.kind, overlap=0.0).shape[-1] == 200
        assert torch.isfinite(tokenizer(batch)[0])


# --------------------------------------------------------------------------- learning


def test_a_few_steps_lower_the_loss():
    """On one simulated batch the tokenizer fits what it sees, quantizer and all. (When it leaves
    zero depends on the processor's rounding: after 80 steps on one, after 40 on another.)"""
    tokenizer, batch = small.tokenizer(spatial="leadfield", noise=0.0).train(), small.batch()
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=3e-3)
    losses = []
    for _ in range(160):
        loss, metrics = tokenizer(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    assert metrics["pearson"] > 0.5


def test_quantisation_begins_when_its_time_has_come(tmp_path):
    tokenizer, batch = small.tokenizer(quantize_from=0.3).train(), small.batch()
    tokenizer.anneal(0.29)
    tokenizer(batch)
    assert not tokenizer.quantizer.started
    with pytest.raises(ValueError, match="has not begun to quantize"):
        tokenizer.encode(batch)
    tokenizer.save_pretrained(tmp_path)
    assert type(tokenizer).from_pretrained(tmp_path).quantizer.bypassed
    tokenizer.anneal(0.3)
    tokenizer(batch)
    assert tokenizer.quantizer.started
    assert tokenizer.encode(batch).ids.min() >= 0


def test_all_parameters_learn():
    for spatial in CODECS:
        tokenizer = small.tokenizer(spatial=spatial).train()
        tokenizer(small.batch())[0].backward()
        for name, parameter in tokenizer.named_parameters():
            assert parameter.grad is not None, (spatial, name)
            assert torch.isfinite(parameter.grad).all(), (spatial, name)


def test_metrics_are_detached_and_have_the_same_names_before_and_after_quantising():
    tokenizer = small.tokenizer(quantize_from=0.5).train()
    before = tokenizer(small.batch())[1]
    tokenizer.anneal(0.6)
    after = tokenizer(small.batch())[1]
    assert before.keys() == after.keys()
    for name, value in after.items():
        assert value.ndim == name.startswith("uses_"), name  # what is logged of these: `logged`
        assert not value.requires_grad, name


# ----------------------------------------------------------------------------- config


def test_unknown_key_names_the_nearest():
    with pytest.raises(ValueError, match="'n_source'; did you mean 'n_sources'"):
        small.tokenizer(n_source=4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"dim": 15}, "multiple of n_heads"), ({"overlap": 1.0}, "overlap"),
     ({"spatial": "magic"}, "spatial must be one of"), ({"kind_rows": (0,)}, "kind_rows")],
)
def test_fields_are_checked(fields, message):
    with pytest.raises(ValueError, match=message):
        small.tokenizer(**fields)


def test_norms_kinds_and_biases_are_not_decayed():
    tokenizer = small.tokenizer()
    spared = {name for name, p in tokenizer.named_parameters() if tokenizer.no_decay(name, p)}
    assert "codec.sensors.kind.weight" in spared
    assert "codec.sensors.norm.weight" in spared
    assert "codec.backward_solution.key.weight" not in spared
