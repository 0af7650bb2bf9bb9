"""BrainOmni: masking, objective, features."""

import math

import pytest
import torch

from neurofm.data.batch import Tokens
from neurofm.models.brainomni import BrainOmni, BrainOmniConfig
from neurofm.nn.dropout import window_keys
from tests.support import small


def model(tokenizer=None, **fields) -> BrainOmni:
    torch.manual_seed(0)
    few = {"dim": 32, "n_heads": 4, "n_blocks": 2, "dropout": 0.1}
    return BrainOmni(BrainOmniConfig(**{**few, **fields}), tokenizer or small.tokenizer()).eval()


OURS = {"head": "codebook", "scaled_codes": True, "neighbors": 5}


def tokens(n: int = 2, frames: int = 10) -> Tokens:
    random = torch.Generator().manual_seed(0)
    return Tokens(torch.randint(16, (n, 4, frames, 3), generator=random), seed=torch.arange(n))


def test_tokens_and_signals_give_the_same():
    omni, batch = model(), small.batch()
    ready = omni.tokenize(batch)
    with torch.no_grad():
        torch.testing.assert_close(omni(batch)[0], omni(ready)[0])
        torch.testing.assert_close(omni.embed(batch), omni.embed(ready))
        torch.testing.assert_close(omni.logits(batch), omni.logits(ready.ids))


@pytest.mark.parametrize("fields", [{}, OURS])
def test_untrained_loss_is_that_of_guessing(fields):
    loss, metrics = model(**fields)(tokens())
    assert abs(loss - math.log(16)) < 0.1
    assert set(metrics) == {f"{what}_{i}" for what in ("accuracy", "wanted") for i in range(3)}


@pytest.mark.parametrize("n_levels", [1, 2, 3])
def test_fewer_levels_than_the_tokenizer_has(n_levels):
    omni = model(n_levels=n_levels).train()
    loss, metrics = omni(tokens())
    loss.backward()
    assert omni.logits(tokens()).shape == (2, 4, 10, n_levels, 16)
    assert len([name for name in metrics if name.startswith("accuracy")]) == n_levels


def masked(omni, x, seed):
    """Chosen positions as a mask, and what they show."""
    index, shown = omni._mask(x, window_keys(seed, len(x), 2, x.device))
    chosen = torch.zeros(x.shape[:3], dtype=torch.bool)
    chosen.view(-1)[index] = True
    assert chosen.sum() == len(index)
    return chosen, shown


def test_shares_of_chosen_masked_and_replaced():
    omni = model(masked=0.5, replaced=0.2)
    ids = tokens(frames=50).ids
    x = omni.tokenizer.quantizer.codes(ids)
    chosen, shown = masked(omni, x, torch.tensor([1, 2]))
    assert chosen.flatten(1).sum(dim=1).tolist() == [100, 100]
    is_mask = (shown == omni.mask_token).all(dim=-1)
    assert is_mask.flatten(1).sum(dim=1).tolist() == [80, 80]
    assert not (is_mask & ~chosen).any()
    assert torch.equal(shown[~chosen], x[~chosen])
    swapped = chosen & ~is_mask
    here = {tuple(v.tolist()) for v in x[0].flatten(0, 1)}
    assert all(tuple(v.tolist()) in here for v in shown[0][swapped[0]])


def test_masked_tokens_cannot_leak():
    """The ids of a masked position change no logit anywhere."""
    omni, one = model(replaced=0.0), tokens(1)
    x = omni.tokenizer.quantizer.codes(one.ids)
    chosen, shown = masked(omni, x, one.seed)
    other = one.ids.clone()
    other[chosen] = (other[chosen] + 5) % 16
    _, shown_other = masked(omni, omni.tokenizer.quantizer.codes(other), one.seed)
    assert torch.equal(shown, shown_other)


def test_cut_of_a_batch_does_not_matter():
    omni, both = model(), tokens(4)
    whole = omni(both)[0]
    parts = [omni(Tokens(both.ids[i : i + 1], seed=both.seed[i : i + 1]))[0] for i in range(4)]
    torch.testing.assert_close(torch.stack(parts).mean(), whole, atol=1e-5, rtol=1e-5)


