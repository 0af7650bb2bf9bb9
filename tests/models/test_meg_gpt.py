"""MEG-GPT: nothing of the future, any channels, and a memory that changes nothing."""

import pytest
import torch

import neurofm
from neurofm.data.batch import Batch
from neurofm.data.contract import InputContract
from neurofm.models.meg_gpt import MEGGPT, MEGGPTConfig
from neurofm.models.meg_gpt_generate import draw, generate, unigram_prompt

CODES = 12
PLANS = {
    "released": MEGGPTConfig.released,
    "paper": MEGGPTConfig.paper,
}


def make(plan: str = "ours", **fields) -> MEGGPT:
    torch.manual_seed(0)
    small = {"dim": 32, "n_heads": 4, "feedforward_dim": 64, "n_codes": CODES}
    if plan == "ours":
        config = MEGGPTConfig(**{**small, "n_blocks": 2, "context": 40, **fields})
    else:
        config = PLANS[plan](**{**small, "n_channels": 3, "n_sessions": 2, "session_dim": 8,
                                **fields})
    model = MEGGPT(config).eval()
    with torch.no_grad():  # as after some training: small weights would hide a leak
        for parameter in model.body.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return model


def labels(n_times: int, channels: int = 3, n: int = 2) -> torch.Tensor:
    return torch.randint(CODES, (n, channels, n_times), generator=torch.Generator().manual_seed(1))


def places(channels: int = 3, n: int = 2) -> torch.Tensor:
    place = torch.randn(n, channels, 6, generator=torch.Generator().manual_seed(2))
    return place * torch.tensor([0.6, 0.6, 0.6, 0, 0, 0])


@pytest.mark.parametrize("plan", ["released", "paper", "ours", "channels look at each other"])
def test_no_output_knows_what_comes_after_it(plan):
    model = (make("released", channel_attention=True) if plan.startswith("channels")
             else make(plan))
    n_times = model.config.context
    seen, geometry = labels(n_times), places()
    before = model.logits(seen, geometry)
    n_written = before.shape[2]
    for t in range(n_times - n_written, n_times, 3):
        other = seen.clone()
        other[:, :, t:] = (other[:, :, t:] + 1) % CODES
        after = model.logits(other, geometry)
        earlier = t - (n_times - n_written)  # outputs that stand before sample t
        assert torch.equal(after[:, :, :earlier], before[:, :, :earlier])
        assert not torch.allclose(after[:, :, earlier], before[:, :, earlier])


def test_channels_by_where_they_lie_in_any_order_and_number():
    model, seen, geometry = make(), labels(20, 5), places(5)
    found = model.logits(seen, geometry)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(model.logits(seen[:, order], geometry[:, order]), found[:, order],
                          atol=1e-5)
    valid = torch.ones(2, 7, dtype=torch.bool)
    valid[:, 5:] = False
    more = torch.cat([seen, labels(20, 2)], dim=1)
    padded = model.logits(more, torch.cat([geometry, places(2)], dim=1), valid)
    assert torch.allclose(padded[:, :5], found, atol=1e-5)
    alone = model.logits(seen[:, :1], geometry[:, :1])
    assert not torch.allclose(alone, found[:, :1], atol=1e-2)  # the others were looked at


def test_the_released_plan_looks_at_other_channels_only_where_asked_for():
    seen = labels(100)
    other = seen.clone()
    other[:, 0] = (other[:, 0] + 1) % CODES
    for looks in (False, True):
        model = make("released", channel_attention=looks)
        one, two = model.logits(seen), model.logits(other)
        assert torch.allclose(one[:, 1:], two[:, 1:], atol=1e-5) != looks
        assert not torch.allclose(one[:, 0], two[:, 0], atol=1e-3)
    with pytest.raises(ValueError, match="channel_attention is of body 'patched'"):
        make(channel_attention=True)


def test_memory_changes_nothing():
    model, seen, geometry = make(), labels(30), places()
    whole = model.logits(seen, geometry)
    memory, parts = model.body.memory(), []
    for start, stop in ((0, 7), (7, 8), (8, 30)):
        body = model.body(seen[..., start:stop], geometry, memory=memory)
        parts.append(model.head(body))
    assert torch.allclose(torch.cat(parts, dim=2), whole, atol=1e-5)


def test_a_session_that_was_never_seen_is_the_mean_of_those_that_were():
    model, seen = make("released"), labels(100)
    one, two = (model.logits(seen, session=torch.full((2,), k)) for k in (0, 1))
    assert not torch.allclose(one, two, atol=1e-3)
    with torch.no_grad():
        model.body.session.table.weight.copy_(
            model.body.session.table.weight.mean(dim=0).expand(2, -1))
    assert torch.allclose(model.logits(seen), model.logits(seen, session=torch.zeros(2).long()),
                          atol=1e-5)


