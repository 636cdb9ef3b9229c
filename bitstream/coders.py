"""Coders: one loop over `code` encodes, decodes, or counts bits.

Entropy coding is constriction's: a range coder (`Encoder`, `Decoder`) for streams that are
written and read in the same order, and an asymmetric numeral system (`Stack`) for bits-back
coding, last in first out.
"""

from __future__ import annotations

from typing import Protocol

import constriction
import numpy as np
from numpy.typing import NDArray

from .entropy import EntropyModel, Frequencies, Ints
from .errors import CorruptError

_FAMILY = constriction.stream.model.Categorical(perfect=False)
_WORD_BYTES = 4
_WHOLE = 2**24
_BOTTOM_BITS = 32
"""Least number of valid bits of a stack: its state then is at least 2^32."""


class Coder(Protocol):
    """Codes arrays of symbols; given symbols when encoding, None when decoding."""

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        """The symbols, shape (n,), after they were written, read or counted."""
        ...


def _to_bytes(words: NDArray[np.uint32]) -> bytes:
    """Little-endian bytes without trailing zeros, which `_to_words` restores."""
    return words.astype("<u4").tobytes().rstrip(b"\0")


def _to_words(data: bytes) -> NDArray[np.uint32]:
    padded = data + bytes(-len(data) % _WORD_BYTES)
    return np.frombuffer(padded, "<u4").astype(np.uint32)


class Encoder:
    """Writes symbols to a range-coded stream."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        if symbols is None:
            raise ValueError("an encoder needs symbols")
        return model.run(symbols, self._step)

    def _step(self, digits: Ints | None, frequencies: Frequencies) -> Ints:
        assert digits is not None
        if len(digits):
            self._coder.encode(digits, _FAMILY, frequencies)
        return digits

    def finish(self) -> bytes:
        """The stream so far."""
        return _to_bytes(self._coder.get_compressed())


class Decoder:
    """Reads symbols from the bytes that an `Encoder` wrote."""

    def __init__(self, data: bytes) -> None:
        self._coder = constriction.stream.queue.RangeDecoder(_to_words(data))

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        if symbols is not None:
            raise ValueError("a decoder takes no symbols")
        return model.run(None, self._step)

    def _step(self, digits: Ints | None, frequencies: Frequencies) -> Ints:
        if not len(frequencies):
            return np.zeros(0, np.int32)
        try:
            decoded: Ints = self._coder.decode(_FAMILY, frequencies)
        except AssertionError as error:
            raise CorruptError("the entropy-coded data is damaged") from error
        return decoded


class Tally:
    """Counts the information content of symbols and writes nothing.

    Attributes:
        bits: so far.
    """

    def __init__(self) -> None:
        self.bits = 0.0

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        if symbols is None:
            raise ValueError("a tally needs symbols")
        return model.run(symbols, self._step)

    def _step(self, digits: Ints | None, frequencies: Frequencies) -> Ints:
        assert digits is not None
        last = frequencies.shape[1] - 1
        sums = np.cumsum(frequencies, axis=1, dtype=np.float32)
        scale = np.float32(_WHOLE - last - 1) / sums[:, -1]
        end = np.take_along_axis(sums, digits[:, None], 1)[:, 0]
        start = end - np.take_along_axis(frequencies, digits[:, None], 1)[:, 0]
        # As the coders have it (see `Frequencies`): each symbol gets one unit of 2^-24 on top.
        left = np.trunc(start * scale) + digits
        right = np.where(digits == last, _WHOLE, np.trunc(end * scale) + digits + 1)
        self.bits -= float(np.log2((right - left) / _WHOLE).sum())
        return digits


class Stack:
    """Last-in first-out entropy coding, for bits-back: asymmetric numeral systems.

    The state never falls below 2^32: it starts there, a push never lowers it, and it is an
    error to pop it down further. So the five bytes of an empty stack, or the first 32 bits of
    the bytes that it started from, are a floor that is never popped. Above the floor every
    pop takes real bits and a push of the popped symbols with the same model undoes it.

    Args:
        data: bytes from `seal`, or any others that are useful bits to pop.

    Raises:
        CorruptError: `data` has fewer than 32 valid bits (those below its highest set bit) or
            ends in a zero byte, so no stack was sealed to it.
    """

    def __init__(self, data: bytes = b"\0\0\0\0\1") -> None:
        if data[-1:] in (b"", b"\0"):
            raise CorruptError("a stack never ends in a zero byte")
        self._coder = constriction.stream.stack.AnsCoder(_to_words(data))
        if self.bits < _BOTTOM_BITS:
            raise CorruptError(f"a stack of {self.bits} bits; the least is {_BOTTOM_BITS} bits")

    def push(self, symbols: Ints, model: EntropyModel) -> None:
        """Put symbols, shape (n,), on top."""
        decisions: list[tuple[Ints, Frequencies]] = []

        def collect(digits: Ints | None, frequencies: Frequencies) -> Ints:
            assert digits is not None
            decisions.append((digits, frequencies))
            return digits

        model.run(symbols, collect)
        for digits, frequencies in reversed(decisions):
            if len(digits):
                self._coder.encode_reverse(digits, _FAMILY, frequencies)

    def pop(self, model: EntropyModel) -> Ints:
        """Take the symbols that a `push` with the same model put on top.

        Raises:
            CorruptError: the stack holds fewer bits than the model needs; it is then of no
                further use.
        """

        def take(digits: Ints | None, frequencies: Frequencies) -> Ints:
            if not len(frequencies):
                return np.zeros(0, np.int32)
            popped: Ints = self._coder.decode(_FAMILY, frequencies)
            # With no words left to refill it, a state below 2^32 can only fall, so looking
            # once behind the last symbol finds an underflow at any of them.
            if self.bits < _BOTTOM_BITS:
                raise CorruptError("the stack holds fewer bits than the symbols need")
            return popped

        return model.run(None, take)

    @property
    def bits(self) -> int:
        """Valid bits on the stack, the 32 that cannot be popped included."""
        return int(self._coder.num_valid_bits())

    def seal(self) -> bytes:
        """All that is on the stack, as bytes."""
        return _to_bytes(self._coder.get_compressed())
