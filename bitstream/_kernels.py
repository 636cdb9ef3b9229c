"""Numba kernels of the bitstream: pure functions on typed arrays, integers where bits depend."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
Float32s = NDArray[np.float32]
UInt32s = NDArray[np.uint32]

# Fixed-point layout of the tables of mixtures (see entropy.py).
ARGUMENT_FRAC = 24
STEP_FRAC = 18
RANGE = 16
CDF_FRAC = 28
FREQUENCY_BITS = 20


@njit(cache=True, error_model="numpy")
def mixture_frequencies(
    prefixes: Int32s,
    step: int,
    size: int,
    logits: Int32s,
    locations: Int32s,
    scales: Int32s,
    weight_table: Int64s,
    inverse_table: Int64s,
    cdf_table: Int64s,
    floor_shift: int,
    follows: bool,
    edges: Int64s,
    out: Float32s,
) -> None:
    """Frequencies of the next base-4 digit of each sample given its leading digits.

    prefixes (n,): smallest value with the known digits; step: 4^digits left after this one;
    size: number of levels; logits, locations, scales (n, k); floor_shift: a share of 2^-floor_shift
    is uniform; edges (n, 5) receives the
    cumulative weights below the digits, times 2^CDF_FRAC, and with `follows` holds those of
    the digit before on entry; out (n, 4) receives integers.
    """
    components = logits.shape[1]
    weights = np.empty(components, np.int64)
    levels, stride = np.int64(size), np.int64(step)
    limit = np.int64(RANGE) << np.int64(ARGUMENT_FRAC)
    fraction_mask = (np.int64(1) << np.int64(STEP_FRAC)) - np.int64(1)
    furthest = np.int64(weight_table.size - 1)
    for i in range(prefixes.size):
        prefix = np.int64(prefixes[i])
        largest = np.int64(logits[i, 0])
        for k in range(1, components):
            largest = max(largest, np.int64(logits[i, k]))
        total = np.int64(0)
        for k in range(components):
            weights[k] = weight_table[min(largest - np.int64(logits[i, k]), furthest)]
            total += weights[k]
        floor = (total << np.int64(CDF_FRAC - floor_shift)) // levels
        first, last = 0, 4
        if follows:
            before = (prefix // (np.int64(4) * stride)) & np.int64(3)
            edges[i, 0], edges[i, 4] = edges[i, before], edges[i, before + 1]
            first, last = 1, 3
        for edge in range(first, last + 1):
            x = prefix + np.int64(edge) * stride
            below = np.int64(0)
            if x >= levels:
                below = total << np.int64(CDF_FRAC)
            elif x > np.int64(0):
                middle = np.int64(16) * x - np.int64(8)
                for k in range(components):
                    offset = middle - np.int64(locations[i, k])
                    argument = offset * inverse_table[scales[i, k]]
                    argument = min(max(argument, -limit), limit - np.int64(1)) + limit
                    index = argument >> np.int64(STEP_FRAC)
                    low = cdf_table[index]
                    rise = (cdf_table[index + 1] - low) * (argument & fraction_mask)
                    below += weights[k] * (low + (rise >> np.int64(STEP_FRAC)))
            edges[i, edge] = below + x * floor
        unit = ((edges[i, 4] - edges[i, 0]) >> np.int64(FREQUENCY_BITS)) + np.int64(1)
        for digit in range(4):
            out[i, digit] = np.int64(1) + (edges[i, digit + 1] - edges[i, digit]) // unit


@njit(cache=True)
def philox(key: UInt32s, counter: UInt32s, first: np.uint64, out: UInt32s) -> None:
    """Philox 4x32-10 blocks first, first + 1, ... (Salmon et al., SC 2011), 4 words each.

    key (2,); counter (2,) fills the upper half of the block counter, `first` (unsigned, 64
    bits) starts the lower half; out (4 n,).
    """
    low_mask = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    for block in range(out.size // 4):
        index = np.uint64(first) + np.uint64(block)
        c0 = index & low_mask
        c1 = index >> half
        c2 = np.uint64(counter[0])
        c3 = np.uint64(counter[1])
        k0 = np.uint64(key[0])
        k1 = np.uint64(key[1])
        for _ in range(10):
            left = np.uint64(0xD2511F53) * c0
            right = np.uint64(0xCD9E8D57) * c2
            c0 = (right >> half) ^ c1 ^ k0
            c1 = right & low_mask
            c2 = (left >> half) ^ c3 ^ k1
            c3 = left & low_mask
            k0 = (k0 + np.uint64(0x9E3779B9)) & low_mask
            k1 = (k1 + np.uint64(0xBB67AE85)) & low_mask
        out[4 * block] = c0
        out[4 * block + 1] = c1
        out[4 * block + 2] = c2
        out[4 * block + 3] = c3


@njit(cache=True)
def extend_paths(
    gains: Float32s, cost: Float32s, spare: Float32s, choices: NDArray[np.uint8]
) -> None:
    """Steps of the Viterbi algorithm on a shift register that takes one bit a branch.

    gains (n, s): of every state at each branch; cost (s,): best sum of each state so far, on
    exit behind the last branch; spare (s,); choices (n, s / 2): for each pair of states that
    share their predecessors, 1 where the path came from the upper one.
    """
    half = cost.size // 2
    for j in range(gains.shape[0]):
        for p in range(half):
            low, high = cost[p], cost[p + half]
            upper = high > low
            best = high if upper else low
            choices[j, p] = upper
            spare[2 * p] = best + gains[j, 2 * p]
            spare[2 * p + 1] = best + gains[j, 2 * p + 1]
        cost[:] = spare


@njit(cache=True)
def trace_path(choices: NDArray[np.uint8], last: int, states: Int64s) -> None:
    """The states of the best path that ends in `last`; choices (n, s / 2); states (n + 1,)."""
    half = choices.shape[1]
    state = np.int64(last)
    for j in range(choices.shape[0], 0, -1):
        states[j] = state
        pair = state >> np.int64(1)
        state = pair + np.int64(half) * np.int64(choices[j - 1, pair])
    states[0] = state
