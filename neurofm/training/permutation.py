"""Permutations that are computed, not stored: where number i of n goes, for a key.

A Feistel network is a bijection of 2^bits numbers whatever its round function is; numbers that
leave the n wanted ones walk on until they are back (cycle walking: Black and Rogaway 2002,
"Ciphers with arbitrary finite domains"). The round function is the finalizer of SplitMix64 (Steele
et al. 2014). Memory does not depend on n, and any number of places is computed at once.
"""

import numpy as np
from jaxtyping import Int64, UInt64

ROUNDS = 24  # enough that all orders of a few numbers are equally frequent
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
Words = UInt64[np.ndarray, "..."]


def permuted(
    number: Int64[np.ndarray, "..."], n: Int64[np.ndarray, "..."], key: Words,
) -> Int64[np.ndarray, "..."]:
    """Where each number goes; the three are broadcast.

    Parameters
    ----------
    number
        Numbers, each in 0 … n − 1.
    n
        How many numbers each is one of; up to 2^53.
    key
        Which permutation, see `keyed`.

    Returns
    -------
    ndarray
        In 0 … n − 1; for one n and key each comes once.
    """
    number, n, key = np.broadcast_arrays(np.atleast_1d(number), n, key)
    found = number.astype(np.uint64)
    # Bits of n − 1, at least 2: np.frexp(x)[1] is the bit length of x.
    bits = np.maximum(np.frexp(np.maximum(n - 1, 1).astype(np.float64))[1], 2).astype(np.uint64)
    low_bits = bits >> np.uint64(1)
    low = (np.uint64(1) << low_bits) - np.uint64(1)
    high = (np.uint64(1) << (bits - low_bits)) - np.uint64(1)
    todo = np.arange(found.size)
    flat, limit = found.reshape(-1), n.reshape(-1).astype(np.uint64)
    parts = [each.reshape(-1) for each in (key, low_bits, low, high)]
    while len(todo):
        flat[todo] = _network(flat[todo], *(part[todo] for part in parts))
        todo = todo[flat[todo] >= limit[todo]]
    return flat.reshape(number.shape).astype(np.int64)


def keyed(seed: int, *numbers: int | np.ndarray) -> Words:
    """Key of a permutation, out of a seed and numbers that tell it from others.

    Parameters
    ----------
    seed
        Seed of the run.
    numbers
        Numbers or arrays of numbers, 0 or more.

    Returns
    -------
    ndarray
        uint64, of the shape of the numbers.
    """
    key = _mixed(np.atleast_1d(np.uint64(seed)))
    for number in numbers:
        key = _mixed((key + _GOLDEN) ^ np.asarray(number).astype(np.uint64))
    return key


def _network(x: Words, key: Words, low_bits: Words, low: Words, high: Words) -> Words:
    """Rounds that change the low and the high half of the bits in turn, by the other half."""
    right, left = x & low, x >> low_bits
    for _ in range(0, ROUNDS, 2):
        key = key + _GOLDEN
        left = left ^ (_mixed(right ^ key) & high)
        key = key + _GOLDEN
        right = right ^ (_mixed(left ^ key) & low)
    return (left << low_bits) | right


def _mixed(x: Words) -> Words:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
