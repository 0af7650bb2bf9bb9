"""The order of the data is a pure function of (seed, step)."""

from itertools import pairwise

import numpy as np
import pytest

from neurofm.data.corpus import Corpus
from neurofm.training.sampler import Order, StepData, order_of_pass
from tests.support.corpora import make

WIDTHS = np.repeat([5, 8, 12], [13, 7, 11])  # 31 windows
WINDOWS = np.arange(100, 131)


def test_each_window_once_a_pass():
    order = Order(WINDOWS, WIDTHS, batch_windows=4, seed=3)
    assert order.steps_per_pass == 8
    for pass_ in range(3):
        steps = [order.step(8 * pass_ + i)[0] for i in range(8)]
        drawn, times = np.unique(np.concatenate(steps), return_counts=True)
        assert drawn.tolist() == list(range(31))
        assert sorted(times) == [1] * 30 + [2]  # one is taken twice to fill the last batch
    first, second = (np.concatenate([order.step(s + i)[0] for i in range(8)]) for s in (0, 8))
    assert not np.array_equal(first, second)


def test_fewer_windows_than_a_batch():
    order = order_of_pass(np.array([5, 8, 5]), batch_windows=8, seed=0, pass_=0)
    assert order.shape == (1, 8)
    assert set(order[0]) == {0, 1, 2}


def test_pure_function_of_seed_and_step():
    """Asking for step 17 first, or again, or of another object, gives the same."""
    order = Order(WINDOWS, WIDTHS, 4, seed=3)
    forwards = [order.step(s) for s in range(20)]
    other = Order(WINDOWS, WIDTHS, 4, seed=3)
    for step in (17, 2, 17, 19, 0):
        for mine, again in zip(forwards[step], other.step(step), strict=True):
            np.testing.assert_array_equal(mine, again)
    seeds = np.concatenate([seeds for _, seeds in forwards])
    assert len(set(seeds.tolist())) == len(seeds)
    assert (seeds >= 0).all()
    assert not np.array_equal(order.step(0)[0], Order(WINDOWS, WIDTHS, 4, seed=4).step(0)[0])


def test_similar_widths_share_a_batch():
    batches = order_of_pass(WIDTHS, 4, seed=1, pass_=0)
    mixed = sum(len(set(WIDTHS[batch])) > 1 for batch in batches)
    assert mixed <= 2  # at the two borders between three widths
    assert any((WIDTHS[a] > WIDTHS[b]).all() for a, b in pairwise(batches))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus.open(make(tmp_path_factory.mktemp("sampler") / "corpus", n_windows=5))


@pytest.mark.parametrize(("world", "accumulate"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_shares_make_up_the_global_batch(corpus, world, accumulate):
    """However a batch is cut over processes and micro-batches, it is the same batch."""
    windows = corpus.select("train")
    order = Order(windows, corpus.widths(windows), 8, seed=0)
    whole = StepData(corpus, order)
    shares = [StepData(corpus, order, rank=rank, world=world, accumulate=accumulate)
              for rank in range(world)]
    widths = set()
    for step in (0, 1, 5):
        (batch,) = whole[step]
        parts = [part for share in shares for part in share[step]]
        assert [len(part) for part in parts] == [8 // world // accumulate] * world * accumulate
        assert [name for part in parts for name in part.source] == batch.source
        assert [s for part in parts for s in part.seed.tolist()] == batch.seed.tolist()
        signals = [signal[valid] for part in parts
                   for signal, valid in zip(part.signal, part.valid, strict=True)]
        for i, signal in enumerate(signals):
            assert signal.equal(batch.signal[i][batch.valid[i]])
        widths |= {tuple(part.signal.shape[1] for part in parts)}
    assert any(len(set(shape)) > 1 for shape in widths) or world * accumulate == 2


def test_a_batch_that_cannot_be_shared(corpus):
    order = Order(corpus.select("train"), corpus.widths(corpus.select("train")), 6, seed=0)
    with pytest.raises(ValueError, match=r"batch_windows \(6\) must be a multiple .* \(2 × 2\)"):
        StepData(corpus, order, world=2, accumulate=2)


def test_targets_follow_their_windows(corpus):
    windows = corpus.select("train")
    data = StepData(corpus, Order(windows, corpus.widths(windows), 4, seed=0),
                    target=windows * 10)
    (batch,) = data[3]
    sources = [corpus.source(int(target) // 10) for target in batch.target]
    assert sources == batch.source
