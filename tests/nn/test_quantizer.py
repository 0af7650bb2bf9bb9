"""Residual quantizer: ids, learning, the rotation trick, dead codes, the bypass."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from neurofm.nn.quantizer import ResidualQuantizer, kmeans, nearest, perplexity, rotate_to


def vectors(n: int = 400, dim: int = 8, seed: int = 0) -> torch.Tensor:
    """`n` unit vectors around twelve directions, which are the same for all seeds."""
    centers = torch.randn(12, dim, generator=torch.Generator().manual_seed(1234))
    random = torch.Generator().manual_seed(seed)
    noise = 0.05 * torch.randn(n, dim, generator=random)
    return F.normalize(centers[torch.randint(12, (n,), generator=random)] + noise, dim=-1)


def trained(steps: int = 20, **options) -> ResidualQuantizer:
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(8, n_levels=3, n_codes=16, **options).train()
    for step in range(steps):
        quantizer(vectors(seed=step))
    return quantizer


def test_ids_and_features_agree():
    quantizer = trained().eval()
    out = quantizer(vectors(seed=99))
    torch.testing.assert_close(quantizer.codes(out.ids), out.features)


@pytest.mark.parametrize("code_dim", [None, 4])
def test_ids_and_features_agree_whatever_the_width_of_codes(code_dim):
    quantizer = trained(code_dim=code_dim).eval()
    out = quantizer(vectors(seed=99).view(4, 100, 8))
    assert out.ids.shape == (4, 100, 3)
    torch.testing.assert_close(quantizer.codes(out.ids), out.features)


def test_each_level_brings_features_closer():
    quantizer, x = trained().eval(), vectors(seed=99)
    ids, left = quantizer(x).ids, x
    error = [x.square().sum(dim=1).mean()]
    for level in range(3):
        left = left - quantizer.codebook[level][ids[:, level]]
        error.append(left.square().sum(dim=1).mean())
    assert error[0] > 4 * error[1] > 4 * error[2]
    assert error[2] > error[3]


def test_evaluation_learns_nothing_and_runs_no_kmeans(monkeypatch):
    monkeypatch.setattr("neurofm.nn.quantizer.kmeans", None)  # calling it would fail
    quantizer = ResidualQuantizer(8, n_levels=3, n_codes=16).eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(vectors())
    for name, value in quantizer.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_first_training_batch_starts_codes_in_the_data():
    quantizer = trained(steps=1)
    assert quantizer.started
    error = quantizer.eval()(vectors()).commitment.mean()
    assert error < 0.1 * vectors().square().mean()


def test_codes_follow_the_mean_of_their_vectors():
    """A codebook of one code per cluster moves to the cluster when that moves."""
    quantizer = ResidualQuantizer(2, n_levels=1, n_codes=2, decay=0.5).train()
    first = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).repeat(50, 1)
    quantizer(first)
    for _ in range(30):
        quantizer(first + torch.tensor([0.0, 0.5]))
    found = quantizer.codebook[0][quantizer.codebook[0][:, 0].argsort()]
    torch.testing.assert_close(found, torch.tensor([[-1.0, 0.5], [1.0, 0.5]]),
                               atol=1e-3, rtol=1e-3)


def test_dead_codes_come_back():
    """Codes far from all data are replaced by vectors of the data, and stay in use."""
    quantizer = trained(steps=1)
    with torch.no_grad():
        quantizer.codebook[0, :8] = 100.0
        quantizer.sums[0, :8] = 100.0
        quantizer.uses[0, :8] = 1.0
    dead = (quantizer.eval()(vectors()).share[0] == 0).sum()
    assert dead >= 8
    quantizer.train()
    for step in range(5):
        quantizer(vectors(seed=step))
    assert quantizer.codebook[0].norm(dim=-1).max() < 1.5
    assert (quantizer.eval()(vectors()).share[0] == 0).sum() < dead


def test_fewer_vectors_than_codes():
    quantizer = ResidualQuantizer(8, n_levels=2, n_codes=64).train()
    out = quantizer(vectors(n=5))
    assert torch.isfinite(quantizer.codebook).all()
    assert perplexity(out.share).max() <= 5 + 1e-4


def test_share_of_a_known_histogram():
    quantizer = ResidualQuantizer(2, n_levels=1, n_codes=4).eval()
    quantizer.codebook[0] = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    out = quantizer(torch.tensor([[1.0, 0], [1.0, 0], [-1.0, 0], [-1.0, 0]]))
    assert out.share.tolist() == [[0.5, 0.5, 0, 0]]
    torch.testing.assert_close(perplexity(out.share), torch.tensor([2.0]))


def test_perplexity_of_counts_and_of_nothing():
    uses = torch.tensor([[3.0, 3, 0], [5, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(perplexity(uses), torch.tensor([2.0, 1, 0]))


def test_bypass_passes_features_and_learns_nothing():
    quantizer = ResidualQuantizer(8, n_levels=3, n_codes=16, bypassed=True).train()
    before, x = quantizer.codebook.clone(), vectors().requires_grad_()
    out = quantizer(x)
    assert torch.equal(out.features, x)
    assert (out.ids == -1).all()
    assert torch.equal(quantizer.codebook, before)
    assert not quantizer.started


def test_bypass_gives_every_parameter_a_gradient():
    """Or training in several processes would wait for projections that take no part yet."""
    quantizer = ResidualQuantizer(8, n_levels=2, n_codes=16, code_dim=4, bypassed=True).train()
    quantizer(vectors()).commitment.mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() == 0 for p in quantizer.parameters())


def test_rounding_errors_do_not_choose_codes():
    """A vector that its first code hits exactly leaves only rounding: later ids must not hang on
    it. (Found with codebooks of random weights: ids differed between machines.)"""
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(8, n_levels=2, n_codes=4).eval()
    quantizer.codebook[1] = 1e-8 * torch.randn(4, 8)  # copies of nothing
    codes = F.normalize(quantizer.codebook[0], dim=-1)
    quantizer.codebook[0] = codes
    ids = [quantizer(codes + 1e-7 * torch.randn(4, 8)).ids[:, 1] for _ in range(10)]
    assert torch.stack(ids).unique().numel() == 1


def test_nearest_in_parts_is_nearest(monkeypatch):
    x, codebook = vectors(), vectors(16, seed=3)
    wanted = torch.cdist(x, codebook).argmin(dim=1)
    assert torch.equal(nearest(x, codebook), wanted)
    monkeypatch.setattr("neurofm.nn.quantizer.ROWS_AT_ONCE", 7)
    assert torch.equal(nearest(x, codebook), wanted)


def test_kmeans_finds_separate_clusters():
    random = torch.Generator().manual_seed(0)
    centers = 10 * torch.randn(5, 4, generator=random)
    x = centers.repeat(30, 1) + 0.1 * torch.randn(150, 4, generator=random)
    found, counts = kmeans(x, x[:5])
    torch.testing.assert_close(found, centers, atol=0.1, rtol=0.05)
    assert counts.tolist() == [30.0] * 5


# -------------------------------------------------------------------- rotation trick


def test_rotation_has_the_code_as_value():
    x, code = torch.randn(20, 6), torch.randn(20, 6)
    torch.testing.assert_close(rotate_to(x, code), code, atol=1e-5, rtol=1e-5)


def test_rotation_turns_and_scales_the_gradient():
    """Seen from the code, the gradient at the code looks as the gradient at the input does from
    there: the angle between them and the relative length are kept."""
    torch.manual_seed(0)
    x, code = torch.randn(20, 6, requires_grad=True), torch.randn(20, 6)
    gradient = torch.randn(20, 6)
    rotate_to(x, code).backward(gradient)
    scale = code.norm(dim=1) / x.norm(dim=1)
    torch.testing.assert_close(x.grad.norm(dim=1), scale * gradient.norm(dim=1))
    torch.testing.assert_close(
        F.cosine_similarity(x.grad, x.detach()), F.cosine_similarity(gradient, code),
        atol=1e-5, rtol=1e-4,
    )


def test_rotation_of_a_hit_is_straight_through():
    x = torch.randn(5, 6, requires_grad=True)
    gradient = torch.randn(5, 6)
    rotate_to(x, x.detach().clone()).backward(gradient)
    torch.testing.assert_close(x.grad, gradient, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rotation_trick", [True, False])
def test_gradient_reaches_the_input_of_all_levels(rotation_trick):
    quantizer = trained(rotation_trick=rotation_trick).train()
    x = vectors(seed=7).requires_grad_()
    quantizer(x).features.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad.abs().sum(dim=1) > 0).all()


def test_what_is_known_of_buffers_follows_them():
    """Written to in place, loaded, moved or copied: never an old value."""
    quantizer = ResidualQuantizer(8, n_levels=2, n_codes=16, bypassed=True).train()
    assert quantizer.known("bypassed")
    quantizer.bypassed.fill_(False)
    assert not quantizer.known("bypassed")
    quantizer(vectors())
    assert quantizer.known("n_updates") == int(quantizer.n_updates) == 1
    other = copy.deepcopy(quantizer)
    other(vectors())
    assert (other.known("n_updates"), quantizer.known("n_updates")) == (2, 1)
    quantizer.load_state_dict(other.state_dict())
    assert quantizer.known("n_updates") == 2
    assert pickle.loads(pickle.dumps(quantizer)).known("started")


def test_an_update_reads_no_buffer_twice():
    """Reading waits for a GPU: of two steps the second reads nothing."""
    quantizer = ResidualQuantizer(8, n_levels=2, n_codes=16).train()
    quantizer(vectors()), quantizer(vectors())
    read = []

    class Reads(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            read.append(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    with Reads():
        quantizer(vectors())
    assert not {"_local_scalar_dense", "nonzero", "bincount"} & set(read)
