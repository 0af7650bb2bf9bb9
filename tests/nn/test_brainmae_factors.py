"""Factors that regions have in common: the best linear guess, and nothing of a region itself."""

import torch

from neurofm.nn.region_factors import RegionFactors

B, S, R, K, T, DIM = 2, 3, 9, 5, 4, 16


def make() -> tuple[RegionFactors, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return (RegionFactors(DIM, K), torch.randn(B, S, R, T), torch.randn(B, R, DIM),
            torch.rand(B, S, R) > 0.3)


def test_guess_is_the_conditional_mean_of_a_gaussian():
    factors, signal, regions, seen = make()
    found = factors(signal, regions, seen)
    loading, noise = factors.about(regions)
    covariance = loading @ loading.mT + torch.diag_embed(noise)
    for b, s, r in ((0, 0, 0), (1, 2, 5), (0, 1, 8)):
        others = seen[b, s].clone()
        others[r] = False  # of a region that was seen, too, only the others count
        weight = torch.linalg.solve(covariance[b][others][:, others], covariance[b][others, r])
        wanted = weight @ signal[b, s, others]
        assert torch.allclose(found.guess[b, s, r], wanted, atol=1e-4)


def test_doubt_is_what_was_not_seen():
    factors, signal, regions, seen = make()
    nothing = factors(signal, regions, torch.zeros_like(seen))
    assert torch.allclose(nothing.doubt, torch.eye(K).expand(B, S, K, K), atol=1e-6)
    assert nothing.guess.abs().max() == 0
    more = factors(signal, regions, torch.ones_like(seen)).doubt
    less = factors(signal, regions, seen).doubt
    diagonal = less.diagonal(dim1=-2, dim2=-1) - more.diagonal(dim1=-2, dim2=-1)
    assert diagonal.min() > -1e-6


def test_learns_what_ridge_regression_knows():
    """Of one atlas, a covariance known from many volumes is as good as can be."""
    torch.manual_seed(0)
    n, latent = 12, 3
    mixing = torch.randn(n, latent)
    regions = torch.randn(1, n, DIM)

    def draw(volumes: int) -> torch.Tensor:
        x = mixing @ torch.randn(latent, volumes) + 0.5 * torch.randn(n, volumes)
        return x / (mixing.square().sum(dim=1, keepdim=True) + 0.25).sqrt()

    factors = RegionFactors(DIM, 4)
    optimizer = torch.optim.Adam(factors.parameters(), lr=3e-3)
    for _ in range(400):
        x, seen = draw(64).view(1, n, 8, 8).transpose(1, 2), torch.rand(1, 8, n) > 0.4
        error = (factors(x, regions, seen).guess - x).square()[~seen].mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    known, x = draw(20000), draw(2000)
    covariance = known @ known.T / known.shape[1]
    hidden = torch.arange(n) < 4
    weight = torch.linalg.solve(covariance[~hidden][:, ~hidden], covariance[~hidden][:, hidden])
    best = (weight.T @ x[~hidden] - x[hidden]).square().mean()
    guess = factors(x[None, None], regions, ~hidden[None, None]).guess[0, 0, hidden]
    assert (guess - x[hidden]).square().mean() < 1.1 * best
    assert best < 0.6 * x[hidden].square().mean()
