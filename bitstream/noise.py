"""Random numbers that sender and receiver share: the same on every machine and in every release.

Words come from the counter-based generator Philox 4x32-10 (Salmon et al., "Parallel random
numbers: as easy as 1, 2, 3", SC 2011), normals from the words through a fixed table. Streams
with other seeds or counters are independent, and each can be asked for in any order.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from .tables import check_tables

UInt32s = NDArray[np.uint32]
Float32s = NDArray[np.float32]

_WORDS_PER_BLOCK = 4
_COUNTERS = 2
_TABLE_SIZE = 2**16
_TABLE_FRAC = 20
_TABLE_CRC = 0x2BE1242E


def words(seed: int, *counter: int, n: int) -> UInt32s:
    """Uniform random words, (n,) uint32.

    A shorter stream begins a longer one with the same seed and counter.

    Args:
        seed: 0 to 2^64 - 1; the key, low half first.
        counter: up to two numbers from 0 to 2^32 - 1 that name the stream; missing ones are 0.
            They are the upper half of Philox's counter, block numbers the lower half.
        n: number of words, 0 or more.

    Raises:
        ValueError: a number is outside its range.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}, supported are 0 to {2**64 - 1}")
    if len(counter) > _COUNTERS or not all(0 <= part < 2**32 for part in counter):
        raise ValueError(f"counter is {counter}, supported are two numbers of 0 to {2**32 - 1}")
    if n < 0:
        raise ValueError(f"n is {n}, supported are 0 and above")
    key = np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)
    upper = np.zeros(_COUNTERS, np.uint32)
    upper[: len(counter)] = counter
    blocks = -(-n // _WORDS_PER_BLOCK)
    out = np.empty(blocks * _WORDS_PER_BLOCK, np.uint32)
    _kernels.philox(key, upper, np.uint64(0), out)
    return out[:n]


@cache
def _normal_table() -> Float32s:
    """Quantiles of the standard normal distribution at 2^16 equally spaced points, (2^16,).

    Entry i is the quantile of (i + 1/2) / 2^16, rounded to a multiple of 2^-20, which float32
    holds exactly. Their mean is 0, their variance 0.99998, the largest is 4.3249.
    """
    quantile = NormalDist().inv_cdf
    half = _TABLE_SIZE // 2
    upper = [
        round(quantile((index + 0.5) / _TABLE_SIZE) * 2**_TABLE_FRAC)
        for index in range(half, _TABLE_SIZE)
    ]
    steps = np.array([-step for step in reversed(upper)] + upper, np.int32)
    check_tables("noise", _TABLE_CRC, steps)
    table: Float32s = (steps / 2**_TABLE_FRAC).astype(np.float32)
    table.setflags(write=False)
    return table


def normals(seed: int, *counter: int, n: int) -> Float32s:
    """Standard normal random numbers, (n,) float32, from -4.3249 to 4.3249.

    Numbers 2 i and 2 i + 1 are the table entries that the low and the high 16 bits of word i of
    `words` with the same seed and counter select. A shorter stream begins a longer one.

    Args:
        seed, counter: see `words`.
        n: number of values, 0 or more.

    Raises:
        ValueError: a number is outside its range, as for `words`.
    """
    if n < 0:
        raise ValueError(f"n is {n}, supported are 0 and above")
    drawn = words(seed, *counter, n=-(-n // 2))
    indices = drawn.astype("<u4", copy=False).view("<u2")[:n]
    return np.take(_normal_table(), indices)
