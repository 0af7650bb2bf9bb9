"""The order of the data is a pure function of (seed, step)."""

import pickle
import tracemalloc

import numpy as np
import pytest

from neurofm.data.corpus import Corpus
from neurofm.training.by_width import ByWidth
from neurofm.training.sampler import Order, StepData
from tests.support.corpora import make

WIDTHS = np.repeat([5, 8, 12], [13, 7, 11])  # 31 windows
WINDOWS = np.arange(100, 131)


def order_of(windows=WINDOWS, widths=WIDTHS, batch_windows=4, seed=3) -> Order:
    """widths: of each of the windows."""
    known = dict(zip(windows.tolist(), widths.tolist(), strict=True))
    return Order(ByWidth.of(windows, lambda part: np.array([known[w] for w in part.tolist()])),
                 batch_windows, seed)


def of_corpus(corpus: Corpus, windows: np.ndarray, batch_windows: int) -> Order:
    return Order(ByWidth.of(windows, corpus.widths), batch_windows, seed=0)


def test_each_window_once_a_pass():
    order = order_of()
    assert order.steps_per_pass == 8
    for pass_ in range(3):
        steps = [order.step(8 * pass_ + i)[0] for i in range(8)]
        drawn, times = np.unique(np.concatenate(steps), return_counts=True)
        assert drawn.tolist() == list(range(31))
        assert sorted(times) == [1] * 30 + [2]  # one is taken twice to fill the last batch
    first, second = (np.concatenate([order.step(s + i)[0] for i in range(8)]) for s in (0, 8))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 63, 200, 257])
