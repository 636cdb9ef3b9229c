"""Maps of the values that the samples of an image have, for images of more than 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import _values
from ._binary import CHANCE_BITS, UInt32s, UInt64s
from .entropy import Ints, check_range


@dataclass(frozen=True)
class InUse:
    """The distributions of flags, 1 for values in use, see `binary.BinaryModel`.

    In the first channel they depend on how far the last value in use is below, and the one before
    below that; in the others on the flags of the same value in the two channels before.

    Attributes:
        channels: flags of each come together, by ascending value.
        values: of a channel.
    """

    channels: int
    values: int

    @property
    def count(self) -> int:
        return self.channels * self.values

    @property
    def most_bits(self) -> int:
        return 1

    def run(self, mode: int, symbols: Ints, state: UInt64s, words: UInt32s) -> float:
        check_range(symbols, 2)
        chances = np.full(_values.CONTEXTS, 1 << (CHANCE_BITS - 1), np.int32)
        seen = np.zeros(_values.CONTEXTS, np.int32)
        flags = symbols.reshape(self.channels, self.values)
        return float(_values.code_flags(mode, flags, chances, seen, state, words))
