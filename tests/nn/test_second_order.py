"""Second-order pooling: the logarithm is one, its gradient too, and what leaves it unchanged."""

import numpy as np
import scipy.linalg
import torch

from neurofm.nn.second_order import SHRINKAGE, _Log, log_gram, log_grams


def test_is_the_logarithm_of_the_shrunk_gram_matrix():
    x = torch.randn(2, 4, 30, 8, generator=torch.Generator().manual_seed(0))
    found = log_gram(x)
    assert found.shape == (2, 10)
    rows, columns = np.triu_indices(4)
    for window, features in zip(found, x.double().flatten(2).numpy(), strict=True):
        gram = features @ features.T / features.shape[1]
        gram = (1 - SHRINKAGE) * gram + SHRINKAGE * np.trace(gram) / 4 * np.eye(4)
        log = scipy.linalg.logm(gram)
        expected = np.where(rows == columns, 1, 2**0.5) * log[rows, columns]
        np.testing.assert_allclose(window.numpy(), expected, atol=1e-5)
        assert np.isclose(np.linalg.norm(expected), np.linalg.norm(log))  # √2 keeps distances


def test_sign_and_order_of_frames_do_not_matter_but_which_sources_go_together_does():
    """What a mean over frames cannot see: two sources in step, or a quarter of a cycle apart."""
    time = torch.arange(64) / 64 * 8 * 2 * torch.pi

    def pair(phase, shift=0.0):
        waves = torch.stack([torch.sin(time + phase), torch.sin(time + phase + shift)])
        return waves[None, ..., None]

    together, later = log_gram(pair(0.0)), log_gram(pair(1.3))
    torch.testing.assert_close(together, later, atol=1e-4, rtol=0)
    torch.testing.assert_close(together, log_gram(-pair(0.0).flip(2)), atol=1e-4, rtol=0)
    assert (log_gram(pair(0.0, torch.pi / 2)) - together).abs().max() > 1
    assert pair(0.0).mean(2).abs().max() < 1e-5 > pair(0.0, torch.pi / 2).mean(2).abs().max()


def test_gradient_is_right_also_where_eigenvalues_meet():
    random = torch.Generator().manual_seed(0)
    a = torch.randn(3, 4, 4, generator=random, dtype=torch.float64)
    spread = a @ a.mT + torch.eye(4, dtype=torch.float64)
    q = torch.linalg.qr(a[0])[0]
    meeting = q @ torch.diag(torch.tensor([0.5, 0.5, 0.5, 2.0], dtype=torch.float64)) @ q.mT
    for matrices in (spread, meeting[None]):
        matrices = ((matrices + matrices.mT) / 2).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda m: _Log.apply((m + m.mT) / 2), matrices, atol=1e-4, rtol=1e-4
        )


def test_copies_and_silence_are_finite():
    one = torch.randn(1, 1, 10, 3).expand(1, 5, 10, 3).clone().requires_grad_()
    for x in (one, torch.zeros(1, 5, 10, 3, requires_grad=True)):
        log_gram(x).square().sum().backward()
        assert torch.isfinite(x.grad).all()


def test_is_as_exact_under_autocast():
    """Sources that are nearly copies: their differences are what bfloat16 would round away."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(4, 1, 30, 8, generator=random)
    x = x + 0.1 * torch.randn(4, 5, 30, 8, generator=random)
    with torch.autocast("cpu", torch.bfloat16):
        found = log_gram(x)
    torch.testing.assert_close(found, log_gram(x))


def test_groups_part_waveforms_of_unlike_size():
    """Two rhythms, a strong and a weak one: each has a covariance of its own, not one for both."""
    random = torch.Generator().manual_seed(0)
    strong, weak = torch.linalg.qr(torch.randn(8, 8, generator=random))[0].split(4, dim=1)
    examples = torch.cat([10 * strong.mT, weak.mT])
    x = torch.randn(3, 5, 20, 4, generator=random)
    y = torch.randn(3, 5, 20, 4, generator=random)
    both = x @ weak.mT + 10 * y @ strong.mT
    found = log_grams(both, examples, 2)
    assert torch.allclose(found[:, :15], log_gram(x), atol=1e-3)
    assert torch.allclose(found[:, 15:], log_gram(10 * y), atol=1e-3)
    louder = log_grams(x @ weak.mT + 30 * y @ strong.mT, examples, 2)
    assert torch.allclose(louder[:, :15], found[:, :15], atol=1e-3)


def test_groups_do_not_depend_on_the_sign_or_turn_of_directions():
    random = torch.Generator().manual_seed(1)
    x = torch.randn(2, 4, 10, 6, generator=random)
    assert torch.allclose(log_grams(x, torch.eye(6), 1), log_gram(x), atol=1e-4)
    assert torch.allclose(log_grams(x, torch.eye(6)[:3] * 2, 2),
                          log_grams(x, -torch.eye(6)[:3], 2), atol=1e-4)
