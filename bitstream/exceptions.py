"""Sparse differences of an image from what is computed, coded by what the ones before are like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import _planes
from ._binary import CHANCE_BITS, UInt32s, UInt64s
from .binary import BinaryDecoder, BinaryEncoder, BinaryTally
from .entropy import Ints

Samples = NDArray[np.uint8]


@dataclass(frozen=True)
class Row:
    """The distributions of a row of differences, see `binary.BinaryModel`.

    A symbol is three numbers of 8 bits, those of red, green and blue, the first the highest: 0 for
    the difference 0, then 1 for -1, 2 for 1, 3 for -2 and so on.

    Attributes:
        above: (w,), symbols of the row above, zeros above the first.
        learned: of the rows so far.
    """

    above: Ints
    learned: _planes.Learned

    @property
    def count(self) -> int:
        return len(self.above)

    @property
    def most_bits(self) -> int:
        return 1 + 3 * 8

    def run(self, mode: int, symbols: Ints, state: UInt64s, words: UInt32s) -> float:
        return float(_planes.code_row(mode, symbols, self.above, self.learned, state, words))


def _fresh() -> _planes.Learned:
    def even(*shape: int) -> Ints:
        return np.full(shape, 1 << (CHANCE_BITS - 1), np.int32)

    flags, nodes = (_planes.FLAGS,), (3, _planes.CHANNEL_NODES)
    return _planes.Learned(
        even(*flags), np.zeros(flags, np.int32), even(*nodes), np.zeros(nodes, np.int32)
    )


def code_differences(
    differences: Samples | None,
    shape: tuple[int, int, int],
    coder: BinaryEncoder | BinaryDecoder | BinaryTally,
) -> Samples:
    """Code differences (h, w, 3) modulo 256, most of which are 0; they cost little where they are.

    Args:
        differences: to encode or count; None to decode.
        shape: (h, w, 3).

    Raises:
        CorruptError: data that the coder reads is damaged.
    """
    coded = np.zeros(shape, np.uint8) if differences is None else differences
    above, learned = np.zeros(shape[1], np.int32), _fresh()
    for row in coded:
        symbols = None if differences is None else _packed(row)
        above = coder.code(symbols, Row(above, learned))
        if differences is None:
            row[:] = _unpacked(above)
    return coded


def _packed(row: Samples) -> Ints:
    """Symbols (w,) of differences (w, 3)."""
    signed = row.view(np.int8).astype(np.int32)
    numbers = np.where(signed < 0, -2 * signed - 1, 2 * signed)
    symbols: Ints = (numbers << (16, 8, 0)).sum(1, dtype=np.int32)
    return symbols


def _unpacked(symbols: Ints) -> Samples:
    """Differences (w, 3) of symbols (w,)."""
    numbers = symbols[:, None] >> np.array((16, 8, 0)) & 255
    signed: Ints = np.where(numbers & 1, ~(numbers >> 1), numbers >> 1)
    return signed.astype(np.uint8)