def test_a_pass_holds_every_window_of_any_corpus(n):
    """Of any number of windows, batches and layouts; what fills up is as few as can be, and never
    twice in a step unless there are fewer windows than a batch."""
    rng = np.random.default_rng(n)
    windows = np.sort(rng.choice(10 * n, n, replace=False))  # with gaps
    for batch_windows in (1, 2, 5, 8, 64):
        order = order_of(windows, rng.choice([3, 19, 306], n), batch_windows, seed=n)
        for pass_ in (0, 4):
            first = pass_ * order.steps_per_pass
            steps = [order.step(first + i) for i in range(order.steps_per_pass)]
            drawn, times = np.unique(np.concatenate([s.positions for s in steps]),
                                     return_counts=True)
            assert drawn.tolist() == list(range(n))
            assert len(steps) == -(-n // batch_windows)
            for step in steps:
                assert np.array_equal(windows[step.positions], step.windows)
                if n >= batch_windows:
                    assert times.max() <= 2
                    assert len(set(step.positions.tolist())) == batch_windows


def test_fewer_windows_than_a_batch():
    order = order_of(np.arange(3), np.array([5, 8, 5]), batch_windows=8, seed=0)
    assert order.steps_per_pass == 1
    assert order.step(0).positions.shape == (8,)
    assert set(order.step(0).positions) == {0, 1, 2}


def test_pure_function_of_seed_and_step():
    """Asking for step 17 first, or again, or of another object, gives the same."""
    order = order_of()
    forwards = [order.step(s) for s in range(20)]
    other = order_of()
    for step in (17, 2, 17, 19, 0):
        for mine, again in zip(tuple(forwards[step]), tuple(other.step(step)), strict=True):
            np.testing.assert_array_equal(mine, again)
    seeds = np.concatenate([step.seeds for step in forwards])
    assert len(set(seeds.tolist())) == len(seeds)
    assert (seeds >= 0).all()
    assert not np.array_equal(order.step(0)[0], order_of(seed=4).step(0)[0])


def test_steps_far_apart_are_computed_alike():
    """Steps are computed some at a time; neither the borders nor a jump change anything."""
    windows = np.arange(1000)
    far = [0, 4095, 4096, 10**6, 4096, 3]
    once = [order_of(windows, windows % 3, 1, seed=5).step(step).positions for step in far]
    order = order_of(windows, windows % 3, 1, seed=5)
    assert [order.step(step).positions.item() for step in far] == [a.item() for a in once]


def test_windows_of_a_width_come_in_random_order():
    """How often each window is in each step of a pass; and no memory of who came before."""
    n, batch_windows, passes = 24, 4, 4000
    order = order_of(np.arange(n), np.full(n, 64), batch_windows, seed=1)
    drawn = np.stack([order.step(s).positions for s in range(passes * 6)]).reshape(passes, 6, 4)
    count = np.zeros((6, n))
    for step in range(6):
        count[step] = np.bincount(drawn[:, step].ravel(), minlength=n)
    expected = passes * batch_windows / n
    chi2 = ((count - expected) ** 2 / expected).sum()
    assert abs(chi2 - 5 * 23) < 5 * np.sqrt(2 * 5 * 23)
    together = np.zeros((n, n))  # in one step: 3 of the 23 others
    for step in drawn.reshape(-1, 4):
        together[np.ix_(step, step)] += 1
    pairs = together[np.triu_indices(n, 1)]
    expected = passes * 3 / 23
    assert abs(((pairs - expected) ** 2 / expected).sum() / len(pairs) - 1) < 0.4
    # Of the windows that are first in their steps, one after another: another one in a pass.
    first = drawn[:, :, 0].ravel().astype(float)
    found, expected = np.corrcoef(first[:-1], first[1:])[0, 1], -5 / 6 / (n - 1)
    assert abs(found - expected) < 4 / np.sqrt(len(first))


@pytest.mark.parametrize("batch_windows", [16, 32, 256])
def test_every_step_holds_the_layouts_in_their_shares(batch_windows):
    """So all steps are the same work, but for one window."""
    widths = np.random.default_rng(0).permutation(np.repeat([19, 64, 306], [700, 200, 347]))
    order = order_of(np.arange(len(widths)), widths, batch_windows, seed=1)
    for width in (19, 64, 306):
        share = batch_windows * (widths == width).mean()
        counts = [(order.step(step).widths == width).sum() for step in range(200)]
        assert share - 2 < min(counts) <= max(counts) < share + 2
    channels = [order.step(step).widths.sum() for step in range(200)]
    assert max(channels) - min(channels) <= 306 - 19


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus.open(make(tmp_path_factory.mktemp("sampler") / "corpus", n_windows=5))


@pytest.mark.parametrize(("world", "accumulate"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_shares_make_up_the_global_batch(corpus, world, accumulate):
    """However a batch is cut over processes, its micro-batches are the same."""
    windows = corpus.select("train")
    order = of_corpus(corpus, windows, 8)
    whole = StepData(corpus, order, accumulate=accumulate)
    shares = [StepData(corpus, order, rank=rank, world=world, accumulate=accumulate)
              for rank in range(world)]
    for step in (0, 1, 5):
        batches, parts = whole[step], [share[step] for share in shares]
        assert sum(map(len, batches)) == 8
        assert [sum(map(len, part)) for part in parts] == [8 // world] * world
        for batch, *cut in zip(batches, *parts, strict=True):
            assert len(batch) == 8 // accumulate
            assert [name for part in cut for name in part.source] == batch.source
            assert [s for part in cut for s in part.seed.tolist()] == batch.seed.tolist()
            signals = [signal[valid] for part in cut
                       for signal, valid in zip(part.signal, part.valid, strict=True)]
            for i, signal in enumerate(signals):
                assert signal.equal(batch.signal[i][batch.valid[i]])


def test_a_batch_that_cannot_be_shared(corpus):
    order = of_corpus(corpus, corpus.select("train"), 6)
    with pytest.raises(ValueError, match=r"batch_windows \(6\) must be a multiple .* \(2 × 2\)"):
        StepData(corpus, order, world=2, accumulate=2)


def test_targets_follow_their_windows(corpus):
    windows = corpus.select("train")
    data = StepData(corpus, of_corpus(corpus, windows, 4), target=windows * 10)
    (batch,) = data[3]
    sources = [corpus.source(int(target) // 10) for target in batch.target]
    assert sources == batch.source


def test_order_memory_does_not_grow_with_windows():
    """10⁷ and 10⁸ windows of 10⁴ recordings: what is kept, what is taken meanwhile, and what a
    loader process gets."""
    each_of, n_recordings = {10**7: 1000, 10**8: 10000}, 10**4
    width = np.random.default_rng(0).choice([19, 64, 306], n_recordings)
    kept, peak, sent = [], [], []
    for n, each in each_of.items():
        tracemalloc.start()
        order = Order(ByWidth.of(range(n), lambda part, e=each: width[part // e]), 256, seed=0)
        order.step(10**5 + 7)
        kept.append(tracemalloc.get_traced_memory()[0])
        peak.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sent.append(len(pickle.dumps(order)))
        assert len(order.windows) == n
        step = order.step(1)
        assert np.array_equal(step.windows, step.positions)
        assert np.array_equal(step.widths, width[step.windows // each])
    assert max(kept) < 2e6
    assert max(peak) < 100e6  # a part of the windows at a time
    assert max(sent) < 1e6
    assert kept[1] < kept[0] * 1.5