def test_tokenizer_stays_frozen():
    omni = model().train()
    assert not omni.tokenizer.training
    before = {name: value.clone() for name, value in omni.tokenizer.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in omni.parameters() if p.requires_grad], lr=1.0)
    omni(small.batch())[0].backward()
    optimizer.step()
    for name, value in omni.tokenizer.state_dict().items():
        assert torch.equal(value, before[name]), name
    for name, parameter in omni.named_parameters():
        assert name.startswith("tokenizer.") or parameter.grad is not None, name


def test_given_tokenizer_is_copied_not_shared():
    tokenizer = small.tokenizer(seed=3)
    omni = model(tokenizer)
    batch = small.batch()
    with torch.no_grad():
        assert torch.equal(omni.tokenize(batch).ids, tokenizer.encode(batch).ids)
        tokenizer.quantizer.codebook.zero_()
    assert omni.tokenizer.quantizer.codebook.abs().sum() > 0
    assert all(p.requires_grad for p in tokenizer.parameters())


def test_features_have_length_one_and_skip_the_last_block():
    omni = model()
    features = omni.embed(tokens())
    assert features.shape == (2, 4, 10, 32)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(2, 4, 10))
    with torch.no_grad():
        for parameter in omni.blocks[-1].parameters():
            parameter.add_(1.0)
    assert torch.equal(omni.embed(tokens()), features)


def test_evaluation_is_deterministic_with_dropout():
    omni = model(dropout=0.1)
    with torch.no_grad():
        assert torch.equal(omni.embed(tokens()), omni.embed(tokens()))
        omni.train()
        assert not torch.equal(omni.embed(tokens()), omni.embed(tokens()))


def test_width_of_the_tokenizer_needs_no_projection():
    omni = model(dim=16)
    assert isinstance(omni.project, torch.nn.Identity)
    assert omni.embed(tokens()).shape[-1] == 16


def test_training_learns_which_source_says_what():
    """Each source always says the same: what is masked follows from which source it is."""
    omni = model(dropout=0.0, n_levels=1).train()
    ids = (3 * torch.arange(4))[None, :, None, None].expand(8, 4, 20, 3)
    optimizer = torch.optim.Adam([p for p in omni.parameters() if p.requires_grad], lr=3e-3)
    for step in range(60):
        loss, metrics = omni(Tokens(ids, seed=torch.arange(8) + 8 * step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert metrics["accuracy_0"] > 0.8
    assert omni.logged({"wanted_0": metrics["wanted_0"]})["chance_0"] < 0.4


def test_scaled_codes_are_as_long_as_what_says_where_they_are():
    omni = model(scaled_codes=True)
    ids = omni.tokenize(small.batch()).ids
    plain = omni.tokenizer.quantizer.codes(ids)
    torch.testing.assert_close(omni._read(ids), plain * omni.config.tokenizer.dim**0.5)


def test_our_own_parts_survive_saving(tmp_path):
    omni = model(**OURS)
    omni.save_pretrained(tmp_path)
    again = BrainOmni.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again.logits(tokens()), omni.logits(tokens()))


def test_published_sizes():
    assert (BrainOmniConfig().dim, BrainOmniConfig().n_heads) == (256, 8)
    base = BrainOmniConfig.base(dropout=0.0)
    assert (base.dim, base.n_heads, base.n_blocks, base.dropout) == (512, 16, 12, 0.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"n_levels": 4}, "n_levels must be 1 … 3"), ({"n_heads": 3}, "n_heads even"),
     ({"neighbors": 4}, "odd number of frames"), ({"head": "mlp"}, "head must be one of"),
     ({"maskd": 0.5}, "'maskd'; did you mean 'masked'"), ({"masked": 0.0}, "masked must be in")],
)
def test_fields_are_checked(fields, message):
    with pytest.raises(ValueError, match=message):
        BrainOmniConfig(tokenizer=small.tokenizer().config, **fields)


@torch.no_grad()
def test_hidden_tokens_are_filled_in_without_a_look_at_them():
    omni, given = model(), tokens()
    hidden = torch.zeros(2, 4, 10, dtype=torch.bool)
    torch.testing.assert_close(omni.fill_in(given, hidden), omni.logits(given.ids))
    hidden[:, 1, 3:6] = True
    others = Tokens(torch.where(hidden[..., None], (given.ids + 5) % 16, given.ids))
    torch.testing.assert_close(omni.fill_in(given, hidden), omni.fill_in(others, hidden))
    assert not torch.equal(omni.logits(given.ids), omni.logits(others.ids))