def test_bad_input_a_numbered_model_for_other_channels():
    model = make("released")
    with pytest.raises(ValueError, match="knows 3 channels by their number and reads 100 samples"):
        model.logits(labels(100, 4))
    with pytest.raises(ValueError, match="a layer writes 8 positions, the next reads 9"):
        MEGGPTConfig(body="patched", plan=((10, 1, 8, 1, 0), (9, 1, 3, 1, 0)), n_channels=2)
    with pytest.raises(ValueError, match="plan and n_channels are of body 'patched'"):
        MEGGPTConfig(body="patched")


def test_learns_that_a_channel_follows_another():
    """One channel repeats what another said a sample ago: only a look at it can tell."""
    torch.manual_seed(0)
    model = MEGGPT(MEGGPTConfig(dim=32, n_heads=2, feedforward_dim=64, n_codes=5, n_blocks=1,
                                context=16)).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    geometry = places(2, 16)[:1].expand(16, -1, -1)
    for _ in range(150):
        leader = torch.randint(1, 5, (16, 17))
        follower = torch.cat([torch.ones(16, 1).long(), leader[:, :-1]], dim=1)
        seen = torch.stack([leader, follower], dim=1)
        scores = model.logits(seen[..., :-1], geometry)
        loss = torch.nn.functional.cross_entropy(scores[:, 1].flatten(0, 1),
                                                 seen[:, 1, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2  # by itself: log 4 = 1.39


@pytest.mark.parametrize("plan", ["released", "ours"])
def test_meg_gpt_comes_back_from_disk(tmp_path, plan):
    model, seen = make(plan), labels(100 if plan == "released" else 20)
    model.save_pretrained(tmp_path)
    loaded = neurofm.load(tmp_path).eval()
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.allclose(loaded.logits(seen, places()), model.logits(seen, places()), atol=1e-5)


def test_loss_is_of_the_tokens_that_follow():
    model = make(n_codes=0)
    signal = torch.randn(2, 3, 100, generator=torch.Generator().manual_seed(3))
    batch = Batch(signal, places(), torch.zeros(2, 3).long(), torch.ones(2, 3).bool())
    loss, metrics = model(batch)
    batch.signal = batch.signal[..., -81:]  # context, one more, and the tokenizer's margin
    seen = model.tokenizer.encode(batch).ids[..., 0]
    scores = model.logits(seen[..., -41:-1], places())
    wanted = torch.nn.functional.cross_entropy(scores.flatten(0, 2), seen[..., -40:].flatten())
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert 0 <= metrics["top1"] <= metrics["top5"] <= 1
    assert model.embed(batch).shape == (2, 3, 40, 32)


@pytest.mark.parametrize("plan", ["ours", "released"])
def test_layers_and_what_axes_mean(plan):
    model = make(plan, n_codes=0)
    signal = torch.randn(2, 3, 100, generator=torch.Generator().manual_seed(3))
    batch = Batch(signal, places(), torch.zeros(2, 3).long(), torch.ones(2, 3).bool())
    features, last = model.embed(batch), model.embed_at(batch, model.layer_names[-1])
    assert features.shape == last.shape
    normed = getattr(model.body, "norm", torch.nn.Identity())(last)
    assert torch.allclose(normed, features, atol=1e-5)
    assert model.source_names(3, ["a", "b", "c"]) == ("a", "b", "c")
    n = features.shape[2]
    assert model.frame_times(n, 100, 10.0)[[0, -1]].tolist() == pytest.approx(
        [10 - (n - 0.5) / 10, 9.95])


def test_generation_is_the_same_with_and_without_memory():
    model = make()
    prompt, geometry = labels(10), places()
    cached = generate(model, prompt, 25, geometry, seed=3)
    anew = generate(model, prompt, 25, geometry, seed=3, cached=False)
    assert cached.shape == (2, 3, 25)
    assert torch.equal(cached, anew)
    assert not torch.equal(generate(model, prompt, 25, geometry, seed=4), cached)
    assert (cached > 0).all()  # a label that training never saw is never drawn


def test_the_memory_of_generation_does_not_grow():
    model = make(context=16)
    memory = model.body.memory()
    for start in range(0, 60, 5):
        model.body(labels(60)[..., start : start + 5], places(), memory=memory)
    assert all(one.key.shape[2] == 16 for one in memory)
    assert all(one.seen == 60 for one in memory)


def test_labels_are_drawn_from_the_likeliest():
    scores = torch.log(torch.tensor([[[0.3, 0.4, 0.2, 0.07, 0.03]]])).expand(4000, 1, -1)
    generator = torch.Generator().manual_seed(0)
    drawn = draw(scores, 0.8, generator)
    share = torch.bincount(drawn.flatten(), minlength=5) / 4000
    assert share[0] == 0
    assert share[3] == share[4] == 0  # of 0.4, 0.2, 0.07, 0.03 the first two hold 0.86
    assert share[1].item() == pytest.approx(2 / 3, abs=0.03)
    drawn = draw(scores, 1.0, generator)
    assert (torch.bincount(drawn.flatten(), minlength=5)[1:] > 0).all()


def test_generates_from_the_released_plan_too():
    model = make("released")
    found = generate(model, labels(100), 3, seed=1)
    assert found.shape == (2, 3, 3)
    with pytest.raises(ValueError, match="as long as the context, 100 samples, got 40"):
        generate(model, labels(40), 3)
    prompt = unigram_prompt(torch.tensor([5, 1, 0, 3]), (2, 3, 500), seed=0)
    share = torch.bincount(prompt.flatten(), minlength=4) / prompt.numel()
    assert share[1].item() == pytest.approx(0.25, abs=0.03)
    assert share[0] == share[2] == 0


@pytest.mark.parametrize("pool", ["covariance", "mean"])
def test_pooled_features_know_where_but_not_which_layout(pool):
    model = make(n_codes=0)

    def batch(channels: int, order=None) -> Batch:
        signal = torch.randn(2, channels, 100, generator=torch.Generator().manual_seed(4))
        geometry, valid = places(channels), torch.ones(2, channels).bool()
        if order is not None:
            signal, geometry = signal[:, order], geometry[:, order]
        return Batch(signal, geometry, torch.zeros(2, channels).long(), valid)

    found = model.pooled(batch(7), pool)
    assert found.shape == (2, model.config.n_pooled(pool))
    assert torch.allclose(model.pooled(batch(7, torch.randperm(7)), pool), found, atol=1e-4)
    assert model.pooled(batch(11), pool).shape == found.shape
    moved = batch(7)
    moved.geometry = moved.geometry.flip(1)
    assert not torch.allclose(model.pooled(moved, pool), found, atol=1e-2)
    for name, _ in model.body.named_parameters():
        layer, n = model.layer(f"body.{name}")
        assert 0 <= layer < n


@pytest.mark.parametrize("plan", ["released", "ours"])
def test_people_have_embeddings_and_strangers_their_mean(plan):
    people = {"n_sessions": 0, "people": ("a/1", "a/2", "a/3"), "learn_people": True}
    model = make(plan, **people) if plan == "ours" else make(plan, **{**people, "session_dim": 8})
    seen, geometry = labels(model.config.context), places()
    assert model.numbers(["a/3", "b/9"]).tolist() == [2, -1]
    assert model.numbers([]) is None
    one, two, stranger, nobody = (
        model.logits(seen, geometry, session=None if who is None else model.numbers([who] * 2))
        for who in ("a/1", "a/2", "b/9", None))
    assert not torch.allclose(one, two, atol=1e-3)
    assert torch.allclose(stranger, nobody, atol=1e-6)
    assert not torch.allclose(stranger, one, atol=1e-3)
    with pytest.raises(ValueError, match="disagree"):
        MEGGPTConfig(people=("a", "b"), n_sessions=3)


def test_signals_that_follow_signals():
    """`model.generate` is `generate` between encoding and decoding."""
    model = make(tokenizer={"n_tokens": CODES - 1, "n_used": CODES - 1, "start": "levels"})
    model.tokenizer.vocabulary.order(torch.arange(CODES - 1, 0, -1))
    signal = torch.randn(2, 3, 60, generator=torch.Generator().manual_seed(0))
    prompt = Batch(signal, places(), torch.zeros(2, 3).long(), torch.ones(2, 3).bool())
    with pytest.raises(ValueError, match="no contract"):
        model.generate(prompt, seconds=1.0)
    model.contract = InputContract(sfreq=50.0, lowpass_hz=20.0)
    found = model.generate(prompt, seconds=0.6, burn_in_s=0.1, seed=3)
    assert found.shape == (2, 3, 30)
    begin = model.tokenizer.encode(prompt).ids[..., 0][..., -40:]
    new = generate(model, begin, 35, prompt.geometry, seed=3)
    wanted = model.tokenizer.decode(torch.cat([begin, new], dim=-1)[..., None])[..., -30:]
    assert torch.equal(found, wanted)
    other = model.generate(prompt, seconds=0.6, burn_in_s=0.1, seed=3, unigram=True)
    assert not torch.equal(other, found)


def test_random_weights_with_fewer_codes_than_their_tokenizer_has_tokens():
    """A random start beside a trained model, some of whose tokens were never used."""
    torch.manual_seed(0)
    model = MEGGPT(MEGGPTConfig(dim=32, n_heads=2, feedforward_dim=32, n_blocks=1, context=40,
                                n_codes=9, tokenizer={"n_tokens": 24, "n_used": 8})).eval()
    signal = torch.randn(4, 3, 200, generator=torch.Generator().manual_seed(0))
    batch = Batch(signal, places(3, 4), torch.zeros(4, 3).long(), torch.ones(4, 3).bool())
    model.start([batch])
    assert model.tokenizer.encode(batch).ids.max() < 9
    assert model.pooled(batch, "covariance").isfinite().all()
