"""Binary range coding for models that learn from every bit, which therefore run in one kernel.

The streams are those of the range coder in coders.py, with digits of two values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from ._binary import DAMAGED, DECODE, ENCODE, LOWER, SIZE, TALLY, WORDS, UInt32s, UInt64s, code_even
from .coders import bytes_of_words, words_of_bytes
from .entropy import Ints, check_range
from .errors import CorruptError, TruncatedError
from .header import read_varint, write_varint


class BinaryModel(Protocol):
    """The distributions of n symbols, each coded as a few bits.

    Attributes:
        count: n.
        most_bits: bits that a symbol takes at most; each costs at most 24 bits of the stream.
    """

    @property
    def count(self) -> int: ...

    @property
    def most_bits(self) -> int: ...

    def run(self, mode: int, symbols: Ints, state: UInt64s, words: UInt32s) -> float:
        """Code symbols by calls of `_binary.code_bit`.

        Args:
            mode: ENCODE, DECODE or TALLY.
            symbols: (n,) int32 to encode or count; receives them in a decoder.
            state, words: of the coder.

        Returns:
            For TALLY, the sum of -log2 of the chances of the bits.

        Raises:
            ValueError: a symbol is outside the model's range.
        """
        ...


@dataclass(frozen=True)
class Even:
    """Symbols 0 to 2^bits - 1 that are all equally likely.

    Attributes:
        count: number of symbols.
        bits: of a symbol.
    """

    count: int
    bits: int

    @property
    def most_bits(self) -> int:
        return self.bits

    def run(self, mode: int, symbols: Ints, state: UInt64s, words: UInt32s) -> float:
        check_range(symbols, 1 << self.bits)
        if mode != TALLY:
            code_even(mode, symbols, self.bits, state, words)
        return float(self.count * self.bits)


class _BinaryCoder:
    """What the coders share: one call for symbols of a model."""

    MODE: ClassVar[int]

    def __init__(self, words: UInt32s, lower: int) -> None:
        self._state = np.array([lower, 2**64 - 1, 0, 0], np.uint64)
        self._words = words

    def _run(self, symbols: Ints, model: BinaryModel) -> float:
        return model.run(self.MODE, symbols, self._state, self._words)


class BinaryEncoder(_BinaryCoder):
    """A coder that writes a stream of bits, see `coders.Coder`."""

    MODE = ENCODE

    def __init__(self) -> None:
        super().__init__(np.empty(0, np.uint32), 0)

    def code(self, symbols: Ints | None, model: BinaryModel) -> Ints:
        if symbols is None:
            raise ValueError("an encoder needs symbols")
        room = model.count * model.most_bits + 2
        used = int(self._state[WORDS])
        if len(self._words) < used + room:
            self._words = np.concatenate([self._words[:used], np.empty(used + room, np.uint32)])
        self._run(symbols, model)
        return symbols

    def finish(self) -> bytes:
        """The stream so far, as bytes."""
        used, lower = int(self._state[WORDS]), int(self._state[LOWER])
        if int(self._state[SIZE]) == 2**64 - 1:
            return b""
        whole = int.from_bytes(self._words[:used].astype(">u4").tobytes(), "big")
        last = ((whole << 64) + lower + 2**32 - 1) >> 32
        words = np.frombuffer(last.to_bytes(4 * used + 4, "big"), ">u4")
        return bytes_of_words(words.astype(np.uint32))


class BinaryDecoder(_BinaryCoder):
    """A coder that reads the bytes that a `BinaryEncoder` wrote, see `coders.Coder`."""

    MODE = DECODE

    def __init__(self, data: bytes) -> None:
        words = words_of_bytes(data)
        first = [int(word) for word in words[:2]] + [0, 0]
        super().__init__(words, first[0] << 32 | first[1])
        self._state[WORDS] = 2

    def code(self, symbols: Ints | None, model: BinaryModel) -> Ints:
        if symbols is not None:
            raise ValueError("a decoder takes no symbols")
        decoded = np.zeros(model.count, np.int32)
        self._run(decoded, model)
        if self._state[DAMAGED]:
            raise CorruptError("the entropy-coded data is damaged")
        return decoded

    def check_end(self, size: int) -> None:
        """Make sure that nothing of a stream of some bytes is left.

        Raises:
            CorruptError: bytes are left over.
        """
        if size > 4 * int(self._state[WORDS]):
            raise CorruptError("the entropy-coded data has bytes left over")


def join_streams(streams: Sequence[bytes]) -> bytes:
    """One payload of several streams: the lengths of all but the last, then the streams."""
    return b"".join([*(write_varint(len(stream)) for stream in streams[:-1]), *streams])


def split_streams(payload: bytes, count: int) -> list[bytes]:
    """The streams of `join_streams`.

    Raises:
        CorruptError: the payload is shorter than the streams, or a length is damaged.
    """
    damaged = CorruptError("the lengths of a section's streams are damaged")
    position, streams, lengths = 0, [], []
    for _ in range(count - 1):
        try:
            length, position = read_varint(payload, position)
        except TruncatedError as error:
            raise damaged from error
        lengths.append(length)
    if sum(lengths) > len(payload) - position:
        raise damaged
    for length in (*lengths, len(payload)):
        streams.append(payload[position : position + length])
        position += length
    return streams


class BinaryTally(_BinaryCoder):
    """A coder that adds up the information content of symbols and writes nothing.

    Attributes:
        bits: sum of -log2 of the chances with which the other coders code the bits.
    """

    MODE = TALLY

    def __init__(self) -> None:
        super().__init__(np.empty(0, np.uint32), 0)
        self.bits = 0.0

    def code(self, symbols: Ints | None, model: BinaryModel) -> Ints:
        if symbols is None:
            raise ValueError("a tally needs symbols")
        self.bits += self._run(symbols, model)
        return symbols
