"""BrainMAE: any atlas, any repetition time, any length, missing volumes; and nothing leaks."""

import numpy as np
import pytest
import torch

import neurofm
from neurofm.data.batch import Batch
from neurofm.models.brainmae import BrainMAE, BrainMAEConfig

N = 12


def make(seed: int = 0, **fields) -> BrainMAE:
    torch.manual_seed(seed)
    n_factors = 0 if fields.get("narrow") else 8
    config = BrainMAEConfig(**{"dim": 32, "n_heads": 4, "n_factors": n_factors, **fields})
    model = BrainMAE(config).eval()
    with torch.no_grad():  # as after some training: queries start at 0, where all weigh alike
        model.pool.query.normal_()
    return model


def scans(n: int = 2, t_r: float = 2.0, seconds: float = 90.0, regions: int = N, seed: int = 0
          ) -> Batch:
    """Slow waves of a few networks, sampled at the middle of each volume."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(-0.07, 0.07, (regions, 3))
    mixing, hz = rng.standard_normal((regions, 4)), rng.uniform(0.01, 0.05, (n, 4))
    phase = rng.uniform(0, 2 * np.pi, (n, 4))
    time = (np.arange(int(seconds / t_r)) + 0.5) * t_r
    waves = np.sin(2 * np.pi * hz[..., None] * time + phase[..., None])
    signal = torch.from_numpy(mixing @ waves).float()
    geometry = torch.zeros(n, regions, 6)
    geometry[..., :3] = torch.from_numpy(place).float() / 0.1
    return Batch(signal, geometry, torch.full((n, regions), 4), torch.ones(n, regions).bool(),
                 seed=torch.arange(n), t_r=torch.full((n,), t_r))


def changed(batch: Batch, **fields) -> Batch:
    return Batch(**{**vars(batch), **fields})


@pytest.mark.parametrize("narrow", [False, True])
def test_order_of_regions_does_not_matter_if_places_go_along(narrow):
    model, batch = make(narrow=narrow), scans()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    moved = changed(batch, signal=batch.signal[:, order], geometry=batch.geometry[:, order])
    assert torch.allclose(model.embed(moved), model.embed(batch)[:, order], atol=1e-5)
    assert torch.allclose(model.states(moved)[0], model.states(batch)[0], atol=1e-5)
    elsewhere = changed(batch, geometry=batch.geometry[:, order])
    assert not torch.allclose(model.embed(elsewhere), model.embed(batch), atol=1e-2)


def padded(batch: Batch, regions: int, volumes: int) -> Batch:
    """More regions and volumes, of noise that must not count."""
    n, r, t = batch.signal.shape
    signal = torch.randn(n, r + regions, t + volumes)
    signal[:, :r, :t] = batch.signal
    geometry, valid = torch.zeros(n, r + regions, 6), torch.zeros(n, r + regions).bool()
    geometry[:, :r], valid[:, :r] = batch.geometry, True
    measured = torch.zeros(n, t + volumes).bool()
    measured[:, :t] = True
    return changed(batch, signal=signal, geometry=geometry, valid=valid, measured=measured,
                   kind=torch.full(valid.shape, 4))


@pytest.mark.parametrize("narrow", [False, True])
def test_padding_changes_nothing(narrow):
    model, batch = make(narrow=narrow), scans(seconds=88.2)  # five segments of 17.64 s
    more = padded(batch, 5, 37)
    n = model.embed(batch).shape[2]
    assert (model.embed(more)[:, :N, :n] - model.embed(batch)).abs().max() < 1e-5
    assert (model.states(more)[0][:, :n] - model.states(batch)[0]).abs().max() < 1e-5
    assert model.embed(more)[:, N:].abs().max() == 0
    assert model.embed(more)[:, :, n:].abs().max() == 0
    layer = model.embed_at(more, model.layer_names[-1])
    assert layer.shape == model.embed(more).shape
    assert layer[:, N:].abs().max() == layer[:, :, n:].abs().max() == 0
    short = changed(padded(batch, 5, 0), measured=None)
    assert torch.allclose(model(short)[0], model(batch)[0], atol=1e-5)


@pytest.mark.parametrize("narrow", [False, True])
def test_a_hidden_region_never_leaks(narrow):
    model, batch = make(narrow=narrow), scans()
    signal = batch.signal.clone().requires_grad_(True)
    hidden = torch.zeros(2, model.cut(batch).valid.shape[1], N, dtype=torch.bool)
    hidden[:, 2, 3] = True
    found, seg = model.fill_in(changed(batch, signal=signal), hidden)
    found[:, 3, 2].sum().backward()
    # Segment 2 is volumes 18 to 26 at 2 s: (j + ½) · 2 s within 35.28 … 52.92 s.
    inside = signal.grad[:, 3, 18:26]
    assert inside.abs().max() == 0
    assert signal.grad[:, 3, :17].abs().max() > 0  # the same region in other segments may
    assert signal.grad[:, 4, 18:26].abs().max() > 0
    assert seg.measured[:, 2].sum(dim=-1).tolist() == [8, 8]
    alone = changed(batch, signal=batch.signal.clone())
    alone.signal[:, 3, 18:26] += 5.0
    again, _ = model.fill_in(alone, hidden)
    assert torch.allclose(again[:, 3, 2], found[:, 3, 2].detach(), atol=1e-5)


def test_a_sine_is_the_same_at_any_repetition_time():
    model = make()
    fine, coarse = scans(t_r=0.735, seconds=141.12), scans(t_r=2.0, seconds=141.12)
    for t_r, least, other in ((2.0, 0.95, coarse), (3.0, 0.9, scans(t_r=3.0, seconds=141.12))):
        one, two = model.embed(fine), model.embed(other)
        n = min(one.shape[2], two.shape[2])
        cosine = torch.cosine_similarity(one[:, :, :n], two[:, :, :n], dim=-1)
        assert cosine.min() > least, t_r
        assert cosine.mean() > 0.98, t_r


def test_scrubbed_volumes_are_bridged():
    model, batch = make(), scans(t_r=0.735)
    measured = torch.ones_like(batch.signal[:, 0]).bool()
    measured[:, 30:34] = False
    torn = batch.signal.clone()
    torn[:, :, 30:34] = 50.0  # a movement
    whole, bridged = model.embed(batch), model.embed(changed(batch, signal=torn, measured=measured))
    assert torch.cosine_similarity(whole, bridged, dim=-1)[:, :, 1].min() > 0.9
    assert torch.isfinite(bridged).all()
    measured[:, 24:48] = False  # all of segment 1
    _, valid = model.states(changed(batch, signal=torn, measured=measured))
    assert valid[:, 1].tolist() == [False, False]
    assert valid[:, 0].all()


def test_hidden_shares_are_as_asked_and_of_the_window_alone():
    model, batch = make(hidden=(0.5, 0.5)), scans(n=3, regions=20)
    hidden = model._hide(batch, 6)
    assert (hidden.sum(dim=2) == 10).all()
    assert not torch.equal(hidden[0, 0], hidden[0, 1])
    last = changed(batch, **{name: getattr(batch, name)[2:] for name in
                             ("signal", "geometry", "kind", "valid", "seed", "t_r")})
    assert torch.equal(model._hide(last, 6)[0], hidden[2])
    drawn = make()._hide(scans(n=8, regions=50), 30).float().mean(dim=2)
    assert drawn.min() < 0.1
    assert 0.7 < drawn.max() <= 0.8


def test_learns_to_fill_in_a_hidden_region():
    """Regions of a network go together, so what is hidden can be told from the others."""
    model, batch = make(), scans(n=8, regions=16)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=3e-3)
    for step in range(60):
        batch.seed = torch.arange(8) + 8 * step
        loss, metrics = model(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert metrics["r2_hidden"] > 0.5
    assert metrics["r2_seen"] > 0.5


def test_graph_has_no_loops_and_is_of_regions_alone():
    model, batch = make(), scans()
    graph = model.graph(batch.geometry, batch.valid)
    assert graph.shape == (2, N, N)
    assert torch.allclose(graph.sum(dim=-1), torch.ones(2, N), atol=1e-5)
    assert graph.diagonal(dim1=1, dim2=2).abs().max() == 0
    loops = make(self_loops=True).graph(batch.geometry, batch.valid)
    assert loops.diagonal(dim1=1, dim2=2).min() > 0


@pytest.mark.parametrize("fields", [{}, {"regions": "numbered", "n_regions": N, "narrow": True}])
def test_comes_back_from_disk(tmp_path, fields):
    model, batch = make(**fields), scans()
    model.save_pretrained(tmp_path)
    loaded = neurofm.load(tmp_path).eval()
    assert isinstance(loaded, BrainMAE)
    assert torch.equal(loaded.embed(batch), model.embed(batch))


def test_published_plan():
    config = BrainMAEConfig.paper()
    assert (config.n_taps, config.n_regions, config.narrow) == (21, 100, True)
    torch.manual_seed(0)
    loss, metrics = BrainMAE(BrainMAEConfig.paper(dim=32))(scans(t_r=0.72, regions=100))
    assert torch.isfinite(loss)
    assert set(metrics) == {"r2_hidden", "r2_seen"}


@pytest.mark.parametrize(("fields", "message"), [
    ({"regions": "named"}, "placed"), ({"regions": "numbered"}, "n_regions"),
    ({"hidden": (0.5, 0.2)}, "low <= high"), ({"t_r": 10.0}, "two taps"),
    ({"n_static": 0, "n_adaptive": 0}, "at least 1"), ({"n_rois": 3}, "n_regions"),
])
def test_bad_input_config(fields, message):
    with pytest.raises(ValueError, match=message):
        BrainMAEConfig(**fields)


def test_bad_input_without_repetition_time_or_with_another_atlas():
    with pytest.raises(ValueError, match="repetition time"):
        make().embed(changed(scans(), t_r=None))
    with pytest.raises(ValueError, match="30 regions of one atlas"):
        make(regions="numbered", n_regions=30).embed(scans())


def test_pooled_features_have_one_width_for_any_atlas_and_length():
    model = make()
    for pool in model.config.pools:
        one, two = (model.pooled(batch, pool) for batch in (
            scans(regions=12), scans(t_r=3.0, seconds=200.0, regions=30)))
        assert one.shape[-1] == two.shape[-1] == model.config.n_pooled(pool)
        assert torch.isfinite(two).all()
    assert make(narrow=True).config.pools == ("mean", "attention")
    assert make().config.pools == ("covariance", "activity", "mean", "attention")


def test_pooled_covariance_does_not_know_padding_or_the_order_of_regions():
    model, batch = make(), scans(seconds=88.2)
    found = model.pooled(batch, "covariance")
    assert torch.allclose(model.pooled(padded(batch, 5, 37), "covariance"), found, atol=1e-4)
    order = torch.randperm(N)
    moved = changed(batch, signal=batch.signal[:, order], geometry=batch.geometry[:, order])
    assert torch.allclose(model.pooled(moved, "covariance"), found, atol=1e-4)


def test_what_is_trained_along_is_what_features_depend_on():
    for fields in ({}, {"narrow": True}):
        model, batch = make(**fields), scans()
        for pool in model.config.pools:
            model.zero_grad()
            model.pooled(batch, pool).square().sum().backward()
            used = {id(p) for part in model.used(pool) for p in part.parameters()}
            for name, parameter in model.named_parameters():
                moved = parameter.grad is not None and parameter.grad.abs().max() > 0
                assert moved <= (id(parameter) in used), (pool, name)
                layer, n_layers = model.layer(name)
                assert 0 <= layer < n_layers
            assert sum(p.grad is not None for part in model.used(pool)
                       for p in part.parameters()) > 0


def test_a_guess_is_corrected_by_the_region_itself_in_other_segments():
    """Of a hidden region the guess knows the same segment's others; the model knows more."""
    model, batch = make(), scans()
    signal = batch.signal.clone().requires_grad_(True)
    hidden = torch.zeros(2, model.cut(batch).valid.shape[1], N, dtype=torch.bool)
    hidden[:, 2, 3] = True
    guess, _ = model.guess(changed(batch, signal=signal), hidden)
    guess[:, 3, 2].sum().backward()
    assert signal.grad[:, 3].abs().max() == 0
    assert signal.grad[:, 4, 18:26].abs().max() > 0


def test_the_published_plan_as_a_run(repo):
    import yaml

    run = yaml.safe_load((repo / "configs" / "pretrain" / "brainmae_paper.yaml").read_text())
    wanted = BrainMAEConfig.paper().to_dict()
    assert BrainMAEConfig(**run["architecture"]).to_dict() == wanted
