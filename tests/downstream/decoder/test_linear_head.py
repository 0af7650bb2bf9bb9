"""A linear head is solved: it is scikit-learn's minimum, whatever it started from."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from neurofm.downstream.decoder.linear_head import solve
from neurofm.models.brainomni import BrainOmniConfig
from neurofm.models.decoder import DecoderConfig
from neurofm.models.decoder_head import Head, Pooled


def head_of(classes: tuple[str, ...], smoothing: float = 0.0) -> Head:
    """A linear head of 10 features, pairs of 4 sources."""
    backbone = BrainOmniConfig()
    backbone.tokenizer.n_sources = 4
    torch.manual_seed(0)
    return Head(DecoderConfig(backbone=backbone, classes=classes, head="linear",
                              label_smoothing=smoothing))


def windows(n: int, n_classes: int, seed: int = 0):
    """Features of unlike scales, and classes of unlike frequencies that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 10)) * np.logspace(-3, 1, 10) + 5
    score = StandardScaler().fit_transform(x) @ rng.standard_normal((10, n_classes))
    y = (score + rng.gumbel(size=(n, n_classes)) + np.arange(n_classes)).argmax(axis=1)
    return torch.from_numpy(x).float(), torch.from_numpy(y)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("penalty", [1.0, 1e-3])
def test_same_as_scikit_learn(n_classes, penalty):
    x, y = windows(80, n_classes)
    head = head_of(tuple("abc"[:n_classes]))
    head.fit(x, y)
    solve(head, x, y, penalty)
    c = (2 if n_classes == 2 else 1) / (penalty * len(x))
    scaler = StandardScaler().fit(x.numpy())
    wanted = LogisticRegression(C=c, class_weight="balanced", tol=1e-8, max_iter=5000).fit(
        scaler.transform(x.numpy()), y.numpy())
    new, _ = windows(40, n_classes, seed=1)
    found = head.eval().predict(new).detach().numpy()
    assert np.allclose(found, wanted.predict_proba(scaler.transform(new.numpy())), atol=2e-4)


@pytest.mark.parametrize("classes", [("a", "b"), ()])
def test_nothing_near_is_better_and_the_start_does_not_matter(classes):
    x, y = windows(60, 2)
    if not classes:  # a number
        y = x[:, 3] * 40 + torch.randn(60, generator=torch.Generator().manual_seed(0))
    head = head_of(classes, smoothing=0.1)
    head.fit(x, y)

    def cost() -> float:
        weight = next(p for p in head.parameters() if p.ndim == 2)
        return (head(Pooled(x, y))[0] + 0.01 / 2 * weight.square().sum()).item()

    solve(head, x, y, 0.01)
    least, kept = cost(), [p.clone() for p in head.parameters()]
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(20):
            for p, best in zip(head.parameters(), kept, strict=True):
                p.copy_(best + 0.03 * torch.randn(best.shape, generator=random))
            assert cost() > least
    solve(head, x, y, 0.01)
    assert all(torch.allclose(p, best, atol=1e-4)
               for p, best in zip(head.parameters(), kept, strict=True))
    assert all(p.dtype == torch.float32 and p.grad is None for p in head.parameters())
