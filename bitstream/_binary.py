"""The kernel of the binary range coder, for models that learn from every bit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .compiled import kernel

Int32s = NDArray[np.int32]
UInt32s = NDArray[np.uint32]
UInt64s = NDArray[np.uint64]

ENCODE, DECODE, TALLY = 0, 1, 2
"""What a kernel does with a bit: write it, read it, or add up its information content."""
LOWER, SIZE, WORDS, DAMAGED = 0, 1, 2, 3
"""Places in a coder's state: low 64 bits of the lower end (of a decoder: offset of the data above
it), size of the interval, words written or read, and 1 once the data is found to be damaged."""
CHANCE_BITS = 24
"""Chances of a bit are in 2^-24."""
_SLOWEST = 10
"""Chances move by 2^-_SLOWEST of what is missing; by more as long as few bits were seen."""


@kernel
def code_bit(mode: int, bit: int, zero: int, state: UInt64s, words: UInt32s) -> int:
    """Write or read a bit as a digit of the range coder (docs/format.md, "Range coder").

    Args:
        mode: ENCODE or DECODE.
        bit: 0 or 1 to encode; anything to decode.
        zero: chance of 0 in 2^-CHANCE_BITS, 1 to 2^CHANCE_BITS - 1.
        state: (4,), see `LOWER` and the others.
        words: of the stream. An encoder needs room for one more; a decoder reads zeros behind them.

    Returns:
        The bit.
    """
    half = np.uint64(32)
    unit = state[SIZE] >> np.uint64(CHANCE_BITS)
    split = unit * np.uint64(zero)
    if mode == DECODE:
        if state[LOWER] >= unit << np.uint64(CHANCE_BITS):
            state[DAMAGED] = np.uint64(1)
        bit = 1 if state[LOWER] >= split else 0
    if bit:
        if mode == DECODE:
            state[LOWER] -= split
        else:
            before = state[LOWER]
            state[LOWER] = before + split
            if state[LOWER] < before:
                carry(state, words)
        state[SIZE] = unit * np.uint64((1 << CHANCE_BITS) - zero)
    else:
        state[SIZE] = split
    if state[SIZE] < np.uint64(1 << 32):
        at = np.int64(state[WORDS])
        state[WORDS] += np.uint64(1)
        if mode == DECODE:
            word = np.uint64(words[at]) if at < words.size else np.uint64(0)
            state[LOWER] = (state[LOWER] << half) | word
        else:
            words[at] = np.uint32(state[LOWER] >> half)
            state[LOWER] <<= half
        state[SIZE] <<= half
    return bit


@kernel
def carry(state: UInt64s, words: UInt32s) -> None:
    """Add one to the number that the written words form."""
    at = np.int64(state[WORDS]) - 1
    while words[at] == np.uint32(0xFFFFFFFF):
        words[at] = np.uint32(0)
        at -= 1
    words[at] += np.uint32(1)


@kernel
def code_even(mode: int, numbers: Int32s, bits: int, state: UInt64s, words: UInt32s) -> None:
    """Write or read numbers (n,) whose bits, the highest first, are as likely 0 as 1."""
    for i in range(numbers.size):
        number = 0
        for place in range(bits - 1, -1, -1):
            bit = code_bit(mode, (numbers[i] >> place) & 1, 1 << (CHANCE_BITS - 1), state, words)
            number = 2 * number + bit
        numbers[i] = number


@kernel
def code_learned(
    mode: int, bit: int, chances: Int32s, seen: Int32s, at: int, state: UInt64s, words: UInt32s
) -> tuple[int, float]:
    """Code a bit and learn from it: the bit, and in TALLY its information content.

    Args:
        chances, seen: (n,), chances of 0 in contexts, and how many bits each has seen.
        at: context of the bit.
    """
    chance, bits = chances[at], 0.0
    if mode == TALLY:
        bits = CHANCE_BITS - math.log2((1 << CHANCE_BITS) - chance if bit else chance)
    else:
        bit = code_bit(mode, bit, chance, state, words)
    shift = 1
    while seen[at] >> shift:
        shift += 1
    seen[at] = min(seen[at] + 1, (1 << _SLOWEST) - 1)
    if bit:
        chances[at] -= chance >> shift
    else:
        chances[at] += ((1 << CHANCE_BITS) - chance) >> shift
    return bit, bits
