"""Numba kernels: functions on typed arrays, in integers wherever a file's bits depend on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled, kernel

Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
Float32s = NDArray[np.float32]
UInt32s = NDArray[np.uint32]

# Fixed-point layout of the tables of mixtures (entropy.py; docs/format.md, "Logistic mixtures").
ARGUMENT_FRAC = 24
"""Fractional bits of arguments of the distribution function, in scales of the component."""
STEP_FRAC = 18
"""log2 of the spacing of its table in those units: 2^-6 scales."""
RANGE = 16
"""The table goes from -RANGE to RANGE scales."""
CDF_FRAC = 28
"""Fractional bits of its values."""
FREQUENCY_BITS = 20
"""The frequencies of a digit have a sum below 2^20 + 4."""

RUN = 16
"""Successive states of a trellis that share the choice of parts (reverse_channel.py)."""


@compiled(error_model="numpy")
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
    """Frequencies of the next base-4 digit of n symbols given the digits before it.

    Args:
        prefixes: (n,), smallest symbols that begin with the digits known so far.
        step: number of symbols for each value of the digit, a power of four.
        size: number of symbols.
        logits, locations: (n, k), see `entropy.LogisticMixture`.
        scales: (n, k), indices into `inverse_table`.
        weight_table, inverse_table, cdf_table: see `entropy._Tables`.
        floor_shift: a share of 2^-floor_shift of the probability is uniform.
        follows: True if `edges` holds the values of the digit before on entry.
        edges: (n, 5), receives the cumulative weights below the digit's four values and above
            the last, times 2^CDF_FRAC.
        out: (n, 4), receives the frequencies, integers of at least 1.
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


@compiled()
def philox(key: UInt32s, counter: UInt32s, first: np.uint64, out: UInt32s) -> None:
    """Philox 4x32-10 (Salmon et al., SC 2011), blocks first, first + 1, ... of 4 words each.

    Args:
        key: (2,), the seed, low half first.
        counter: (2,), upper half of the 128-bit counter.
        first: number of the first block, the lower half of the counter.
        out: (4 n,), receives n blocks.
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


@kernel
def extend_paths(
    products: Float32s,
    starts: Int64s,
    curvatures: Float32s,
    lengths: Int64s,
    energies: Float32s,
    best: Float32s,
    spare: Float32s,
    choices: NDArray[np.uint8],
) -> None:
    """The forward pass of the Viterbi algorithm on a shift register that takes one bit a branch.

    A state adds to a path's sum at a branch the products of its two parts, less the energy of its
    codeword times the branch's curvature.

    Args:
        products: (n, p), of each branch with each part.
        starts: (2, max(1, s / 16)), the parts of every 16th state; those between follow.
        curvatures: (n,), of each branch.
        lengths: (n,), of each branch: its row of `energies`.
        energies: (r, s or more), of the codewords.
        best: (s,), largest sum of a path to each state; on exit that after the last branch.
        spare: (s,), working memory.
        choices: (n, s / 2), receives for each pair of states with the same two predecessors 1 where
            the best path comes from the higher one, else 0.
    """
    half = best.size // 2
    run = min(RUN, best.size)
    for j in range(products.shape[0]):
        for p in range(half):
            low, high = best[p], best[p + half]
            upper = high > low
            larger = high if upper else low
            choices[j, p] = upper
            spare[2 * p] = larger
            spare[2 * p + 1] = larger
        curvature = curvatures[j]
        for k in range(starts.shape[1]):
            first = products[j, starts[0, k] : starts[0, k] + run]
            second = products[j, starts[1, k] : starts[1, k] + run]
            energy = energies[lengths[j], run * k : run * k + run]
            before = spare[run * k : run * k + run]
            after = best[run * k : run * k + run]
            for i in range(run):
                after[i] = before[i] + first[i] + second[i] - curvature * energy[i]


@compiled()
def trace_path(choices: NDArray[np.uint8], last: int, states: Int64s) -> None:
    """The backward pass of the Viterbi algorithm: the best path that ends in a state.

    Args:
        choices: (n, s / 2), from `extend_paths`.
        last: the final state.
        states: (n,), receives the path's states, the first one first.
    """
    half = choices.shape[1]
    state = np.int64(last)
    for j in range(choices.shape[0] - 1, 0, -1):
        states[j] = state
        pair = state >> np.int64(1)
        state = pair + np.int64(half) * np.int64(choices[j, pair])
    states[0] = state
