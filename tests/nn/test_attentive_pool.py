"""Attentive pooling: starts as the mean, does not care about order, and finds the place."""

import torch

from neurofm.nn.attentive_pool import AttentivePool


def test_starts_as_the_mean_and_ignores_order():
    x = torch.randn(3, 10, 8, generator=torch.Generator().manual_seed(0))
    pool = AttentivePool(8, 2)
    assert torch.allclose(pool(x), x.mean(dim=1), atol=1e-6)
    torch.nn.init.normal_(pool.query, std=3.0)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(pool(x[:, order]), pool(x), atol=1e-5)
    assert not torch.allclose(pool(x), x.mean(dim=1), atol=0.05)


def test_learns_which_place_matters():
    """One place of ten is marked by its first feature; its second is wanted."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(512, 10, 4, generator=random)
    x[..., 0] = 0.0
    marked = torch.randint(10, (512,), generator=random)
    x[torch.arange(512), marked, 0] = 4.0
    wanted = x[torch.arange(512), marked, 1]
    pool = AttentivePool(4, 1)
    optimizer = torch.optim.Adam(pool.parameters(), lr=0.1)
    for _ in range(200):
        loss = (pool(x[:400])[:, 1] - wanted[:400]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = torch.corrcoef(torch.stack([pool(x[400:])[:, 1], wanted[400:]]))[0, 1]
        before = torch.corrcoef(torch.stack([x[400:].mean(dim=1)[:, 1], wanted[400:]]))[0, 1]
    assert found > 0.95 > before + 0.3
