"""Permutations that are computed: bijections for any n, and evenly spread ones."""

import math

import numpy as np
import pytest

from neurofm.training.permutation import keyed, permuted


def whole(n: int, key: np.ndarray) -> np.ndarray:
    return permuted(np.arange(n), np.array(n), key)


def test_a_bijection_of_any_n():
    """Many n and keys at once, as the windows of a step come from different ones."""
    sizes = np.concatenate([np.arange(1, 300), 2 ** np.arange(1, 15), 2 ** np.arange(1, 15) + 1])
    n = np.repeat(sizes, sizes)
    number = np.concatenate([np.arange(size) for size in sizes])
    place = np.repeat(np.arange(len(sizes)), sizes)
    found = permuted(number, n, keyed(3, place))
    expected = np.lexsort((found, place))
    assert np.array_equal(found[expected], number)


@pytest.mark.parametrize("n", [2**31 + 11, 2**40, 10**12 + 39])
def test_large_n_stays_inside_and_meets_no_number_twice(n):
    numbers = np.random.default_rng(0).choice(2**40 if n > 2**40 else n - 1, 20000)
    numbers = np.unique(np.append(numbers, [0, n - 1]))
    found = permuted(numbers, np.array(n), keyed(1))
    assert found.min() >= 0
    assert found.max() < n
    assert len(np.unique(found)) == len(numbers)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_all_orders_of_a_few_are_equally_frequent(n):
    draws = 40000
    code = np.zeros(draws, dtype=int)
    for number in range(n):
        code = code * n + permuted(np.full(draws, number), np.array(n), keyed(5, np.arange(draws)))
    orders = math.factorial(n)
    count = np.unique(code, return_counts=True)[1]
    assert len(count) == orders
    chi2 = ((count - draws / orders) ** 2 / (draws / orders)).sum()
    assert abs(chi2 - (orders - 1)) < 4 * math.sqrt(2 * (orders - 1))


@pytest.mark.parametrize("n", [1000, 1024, 65537])
def test_numbers_go_anywhere_and_forget_their_neighbors(n):
    """Chi-square over 20 × 20 cells of (from, to); neighbors; parity; fixed points."""
    cells, fixed = np.zeros((20, 20)), []
    for number in range(20):
        found = whole(n, keyed(2, number))
        from_, to = np.arange(n) * 20 // n, found * 20 // n
        np.add.at(cells, (from_, to), 1)
        fixed.append((found == np.arange(n)).sum())
        assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 5 / math.sqrt(n)
        assert abs(np.corrcoef(found, np.arange(n))[0, 1]) < 5 / math.sqrt(n)
        assert abs((found % 2 == np.arange(n) % 2).mean() - 0.5) < 2.5 / math.sqrt(n)
    expected = cells.sum() / 400
    chi2 = ((cells - expected) ** 2 / expected).sum()
    assert abs(chi2 - 361) < 5 * math.sqrt(2 * 361)
    assert np.mean(fixed) < 3  # 1 of a random permutation


def test_other_seeds_passes_and_numbers_give_other_permutations():
    found = [whole(50, keyed(*key)) for key in
             [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**31 - 1, 0, 0), (0, 2**40, 0)]]
    assert len({each.tobytes() for each in found}) == len(found)
    assert np.array_equal(whole(50, keyed(0, 1, 0)), found[2])
