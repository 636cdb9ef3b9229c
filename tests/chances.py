"""Bits with given chances as a model of the binary range coder, and its slow twin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisepress.bitstream._binary import CHANCE_BITS, TALLY, UInt32s, UInt64s, code_bit
from noisepress.bitstream.entropy import Ints

WHOLE = 1 << CHANCE_BITS


@dataclass(frozen=True)
class Chances:
    """Bits that are 0 with the chances `zeros` (n,), integers in 2^-CHANCE_BITS."""

    zeros: NDArray[np.int64]

    @property
    def count(self) -> int:
        return len(self.zeros)

    @property
    def most_bits(self) -> int:
        return 1

    def run(self, mode: int, symbols: Ints, state: UInt64s, words: UInt32s) -> float:
        if mode == TALLY:
            right = np.where(symbols, WHOLE - self.zeros, self.zeros)
            return float(np.sum(CHANCE_BITS - np.log2(right)))
        for i, zero in enumerate(self.zeros.tolist()):
            symbols[i] = code_bit(mode, int(symbols[i]), zero, state, words)
        return 0.0


def range_coded(message: Iterable[tuple[int, list[int]]]) -> bytes:
    """The range coder with a lower bound of unlimited length, so that nothing is carried.

    Args:
        message: digits, each with the edges 0, .., 2^24 of its row.
    """
    lower, size, words = 0, 2**64 - 1, 1
    for digit, bounds in message:
        unit = size >> 24
        lower += unit * bounds[digit]
        size = unit * (bounds[digit + 1] - bounds[digit])
        if size < 2**32:
            lower, size, words = lower << 32, size << 32, words + 1
    if size == 2**64 - 1:
        return b""
    point = (lower + 2**32 - 1) >> 32
    ordered = [point >> (32 * i) & 0xFFFFFFFF for i in reversed(range(words))]
    return b"".join(word.to_bytes(4, "little") for word in ordered).rstrip(b"\0")
